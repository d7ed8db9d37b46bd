//! One unit in flight: a line goes in at the ventilator, and is awaited at the sink.
//!
//! The same way on both sides: standard input, ventilator, worker, sink, standard output.

use std::{
    io::{BufRead, BufReader, Write},
    process::{ChildStdin, ChildStdout},
    time::Instant,
};

use sink::config::OutputSpec;
use ventilator::source::SourceSpec;

use crate::{
    Against, Failure, Figure, Options, Transport,
    bare::processes,
    figure::{Target, take_turns},
    ours::{Run, RunSpec, built_in},
    site::Site,
};

/// Units before the first one that counts: connections are made, branches are learnt.
const WARM_UP: usize = 500;

/// Two rows: the median and the 99th percentile.
pub(super) fn measure(options: &Options, transport: Transport) -> Result<[Figure; 2], Failure> {
    let units = options.either(20_000, 200);
    let figure = |what: &str| {
        Figure::new("latency", what, "µs")
            .over(transport)
            .to_reach(Target::TimesAtMost(1.15))
            .checked("count", units)
    };
    let mut rows =
        [figure("one unit in flight, line to line, p50"), figure("one unit in flight, p99")];
    take_turns(options.pairs, || {
        let ours = ours(options, transport, units)?;
        rows.iter_mut().zip(ours).for_each(|(row, us)| row.add(us));
        if options.compares(Against::Bare) {
            let bare = bare(options, transport, units)?;
            rows.iter_mut().zip(bare).for_each(|(row, us)| row.add_other("bare", us));
        }
        Ok(())
    })?;
    Ok(rows)
}

fn ours(options: &Options, transport: Transport, units: usize) -> Result<[f64; 2], Failure> {
    let site = Site::new(options.folder.as_deref())?;
    let mut order = RunSpec::new(transport, SourceSpec::Stdin, built_in("echo"));
    order.sink.output = Some(OutputSpec::Stdout);
    order.sink.aggregate.clear();
    let (run, input, output) = Run::start_piped(&site, &order)?;
    // Ours prints JSON.
    let percentiles = there_and_back("ours", input, output, units, |line| format!("\"{line}\""))?;
    let summary = run.finish()?.summary;
    let expected = (WARM_UP + units) as u64;
    Failure::unless_equal("ours", "the number of results", summary.results, expected)?;
    Ok(percentiles)
}

fn bare(options: &Options, transport: Transport, units: usize) -> Result<[f64; 2], Failure> {
    let site = Site::new(options.folder.as_deref())?;
    let (line, input, output) = processes::Line::start(&site, transport.unencrypted())?;
    let percentiles = there_and_back("bare", input, output, units, str::to_owned)?;
    drop(line);
    Ok(percentiles)
}

/// Microseconds, the median and the 99th percentile.
fn there_and_back(
    who: &'static str,
    mut input: ChildStdin,
    output: ChildStdout,
    units: usize,
    printed: impl Fn(&str) -> String,
) -> Result<[f64; 2], Failure> {
    let mut output = BufReader::new(output);
    let mut times = Vec::with_capacity(WARM_UP + units);
    let mut answer = String::new();
    for number in 0..WARM_UP + units {
        let line = number.to_string();
        let expected = printed(&line);
        let line = line + "\n";
        answer.clear();
        let start = Instant::now();
        let turn = input.write_all(line.as_bytes()).and_then(|()| output.read_line(&mut answer));
        times.push(start.elapsed().as_nanos() as f64 / 1e3);
        turn.map_err(|source| Failure::file(who, source))?;
        Failure::unless_equal(who, "the answer", answer.trim_end(), &expected)?;
    }
    let mut times = times.split_off(WARM_UP);
    times.sort_by(f64::total_cmp);
    Ok([times[times.len() / 2], times[times.len() * 99 / 100]])
}
