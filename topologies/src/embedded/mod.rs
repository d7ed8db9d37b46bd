//! A whole pipeline in one process: a closure and an iterator in, an iterator out.
//!
//! Ventilator, workers and sink are the same roles as between processes, over in-process sockets
//! instead of a network, and keep the same promises: every item read from the source ends in
//! exactly one outcome, in order, and a consumer that does not take stops the source. Owns what
//! is special about one process: where units come from and where results go.
//!
//! [`map()`] is the short form, [`source()`] begins the long one.

mod error;
mod handover;
mod pipeline;
mod results;
mod tap;
mod threads;

pub use self::{
    error::{Dead, ResultError},
    pipeline::{Pipeline, Source, map, source},
    results::{Mapped, Results},
    threads::StartError,
};
