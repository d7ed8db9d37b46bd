//! `pipeline map`: one command, or one function, over many arguments, for those who come from xargs
//! and GNU parallel.
//!
//! [`arguments`] are where units come from, [`jobs`] runs a program for each of them, [`calls`] a
//! function; [`printer`] writes what comes back, [`joblog`] keeps how each ended, and [`halt`](crate::halt) decides
//! when it is enough. Underneath is a pipeline inside this process, so that the first result is there
//! at once; everything on its way is in memory, and what is to outlive this process is the job log's.

pub mod arguments;
pub mod calls;
pub mod joblog;
pub mod jobs;
pub mod places;
pub mod printer;
pub mod tally;
