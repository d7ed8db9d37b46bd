//! What a process does that was started as a guard.
//!
//! Owns when it acts and when it is done; refuses everything but that: a program that is asked to
//! stand guard does nothing else.

use std::{
    env,
    io::{self, Read},
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

use super::{ARGUMENT, VARIABLE};
use crate::kin::table;
use crate::this_program;

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

/// Stands guard, if this program was started for that: what `main` returns then.
pub fn stand_if_asked() -> Option<ExitCode> {
    let mut arguments = this_program::arguments().into_iter();
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
