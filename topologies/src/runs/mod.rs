//! This user's runs that go on: where they are listed, and how one is spoken to.
//!
//! Knows no rule of a run and, but for its history, none of its files; whoever runs one announces it here, and every other
//! command finds it here.
//!
//! | | |
//! | --- | --- |
//! | `folder.rs` | the private folders that the list may lie in |
//! | `entry.rs` | what is listed of a run, as long as its launcher lives |
//! | `choice.rs` | which run a command means |
//! | `wire.rs` | what is asked of a launcher, and answered |
//! | `call.rs` | asking |
//! | `history.rs`, `history_file.rs` | how a run went on over time, and the file of it |
//! | `fate.rs` | whether a run that is not there any more was ended, or has died |
//! | `services.rs` | where a service is that is called by its name |
//! | `when.rs` | since when, as people read it |

pub mod call;
pub mod choice;
pub mod entry;
pub mod fate;
pub mod folder;
pub mod history;
pub mod history_file;
pub mod services;
pub mod when;
pub mod wire;
