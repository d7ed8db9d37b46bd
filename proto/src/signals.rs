//! The signals by which people and systems ask a process to end or to pause.
//!
//! Owns which of them are heard, and what counts as asking again; refuses to decide what follows.
//! What was ignored when this process was started stays ignored (`nohup`, `trap '' INT`, a job in
//! the background of a script); what was blocked is let in, since nobody means a program by it
//! that has not begun.

use std::{
    fs, io,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::SigSet;
use rustix::process::Signal;
use signal_hook::{iterator::Signals, low_level};
use thiserror::Error;

use crate::{kin, launcher};

/// Signals within so long after one that was heard are the same wish: a terminal that closes, a
/// service manager, and `timeout` send more than one, and a person needs longer.
const SAME_WISH: Duration = Duration::from_millis(50);
/// Those that ask for an end, beside Ctrl-C.
const ENDS: [Signal; 2] = [Signal::TERM, Signal::HUP];
/// Those that ask for a pause.
const PAUSES: [Signal; 3] = [Signal::TSTP, Signal::TTIN, Signal::TTOU];

/// Why no signal is heard.
#[derive(Debug, Error)]
pub enum SignalsError {
    /// Ctrl-C can't be listened to.
    #[error("cannot listen to Ctrl-C: {0}")]
    Interrupt(#[from] ctrlc::Error),
    /// The others can't be.
    #[error("cannot listen to signals: {0}")]
    Others(#[from] io::Error),
}

/// Prepares this process: blocked signals are let in, the ends of children are told also if they
/// were ignored, and a file that reaches the limit for files is an error instead of the end. Call it from the main thread, before there are others.
pub fn settle() {
    let mut wanted = SigSet::empty();
    for signal in [Signal::INT].into_iter().chain(ENDS).chain(PAUSES).chain([Signal::CHILD]) {
        if let Ok(signal) = nix::sys::signal::Signal::try_from(signal.as_raw()) {
            wanted.add(signal);
        }
    }
    let _ = wanted.thread_unblock();
    let mut handled = vec![Signal::XFSZ];
    // The system takes the remains of children away as long as it is ignored, and nobody learns
    // how they ended.
    handled.extend(ignored().contains(Signal::CHILD).then_some(Signal::CHILD));
    for signal in handled {
        let unread = Arc::new(AtomicBool::new(false));
        let _ = signal_hook::flag::register(signal.as_raw(), unread);
    }
}

/// Calls `heard` each time that this process is asked to end by Ctrl-C, SIGTERM or SIGHUP, with
/// how often that was so far; from 1. With a pause (Ctrl-Z) everything below this process pauses
/// and goes on too, unless a launcher sees to that. Once a process.
///
/// # Errors
/// [`SignalsError`] when the system refuses; then signals end this process as they always do.
pub fn listen(heard: impl Fn(u32) + Send + Sync + 'static) -> Result<(), SignalsError> {
    let ignored = ignored();
    let listened_to = |signal: &Signal| !ignored.contains(*signal);
    let ear = Arc::new(Ear { wishes: Mutex::default(), heard });
    if listened_to(&Signal::INT) {
        let ear = ear.clone();
        ctrlc::set_handler(move || ear.hear())?;
    }
    let pauses: &[Signal] = if launcher::has_launcher() { &[] } else { &PAUSES };
    let wanted = ENDS.iter().chain(pauses).filter(|signal| listened_to(signal));
    let mut signals = Signals::new(wanted.map(|signal| signal.as_raw()))?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            match PAUSES.iter().any(|pause| pause.as_raw() == signal) {
                true => pause(),
                false => ear.hear(),
            }
        }
    })?;
    Ok(())
}

struct Ear<F> {
    wishes: Mutex<Wishes>,
    heard: F,
}

impl<F: Fn(u32)> Ear<F> {
    fn hear(&self) {
        let wish = self.wishes.lock().unwrap_or_else(PoisonError::into_inner).next(Instant::now());
        if let Some(count) = wish {
            (self.heard)(count);
        }
    }
}

/// How often an end was asked for.
#[derive(Debug, Default)]
struct Wishes {
    count: u32,
    last: Option<Instant>,
}

impl Wishes {
    /// Which wish a signal is at this time; none if it only repeats the one before.
    fn next(&mut self, now: Instant) -> Option<u32> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < SAME_WISH) {
            return None;
        }
        self.last = Some(now);
        self.count += 1;
        Some(self.count)
    }
}

/// Stops this process with everything below it, until someone lets it go on.
fn pause() {
    kin::pause_all();
    // Returns when it was continued.
    let _ = low_level::raise(Signal::STOP.as_raw());
    kin::resume_all();
}

/// A set of signals as the system writes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mask(u64);

impl Mask {
    fn contains(self, signal: Signal) -> bool {
        self.0 & (1 << (signal.as_raw() - 1)) != 0
    }
}

/// What is ignored now.
fn ignored() -> Mask {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_in(&status)
}

fn ignored_in(status: &str) -> Mask {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    Mask(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_come_together_are_one_wish_and_later_ones_are_more() {
        let (mut wishes, start) = (Wishes::default(), Instant::now());
        let mut after = |ms| wishes.next(start + Duration::from_millis(ms));
        assert_eq!(after(0), Some(1));
        assert_eq!(after(1), None);
        assert_eq!(after(49), None);
        assert_eq!(after(51), Some(2));
        assert_eq!(after(60), None);
        assert_eq!(after(200), Some(3));
    }

    #[test]
    fn what_is_ignored_is_read_from_the_systems_own_words() {
        let mask = ignored_in("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n");
        assert!(mask.contains(Signal::HUP) && mask.contains(Signal::PIPE));
        assert!(!mask.contains(Signal::TERM));
        assert_eq!(ignored_in("nothing"), Mask::default());
    }
}
