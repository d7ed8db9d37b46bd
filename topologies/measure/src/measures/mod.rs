//! What can be measured, one file each.
//!
//! Owns the names; refuses to know how a figure is shown.

mod busy;
mod exec;
mod latency;
mod lines;
mod memory;
mod payload;
mod pipe;
mod recovery;
mod scale;
mod skew;
mod startup;
mod tiny;

use clap::ValueEnum;

use super::{Failure, Figure, Options, Transport};

/// One thing that can be measured; it gives one row or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// range, square, count and sum; 2 workers, nothing kept
    Tiny,
    /// The same, durable, with JSON lines in input order
    Durable,
    /// Lines of 100 bytes, through echo, to JSON lines, durable
    Lines,
    /// One unit in flight, from a line typed to a line printed
    Latency,
    /// Lines of 1 MiB, through echo, counted
    Payload,
    /// Heavy-tailed units from 1 to 500 ms, the longest last
    Skew,
    /// The same, with a worker stopped in the middle
    Stopped,
    /// The share of time that workers compute, units of 1 ms
    Busy,
    /// A process a unit: /bin/true
    Exec,
    /// A Python loop that squares a JSON line
    Pipe,
    /// From `pipeline up` to the first result
    Startup,
    /// Memory of all processes together, at few and at many units
    Memory,
    /// From a worker's death until others have all its units
    Recovery,
    /// A parcel in ventilator and sink, with 10 to 10,000 workers that are made up
    Scale,
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
            Self::Durable => "durable",
            Self::Lines => "lines",
            Self::Latency => "latency",
            Self::Payload => "payload",
            Self::Skew => "skew",
            Self::Stopped => "stopped",
            Self::Busy => "busy",
            Self::Exec => "exec",
            Self::Pipe => "pipe",
            Self::Startup => "startup",
            Self::Memory => "memory",
            Self::Recovery => "recovery",
            Self::Scale => "scale",
        }
    }

    /// Measures it; each row is told as soon as it is known.
    ///
    /// # Errors
    /// [`Failure`] when a process fails, or what comes out is wrong.
    pub fn run(self, options: &Options, tell: &mut dyn FnMut(Figure)) -> Result<(), Failure> {
        let rows = match self {
            Self::Tiny => return each(options, tell, one(tiny::ephemeral)),
            Self::Durable => return each(options, tell, one(tiny::durable)),
            Self::Lines => return each(options, tell, one(lines::measure)),
            Self::Latency => return each(options, tell, latency::measure),
            Self::Payload => return each(options, tell, one(payload::measure)),
            Self::Skew => skew::measure(options),
            Self::Stopped => skew::stopped(options),
            Self::Busy => busy::measure(options),
            Self::Exec => exec::measure(options),
            Self::Pipe => pipe::measure(options),
            Self::Startup => startup::measure(options),
            Self::Memory => memory::measure(options),
            Self::Recovery => recovery::measure(options),
            Self::Scale => scale::measure(options),
        };
        rows?.into_iter().for_each(tell);
        Ok(())
    }
}

/// What depends on the transport is measured over each that was asked for.
fn each<R: IntoIterator<Item = Figure>>(
    options: &Options,
    tell: &mut dyn FnMut(Figure),
    measure: impl Fn(&Options, Transport) -> Result<R, Failure>,
) -> Result<(), Failure> {
    for transport in &options.transports {
        measure(options, *transport)?.into_iter().for_each(&mut *tell);
    }
    Ok(())
}

/// A measurement of one row, as one of several.
fn one(
    measure: impl Fn(&Options, Transport) -> Result<Figure, Failure>,
) -> impl Fn(&Options, Transport) -> Result<[Figure; 1], Failure> {
    move |options, transport| Ok([measure(options, transport)?])
}
