//! Makes outcomes safe: the thread that records, its log, and the run directory.
//!
//! - [`recorder`]: the thread that decides how outcomes are made safe, and writes them out
//! - [`secure`]: the thread that syncs, and answers for what is safe
//! - [`log`]: the commit log; `logged`: what its records say
//! - [`unlogged`]: large outcomes that are in memory only until an earlier one comes
//! - [`run_dir`]: what outlives the sink
//! - [`lives`]: what is counted over all starts of a run's processes
//! - [`retry`]: gives dead units another try
//! - [`error`]: why outcomes can't be recorded

pub mod error;
pub mod lives;
pub mod log;
pub mod logged;
pub mod recorder;
pub mod retry;
pub mod run_dir;
pub mod secure;
pub mod unlogged;
