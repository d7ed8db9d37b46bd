//! One run of the guide's pipeline: its processes started, its results checked.

use std::{
    process::{ChildStdin, ChildStdout, Command},
    time::Duration,
};

use super::{Begun, Collected};
use crate::{
    Failure, Transport,
    site::{Process, Site, ends_before},
};

/// How long a run took, and what its sink has counted.
#[derive(Debug)]
pub struct Taken {
    /// From the first unit's leaving to the last one's arrival.
    pub time: Duration,
    /// What the sink says.
    pub collected: Collected,
}

/// Runs the guide's pipeline once, with two workers. Given are the arguments of `pipeline bare`
/// for its ventilator, its workers and its sink, but for where they meet.
///
/// # Errors
/// [`Failure`] when a process fails.
pub fn run(
    site: &Site,
    transport: Transport,
    [send, work, collect]: [&[&str]; 3],
) -> Result<Taken, Failure> {
    let meeting = Meeting::new(site, transport)?;
    let mut sink = site.start("bare-sink", meeting.sink(site, collect))?;
    let mut first = site.start("bare-worker-1", meeting.worker(site, work))?;
    let mut second = site.start("bare-worker-2", meeting.worker(site, work))?;
    let mut ventilator = site.start("bare-ventilator", meeting.ventilator(site, send, 2))?;
    ends_before(&mut sink, [&mut ventilator, &mut first, &mut second])?;
    let begun: Begun = parse("bare-ventilator", &ventilator.printed()?)?;
    let collected: Collected = parse("bare-sink", &sink.printed()?)?;
    let time = Duration::from_nanos(collected.ended_ns.saturating_sub(begun.begun_ns));
    Ok(Taken { time, collected })
}

/// The guide's pipeline from one line to the next: one worker, which gives back what it gets.
pub struct Line {
    // They end with it.
    _processes: [Process; 3],
}

impl Line {
    /// Starts it, and waits for nothing: what is written is read when all are there.
    ///
    /// # Errors
    /// [`Failure`] when a process can't be started.
    pub fn start(
        site: &Site,
        transport: Transport,
    ) -> Result<(Self, ChildStdin, ChildStdout), Failure> {
        let meeting = Meeting::new(site, transport)?;
        let (sink, _, output) = site.start_piped("bare-sink", meeting.sink(site, &["print"]))?;
        let work = ["worker", "--run", "echo"];
        let worker = site.start("bare-worker", meeting.worker(site, &work))?;
        let (ventilator, input, _) =
            site.start_piped("bare-ventilator", meeting.ventilator(site, &["lines"], 1))?;
        Ok((Self { _processes: [sink, worker, ventilator] }, input, output))
    }
}

/// Where the processes of a run meet.
struct Meeting {
    ventilator: String,
    sink: String,
}

impl Meeting {
    fn new(site: &Site, transport: Transport) -> Result<Self, Failure> {
        let ventilator = site.endpoint(transport, "bare-ventilator")?.to_string();
        let sink = site.endpoint(transport, "bare-sink")?.to_string();
        Ok(Self { ventilator, sink })
    }

    fn sink(&self, site: &Site, args: &[&str]) -> Command {
        let mut command = bare(site, args);
        command.args(["--bind", &self.sink]);
        command
    }

    fn worker(&self, site: &Site, args: &[&str]) -> Command {
        let mut command = bare(site, args);
        command.args(["--from", &self.ventilator, "--to", &self.sink]);
        command
    }

    fn ventilator(&self, site: &Site, args: &[&str], workers: u32) -> Command {
        let mut command = bare(site, args);
        command.args(["--bind", &self.ventilator, "--workers", &workers.to_string()]);
        command
    }
}

fn bare(site: &Site, args: &[&str]) -> Command {
    let mut command = site.this_program();
    command.arg("bare").args(args);
    command
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, json: &str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|error| Failure::file(name, std::io::Error::from(error)))
}
