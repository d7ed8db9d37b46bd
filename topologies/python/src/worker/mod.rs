//! A worker's process, whose function is Python's.
//!
//! The function runs on the process's main thread, as signals, event loops and many libraries want it;
//! the worker itself, its sockets and its heartbeats, has threads that never wait for the interpreter.
//!
//! | | |
//! | --- | --- |
//! | `shipped.rs` | functions that come while the worker runs, and units that name them |
//! | `current.rs` | which unit the function works on |
//! | `watch.rs` | a thread that looks at how long it has been at it |

mod current;
mod shipped;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use proto::{cli, kin};
use pyo3::prelude::*;
use worker::cli::{PlaceArgs, exit_code};

pub(crate) use self::current::current_unit;
use self::shipped::Shipped;

/// Computes in Python what a ventilator sends.
#[derive(Debug, Parser)]
#[command(name = "python -m pipeline_zmq.worker", version, arg_required_else_help = true)]
struct Flags {
    #[command(flatten)]
    place: PlaceArgs,
    /// The function, as in `package.module:function` [default: what the ventilator says]
    #[arg(value_name = "MODULE:FUNCTION")]
    function: Option<String>,
}

/// Runs a worker on the main thread until it leaves; what to leave with. `host` is what loads functions
/// and packs what they raise.
#[pyfunction]
pub(crate) fn work(py: Python<'_>, arguments: Vec<String>, host: Py<PyAny>) -> u8 {
    let words = std::iter::once("worker".to_owned()).chain(arguments);
    py.detach(|| crate::cli::number(cli::main_of(words, |flags: Flags| run(flags, host))))
}

fn run(flags: Flags, host: Py<PyAny>) -> ExitCode {
    kin::adopt();
    let shipped = match Shipped::new(host) {
        Ok(shipped) => shipped,
        Err(error) => return exit_code(Err(error.into())),
    };
    let prepared = match flags.place.prepare(Some(Box::new(shipped))) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    cli::drain_on_signals(prepared.handle());
    let (workbench, thread) = match prepared.run_apart() {
        Ok(parts) => parts,
        Err(error) => return exit_code(Err(error.into())),
    };
    while workbench.turn() {}
    let ended = thread.join();
    kin::end_all();
    match ended {
        Ok(ended) => exit_code(ended),
        Err(_) => ExitCode::FAILURE,
    }
}
