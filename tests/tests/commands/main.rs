//! What somebody sees who starts a run, looks at it, steers it and ends it.

mod asked_to_pause;
mod bench;
mod browser;
mod dead_run;
mod draining;
mod explained;
mod first_cause;
mod flags;
mod found_from_elsewhere;
mod given_on_stdin;
mod in_place;
mod map;
mod mended;
mod newcomer;
mod nothing_left;
mod one_run_a_folder;
mod page;
mod program_words;
mod signals_by_hand;
mod steered;
mod telling;
mod windows_open;
