//! Sources, outputs and what else a process finds around it: odd, missing, changed under its hands.

mod bounded_memory;
mod changed_sources;
mod no_harm;
mod odd_files;
mod odd_inputs;
mod spooled_stdin;
mod surroundings;
mod unwritable;
