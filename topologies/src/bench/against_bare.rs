//! One run of the guide's pipeline: its processes started, its results checked.

use std::time::Duration;

use super::{
    Failure, Transport,
    bare::{Begun, Collected},
    site::{Site, ends_before},
};

/// How long a run took, and what its sink has counted.
#[derive(Debug)]
pub struct Taken {
    /// From the first unit's leaving to the last one's arrival.
    pub time: Duration,
    /// What the sink says.
    pub collected: Collected,
}

/// Runs the guide's pipeline once: `send` are the arguments of its ventilator that say what is
/// sent, `work` what the two workers do, `collect` the sink's.
///
/// # Errors
/// [`Failure`] when a process fails.
pub fn run(
    site: &Site,
    transport: Transport,
    [send, work, collect]: [&[&str]; 3],
) -> Result<Taken, Failure> {
    let sink_at = site.endpoint(transport, "bare-sink")?.to_string();
    let ventilator_at = site.endpoint(transport, "bare-ventilator")?.to_string();
    let start = |name: &str, role: &[&str], more: &[&str]| {
        let mut command = site.this_program();
        command.arg("bare").args(role).args(more);
        site.start(name, command)
    };
    let mut sink = start("bare-sink", &["sink", "--bind", &sink_at], collect)?;
    let worker = ["worker", "--from", &ventilator_at, "--to", &sink_at];
    let mut first = start("bare-worker-1", &worker, work)?;
    let mut second = start("bare-worker-2", &worker, work)?;
    let ventilator = ["ventilator", "--bind", &ventilator_at, "--workers", "2"];
    let mut ventilator = start("bare-ventilator", &ventilator, send)?;
    ends_before(&mut sink, &mut [&mut ventilator, &mut first, &mut second])?;
    let begun: Begun = parse("bare-ventilator", &ventilator.printed()?)?;
    let collected: Collected = parse("bare-sink", &sink.printed()?)?;
    let time = Duration::from_nanos(collected.ended_ns.saturating_sub(begun.begun_ns));
    Ok(Taken { time, collected })
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, json: &str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|error| Failure::file(name, std::io::Error::from(error)))
}
