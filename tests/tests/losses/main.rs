//! Whatever is lost, killed, stopped, cut off or full: each unit ends in one result, and the output is that
//! of a calm run.

mod chaos;
mod crash;
mod expansion;
mod failures;
mod first_hello;
mod full_disk;
mod joining_and_leaving;
mod killed_workers;
mod large_results;
mod late_results;
mod many_open;
mod network_cut;
mod recovery;
mod stopped_workers;
mod streams_given_again;
mod torture;
mod tries;
mod waiting_results;
mod wall_clock;
