//! How a process ended, and the words for it.
//!
//! Owns both; refuses to know what follows.

use std::fmt;

/// The exit code of a Rust program that panicked.
pub(super) const PANICKED: i32 = 101;
/// The numbers of the signals by which a process is asked to end: SIGHUP, SIGINT, SIGTERM.
pub(super) const ASKED: [i32; 3] = [1, 2, SIGTERM];
pub(super) const SIGTERM: i32 = 15;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// It never began.
    NotStarted,
    /// It never began, since the system had no room for it.
    Refused,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(0) => write!(f, "has left"),
            Self::Code(PANICKED) => write!(f, "panicked"),
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Signal(signal) => write!(f, "was ended by {}", Named(*signal)),
            Self::NotStarted | Self::Refused => write!(f, "could not be started"),
        }
    }
}

/// A signal as people call it.
struct Named(i32);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            1 => "SIGHUP",
            2 => "SIGINT",
            4 => "SIGILL",
            6 => "SIGABRT",
            7 => "SIGBUS",
            8 => "SIGFPE",
            9 => "SIGKILL",
            11 => "SIGSEGV",
            13 => "SIGPIPE",
            SIGTERM => "SIGTERM",
            24 => "SIGXCPU",
            31 => "SIGSYS",
            other => return write!(f, "signal {other}"),
        })
    }
}
