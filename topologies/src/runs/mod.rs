//! This user's runs that go on: where they are listed, and how one is spoken to.
//!
//! Knows no run's own files and no rule of it; whoever runs one announces it here, and every other
//! command finds it here.
//!
//! | | |
//! | --- | --- |
//! | `folder.rs` | the private folders that the list may lie in |
//! | `entry.rs` | what is listed of a run, as long as its launcher lives |
//! | `choice.rs` | which run a command means |
//! | `wire.rs` | what is asked of a launcher, and answered |
//! | `call.rs` | asking |
//! | `when.rs` | since when, as people read it |

pub mod call;
pub mod choice;
pub mod entry;
pub mod folder;
pub mod when;
pub mod wire;
