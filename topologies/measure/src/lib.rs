//! The package `measure`, behind `pipeline bench`: measures this machine with real processes, and what it is compared with.
//!
//! Every comparison is of the same work done twice, in turns (A B A B), and what came out is
//! checked on both sides. Owns the order of the measurements; each one is a file of its own below
//! [`measures`]. Refuses to run anything that a user could not run as well.

#![forbid(unsafe_code)]

pub mod bare;
pub mod figure;
pub mod machine;
pub mod measures;
pub mod ours;
pub mod process;
pub mod report;
pub mod site;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitStatus,
};

use proto::net::key::KeyError;
use thiserror::Error;

pub use self::{figure::Figure, measures::Measure, report::Report};

/// What processes talk over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Unix sockets.
    Ipc,
    /// tcp on this machine, without encryption.
    Tcp,
    /// tcp on this machine, encrypted and authenticated.
    Curve,
}

impl Transport {
    /// How people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipc => "ipc",
            Self::Tcp => "tcp",
            Self::Curve => "curve",
        }
    }

    /// The same without encryption: what the guide's pipeline is run over.
    pub fn unencrypted(self) -> Self {
        match self {
            Self::Curve => Self::Tcp,
            plain => plain,
        }
    }
}

/// What ours is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Against {
    /// The ZeroMQ guide's own pipeline.
    Bare,
    /// cat, xargs, a Python pool: what one would take instead.
    Tools,
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Enough to be believed on a quiet machine.
    Full,
    /// Enough to see that it works.
    Quick,
}

/// What is to be measured, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The measurements, in this order.
    pub only: Vec<Measure>,
    /// How many times each side runs.
    pub pairs: u32,
    /// What the processes talk over.
    pub transports: Vec<Transport>,
    /// What ours is compared with.
    pub against: Vec<Against>,
    /// How much is measured.
    pub effort: Effort,
    /// Where temporary files lie: the disk that is measured.
    pub folder: Option<PathBuf>,
}

impl Options {
    /// Whether ours is compared with that.
    pub fn compares(&self, other: Against) -> bool {
        self.against.contains(&other)
    }

    /// Where one is enough: the first that was asked for.
    pub fn transport(&self) -> Transport {
        self.transports.first().copied().unwrap_or(Transport::Ipc)
    }

    /// One of two numbers, by the effort.
    pub fn either<T>(&self, full: T, quick: T) -> T {
        match self.effort {
            Effort::Full => full,
            Effort::Quick => quick,
        }
    }
}

/// Why a measurement has no figure.
#[derive(Debug, Error)]
pub enum Failure {
    /// A file, or what a process has written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No port to listen at.
    #[error("found no free port")]
    Ports,
    /// A process can't be started.
    #[error("cannot start {name}: {source}")]
    Start {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A process ended otherwise than well.
    #[error("{name} ended with {status}: {}", words.trim_end())]
    Ended {
        /// Which.
        name: String,
        /// How.
        status: ExitStatus,
        /// What it said.
        words: String,
    },
    /// What came out is not what had to come out.
    #[error("{who}: {what} is {found}, and has to be {expected}")]
    Wrong {
        /// Which side.
        who: &'static str,
        /// Of what.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
}

impl Failure {
    /// A file that can't be used.
    pub fn file(path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        Self::File { path: path.as_ref().into(), source: source.into() }
    }

    /// Compares what came out with what had to.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when they differ.
    pub fn unless_equal<T: PartialEq + ToString>(
        who: &'static str,
        what: &'static str,
        found: T,
        expected: T,
    ) -> Result<(), Self> {
        if found == expected {
            return Ok(());
        }
        let (found, expected) = (found.to_string(), expected.to_string());
        Err(Self::Wrong { who, what, found, expected })
    }
}

/// Measures, and tells on stderr what it is at, and each row when it is known.
///
/// # Errors
/// [`Failure`] of the first measurement that has no figure.
pub fn run(options: &Options) -> Result<Report, Failure> {
    let machine = machine::describe();
    let mut figures = Vec::new();
    for measure in &options.only {
        // Nobody may be left to read it; that is no reason to fail.
        let _ = writeln!(io::stderr(), "measuring {} …", measure.name());
        measure.run(options, &mut |figure| {
            let _ = writeln!(io::stderr(), "  {}", report::line(&figure));
            figures.push(figure);
        })?;
    }
    Ok(Report { machine, figures })
}
