//! What can be measured, one file each.
//!
//! Owns the names; refuses to know how a figure is shown.

mod tiny;

use clap::ValueEnum;

use super::{Failure, Figure, Options};

/// One thing that can be measured; it gives one row or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// Throughput of units that cost nothing.
    Tiny,
}

impl Measure {
    /// All of them, in the order in which they are run.
    pub fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    /// What `--only` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
        }
    }

    /// What is measured, in words.
    pub fn what(self) -> &'static str {
        match self {
            Self::Tiny => "range, square, count and sum; 2 workers, ephemeral",
        }
    }

    /// Measures it.
    ///
    /// # Errors
    /// [`Failure`] when a process fails, or what comes out is wrong.
    pub fn run(self, options: &Options) -> Result<Vec<Figure>, Failure> {
        match self {
            Self::Tiny => tiny::measure(options),
        }
    }
}
