//! Makes outcomes safe: the thread that records, its log, and the run directory.
//!
//! - [`recorder`]: the thread that records, and does all else that the sink asks for
//! - `durable`: where outcomes are made safe, and **the order of the syncs**
//! - `resume`: a start: how outputs and log are brought to one state again
//! - [`syncer`]: the thread that syncs, and answers for what is safe
//! - [`log`]: the commit log; [`logged`]: what its records say
//! - [`deferred`]: large outcomes that are in memory only until an earlier one comes
//! - [`run_dir`]: what outlives the sink
//! - [`carried`]: what is counted over all starts of a run's processes
//! - [`terms`]: what a recorder may write to, and whom it tells
//! - [`retry`]: gives dead units another try
//! - `in_place`: puts what they give in its place, at the end
//! - [`versions`]: the topologies that a run was made with
//! - [`error`]: why outcomes can't be recorded

pub mod carried;
pub mod deferred;
mod durable;
pub mod error;
mod in_place;
pub mod log;
pub mod logged;
pub mod recorder;
mod resume;
pub mod retry;
pub mod run_dir;
pub mod syncer;
pub mod terms;
pub mod versions;
