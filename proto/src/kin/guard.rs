//! A small process that watches another one, and ends what that has left if it is killed.
//!
//! Owns the mark by which it knows what belongs to the other; refuses to act as long as the other
//! lives. It is this program again, with the one argument [`ARGUMENT`].
//!
//! Whoever is killed with SIGKILL can end nothing any more, and what its programs have started
//! belongs to nobody then: it is known by the environment that it was started with.

use std::{
    env,
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

use process_wrap::std::{CommandWrap, CommandWrapper, ProcessSession};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

use super::table;

/// How this program is asked to stand guard.
pub const ARGUMENT: &str = "guard";
/// The variable by which everything that belongs to a guarded process is known.
pub const VARIABLE: &str = "PIPELINE_GUARDED";

/// What belongs to a process that was killed is looked for until it was not there so often.
const QUIET_ROUNDS: u32 = 3;
const ROUND: Duration = Duration::from_millis(5);
/// Processes that nothing ends are waited for no longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Signals that are meant for those that work, and reach a guard as well.
const NOT_FOR_GUARDS: [Signal; 7] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::TSTP,
    Signal::TTIN,
    Signal::TTOU,
];

/// A guard over this process; it leaves when this is dropped.
#[derive(Debug)]
pub(super) struct Guard {
    // Its standard input ends when this process does.
    child: Child,
    value: String,
}

impl Guard {
    /// Has this program started once more, as a guard over this process.
    pub(super) fn post() -> io::Result<Self> {
        let chance = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let value = format!("{}-{chance:016x}", std::process::id());
        let mut command = Command::new(this_program()?);
        command
            .arg(ARGUMENT)
            .env(VARIABLE, &value)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        in_own_session(&mut command)?;
        Ok(Self { child: command.spawn()?, value })
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What [`VARIABLE`] is for everything that belongs to this process.
    pub(super) fn value(&self) -> &str {
        &self.value
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have been killed by someone else.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has a command start as the leader of a session, which has no terminal.
pub(super) fn in_own_session(command: &mut Command) -> io::Result<()> {
    // Nothing but what it does to a command is wanted of the wrapper.
    ProcessSession.pre_spawn(command, &CommandWrap::from(Command::new("")))
}

/// This program's file; if that was built anew meanwhile, what runs of it.
fn this_program() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    Ok(if program.exists() { program } else { Path::new("/proc/self/exe").into() })
}

/// Stands guard, if this program was started for that: what `main` returns then.
pub fn stand_if_asked() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let asked =
        arguments.next().is_some_and(|argument| argument == ARGUMENT) && arguments.next().is_none();
    let value = env::var(VARIABLE).ok().filter(|_| asked)?;
    stand(&format!("{VARIABLE}={value}"));
    Some(ExitCode::SUCCESS)
}

fn stand(mark: &str) {
    for signal in NOT_FOR_GUARDS {
        let _ = signal_hook::flag::register(signal.as_raw(), Arc::new(AtomicBool::new(false)));
    }
    // The end of the input is the end of the process that was guarded.
    let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
    let deadline = Instant::now() + PATIENCE;
    let mut quiet = 0;
    while quiet < QUIET_ROUNDS && Instant::now() < deadline {
        quiet = if end_marked(mark) { 0 } else { quiet + 1 };
        thread::sleep(ROUND);
    }
}

/// Ends everything with the mark and below it, but this process; whether there was anything.
fn end_marked(mark: &str) -> bool {
    let me = getpid();
    let mut any = false;
    for pid in table::marked(mark).into_iter().filter(|pid| *pid != me) {
        // A process id may be given to another one at any moment: what is ended is what was
        // looked at.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        if table::is_marked(pid, mark) {
            let below = table::below(pid, Some(me));
            any |= pidfd_send_signal(&process, Signal::KILL).is_ok();
            for child in below {
                let _ = rustix::process::kill_process(child, Signal::KILL);
            }
        }
    }
    any
}
