//! Asking a launcher.
//!
//! Owns the way of one line there and one back, and how long is waited; refuses to know what is asked.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

use thiserror::Error;

use super::{
    entry::Entry,
    wire::{ANSWER_BYTES_MAX, Answer, Ask, Reply, Request, Status, VERSION},
};

/// How long an answer that a launcher can give at once is waited for.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// The same of how far a run has got, where nobody wants to wait.
pub const GLANCE: Duration = Duration::from_millis(500);

/// Why a launcher was not asked.
#[derive(Debug, Error)]
pub enum CallError {
    /// It is gone.
    #[error("the launcher of `{name}`, process {pid}, has ended")]
    Gone {
        /// The run.
        name: String,
        /// Its process id.
        pid: u32,
    },
    /// It does not answer.
    #[error("the launcher of `{name}`, process {pid}, does not answer: {source}")]
    Silent {
        /// The run.
        name: String,
        /// Its process id.
        pid: u32,
        /// What the system says.
        source: io::Error,
    },
    /// It is of another version of this program.
    #[error("process {pid}, which runs `{name}`, is of another version of this program")]
    Foreign {
        /// The run.
        name: String,
        /// Its process id.
        pid: u32,
    },
}

/// Asks the launcher of a run; without a limit as long as it takes.
///
/// # Errors
/// [`CallError`] when there is no answer.
pub fn call(run: &Entry, ask: Ask, limit: Option<Duration>) -> Result<Reply, CallError> {
    let (name, pid) = (run.name.clone(), run.pid);
    let line = exchange(run, &Request::new(ask), limit).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => CallError::Gone { name: name.clone(), pid },
        _ => CallError::Silent { name: name.clone(), pid, source },
    })?;
    if line.is_empty() {
        return Err(CallError::Gone { name, pid });
    }
    match serde_json::from_str::<Answer>(&line) {
        Ok(Answer { version: VERSION, reply }) => Ok(reply),
        _ => Err(CallError::Foreign { name, pid }),
    }
}

fn exchange(run: &Entry, request: &Request, limit: Option<Duration>) -> io::Result<String> {
    let mut stream = UnixStream::connect(&run.socket)?;
    stream.set_read_timeout(limit)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).take(ANSWER_BYTES_MAX).read_line(&mut answer)?;
    Ok(answer)
}

/// Whether anybody listens where the launcher of a run does, also one that has no time just now.
pub fn is_there(run: &Entry) -> bool {
    UnixStream::connect(&run.socket).is_ok()
}

/// How far a run has got, if its launcher says so soon.
pub fn status(run: &Entry) -> Option<Status> {
    match call(run, Ask::Status, Some(GLANCE)) {
        Ok(Reply::Status(status)) => Some(status),
        _ => None,
    }
}
