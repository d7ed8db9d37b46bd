//! The program `pipeline`, run by Python.

use std::process::ExitCode;

use proto::kin::guard;
use pyo3::prelude::*;

/// Does what a command line of `pipeline` says; the exit code.
///
/// `arguments` are those behind the program's name; `host` is how this program is started again, for
/// the processes of a run: the interpreter and its arguments.
#[pyfunction]
pub(crate) fn command_line(py: Python<'_>, arguments: Vec<String>, host: Vec<String>) -> u8 {
    py.detach(|| {
        proto::this_program::hosted_by(host, &arguments);
        let code = match guard::stand_if_asked() {
            Some(code) => {
                pipeline::up::workplace::remove_left();
                pipeline::runs::entry::sweep();
                code
            }
            None => {
                let words = std::iter::once("pipeline".to_owned()).chain(arguments);
                proto::cli::main_of(words, pipeline::cli::Cli::run)
            }
        };
        number(code)
    })
}

/// The number in an exit code, which does not tell it in another way.
pub(crate) fn number(code: ExitCode) -> u8 {
    (0..=u8::MAX).find(|number| ExitCode::from(*number) == code).unwrap_or(1)
}
