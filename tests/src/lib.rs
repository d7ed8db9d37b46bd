//! The harness: real processes of the real programs, each scenario in a folder of its own.
//!
//! Owns how programs are built, started, signalled, awaited and read. Only [`fuzz`]
//! calls the crates' own functions: what a scenario learns of a run, it learns as a user does, from
//! files, exit codes and text. The promises themselves are in `tests/`, one file each.
#![forbid(unsafe_code)]

pub mod cases;
pub mod chaos;
pub mod crash;
pub mod crowd;
pub mod fuzz;
pub mod hand;
pub mod hostile;
pub mod http;
pub mod imports;
pub mod mark;
pub mod memory;
pub mod outcome;
pub mod place;
pub mod plain;
pub mod process;
pub mod programs;
pub mod relay;
pub mod runs;
pub mod screen;
pub mod stubborn;
pub mod surroundings;
pub mod terminal;
pub mod topologies;
pub mod torture;
pub mod wait;
