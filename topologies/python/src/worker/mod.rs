//! A worker's process, whose function is Python's.
//!
//! The function runs on the process's main thread, as signals, event loops and many libraries want it;
//! the worker itself, its sockets and its heartbeats, has threads that never wait for the interpreter.
//!
//! | | |
//! | --- | --- |
//! | `shipped.rs` | functions that come while the worker runs, and units that name them |
//! | `stage.rs` | the function of a topology's stage |
//! | `group.rs`, `port.rs` | units one after the other; units of which many are open at once |
//! | `terms.rs` | what a result means, and an exception |
//! | `current.rs` | which unit the function works on |
//! | `watch.rs` | a thread that looks at how long it has been at it |

mod current;
mod group;
mod port;
mod shipped;
mod stage;
mod terms;
mod watch;

use std::{io, process::ExitCode, sync::Arc};

use clap::Parser;
use proto::{cli, kin, plan, telling::Telling};
use pyo3::prelude::*;
use worker::cli::{PlaceArgs, exit_code};

pub(crate) use self::{current::current_unit, port::Units};
use self::{
    port::Port,
    shipped::Shipped,
    stage::{Staged, Stages},
};

/// Computes in Python what a ventilator sends.
#[derive(Debug, Parser)]
#[command(
    name = "worker",
    bin_name = "python -m pipeline_zmq.worker",
    version,
    arg_required_else_help = true
)]
struct Flags {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    telling: Telling,
    /// The function, as in `package.module:function` [default: what the ventilator says]
    #[arg(value_name = "MODULE:FUNCTION")]
    function: Option<String>,
}

/// What workers without this package run as well: the forms of values, how a stage's source is run, and
/// what becomes of what it prints.
#[pyfunction]
pub(crate) fn shared_source() -> &'static str {
    concat!(
        include_str!("../../../../worker/src/external/forms.py"),
        "\n",
        include_str!("../../../../worker/src/external/source.py"),
        "\n",
        include_str!("../../../../worker/src/external/words.py")
    )
}

/// Runs a worker on the main thread until it leaves; what to leave with. `host` is what loads functions
/// and packs what they raise; `words` are how this program is started again.
#[pyfunction]
pub(crate) fn work(
    py: Python<'_>,
    arguments: Vec<String>,
    host: Py<PyAny>,
    words: Vec<String>,
) -> u8 {
    py.detach(|| {
        proto::this_program::hosted_by(words, &arguments);
        let line = std::iter::once("worker".to_owned()).chain(arguments);
        crate::cli::number(cli::main_of(line, |flags: Flags| run(flags, host)))
    })
}

impl cli::Program for Flags {
    fn telling(&self) -> Telling {
        self.telling
    }
}

fn run(flags: Flags, host: Py<PyAny>) -> ExitCode {
    if let Some(code) = flags.place.run_crowd() {
        return code;
    }
    kin::adopt();
    match start(flags, host) {
        Ok(code) | Err(Stop::Told(code)) => code,
        Err(Stop::Io(error)) => exit_code(Err(error.into())),
    }
}

/// Why no worker is run.
enum Stop {
    Told(ExitCode),
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn start(flags: Flags, host: Py<PyAny>) -> Result<ExitCode, Stop> {
    let port = Port::new()?;
    let another = || Python::attach(|py| host.clone_ref(py));
    let function: Box<dyn worker::Function> = match flags.function {
        None => Box::new(Shipped::new(another(), port.clone(), flags.place.code())?),
        Some(path) => {
            let stage = plan::Stage::new("work", plan::Function::Call(path));
            Box::new(Staged::new(another(), &stage, port.clone())?)
        }
    };
    let stages = Box::new(Stages::new(another(), port.clone()));
    let prepared = flags.place.prepare(Some(function), Some(stages)).map_err(Stop::Told)?;
    cli::drain_on_signals(prepared.handle());
    port.belongs_to(prepared.handle());
    let (workbench, thread) = prepared.run_apart()?;
    let workbench = Arc::new(workbench);
    let mut more = workbench.turn();
    while more {
        // Code that came while the function was loaded goes first: it would end the loop.
        if port.is_begun() && !workbench.is_wanted() {
            serve(&host, Units::new(port.clone(), workbench.clone()));
        }
        more = workbench.turn();
    }
    let ended = thread.join();
    kin::end_all();
    Ok(ended.map_or(ExitCode::FAILURE, exit_code))
}

/// Gives the main thread to Python's event loop, until it is wanted for something else.
fn serve(host: &Py<PyAny>, units: Units) {
    Python::attach(|py| {
        if let Err(error) = host.bind(py).call_method1("serve", (units,)) {
            error.print(py);
        }
    });
}
