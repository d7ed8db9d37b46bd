//! How this program is started once more: as one of several, in another role, as a guard.
//!
//! Owns that a program may be hosted by another one, an interpreter, whose file is not its own; refuses
//! to start anything.

use std::{
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// What hosts this program.
#[derive(Debug)]
struct Host {
    /// The interpreter, and what makes it run this program.
    words: Vec<String>,
    arguments: Vec<OsString>,
}

static HOST: OnceLock<Host> = OnceLock::new();

/// This program is run by an interpreter: `words` start it again, and `arguments` are what it was
/// given. The first call counts.
pub fn hosted_by(words: Vec<String>, arguments: &[String]) {
    let arguments = arguments.iter().map(OsString::from).collect();
    if !words.is_empty() {
        // A second one would say the same.
        let _ = HOST.set(Host { words, arguments });
    }
}

/// The arguments behind the name of this program.
pub fn arguments() -> Vec<OsString> {
    let own = || env::args_os().skip(1).collect();
    HOST.get().map_or_else(own, |host| host.arguments.clone())
}

/// How this program is started, to be told what to do.
///
/// # Errors
/// When the system does not tell which file it is.
pub fn command() -> io::Result<Command> {
    if let Some(Host { words, .. }) = HOST.get()
        && let Some((interpreter, rest)) = words.split_first()
    {
        let mut command = Command::new(interpreter);
        command.args(rest);
        return Ok(command);
    }
    Ok(Command::new(file()?))
}

/// This program's file; if that was built anew meanwhile, what runs of it.
fn file() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    Ok(if program.exists() { program } else { Path::new("/proc/self/exe").into() })
}
