//! The compiled part of the Python package `pipeline_zmq`.
//!
//! Joins Python to the crates of the pipeline: values of Python on the wire, functions of Python in a
//! worker, and a ventilator and a sink inside the caller's process. Owns what must be fast or must not
//! wait for the interpreter; what a user sees is in `python/pipeline_zmq/`, and is Python.
//!
//! | | |
//! | --- | --- |
//! | `values/` | objects of Python as MessagePack, and back |
//! | `worker/` | a worker's process: its flags, its function on the main thread |
//! | `pool/` | the caller's side: units in, results out, ventilator and sink on threads of their own |
//! | `service/` | services, for their callers |
//! | `shelf.rs` | memory that a pool and its workers share, for large buffers |
//! | `cli.rs` | the program `pipeline` from Python |
//!
//! No wait holds the interpreter, and none of the caller's main thread lasts longer than a moment
//! without a look at its signals.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::panic, clippy::unreachable, clippy::expect_used))]

mod cli;
mod pool;
mod service;
mod shelf;
mod values;
mod worker;

/// What `pipeline_zmq` is built on; not for others.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::{
        cli::command_line,
        pool::{Engine, Feed, Results},
        service::{Connection, Outputs, Replies, Ticket, Tray, connect},
        shelf::use_shelves,
        values::Raised,
        worker::{Units, current_unit, shared_source, work},
    };
}
