//! Bandwidth of large units: lines of 1 MiB from a file that is in memory already.

use std::{fs::File, io::Write, path::Path};

use ventilator::source::SourceSpec;

use crate::{
    Against, Failure, Figure, Options, Transport,
    bare::processes,
    figure::{Target, take_turns},
    ours::{Run, RunSpec, built_in},
    site::Site,
};

const PAYLOAD_BYTES: usize = 1 << 20;

/// Both sides read the same file, a line a unit, and count.
pub(super) fn measure(options: &Options, transport: Transport) -> Result<Figure, Failure> {
    let units = options.either(2_000, 20);
    let megabytes = (units * PAYLOAD_BYTES as u64) as f64 / 1e6;
    let site = Site::new(options.folder.as_deref())?;
    let input = site.path("payloads");
    write_payloads(&input, units).map_err(|source| Failure::file(&input, source))?;
    let mut figure = Figure::new("payload", "payloads of 1 MiB", "MB/s")
        .over(transport)
        .to_reach(Target::TimesAtLeast(0.95))
        .checked("count", units);
    take_turns(options.pairs, || {
        figure.add(megabytes / ours(options, transport, &input, units)?);
        if options.compares(Against::Bare) {
            figure.add_other("bare", megabytes / bare(options, transport, &input, units)?);
        }
        Ok(())
    })?;
    Ok(figure)
}

fn write_payloads(path: &Path, units: u64) -> std::io::Result<()> {
    let mut line = vec![b'x'; PAYLOAD_BYTES];
    line.push(b'\n');
    let mut file = File::create(path)?;
    (0..units).try_for_each(|_| file.write_all(&line))
}

fn ours(options: &Options, transport: Transport, input: &Path, units: u64) -> Result<f64, Failure> {
    let site = Site::new(options.folder.as_deref())?;
    let source = SourceSpec::Lines { path: input.into() };
    let order = RunSpec::new(transport, source, built_in("echo"));
    let summary = Run::start(&site, &order)?.finish()?.summary;
    Failure::unless_equal("ours", "the number of results", summary.results, units)?;
    Ok(summary.seconds)
}

fn bare(options: &Options, transport: Transport, input: &Path, units: u64) -> Result<f64, Failure> {
    let site = Site::new(options.folder.as_deref())?;
    let (count, input) = (units.to_string(), input.display().to_string());
    let length = PAYLOAD_BYTES.to_string();
    let send = ["payloads", "--units", &count, "--file", &input, "--length", &length];
    let work = ["worker", "--run", "echo"];
    let collect = ["gather", "--units", &count];
    let taken = processes::run(&site, transport.unencrypted(), [&send, &work, &collect])?;
    Failure::unless_equal("bare", "count", taken.collected.count, units)?;
    let bytes = u128::from(units) * PAYLOAD_BYTES as u128;
    Failure::unless_equal("bare", "the number of bytes", taken.collected.sum, bytes)?;
    Ok(taken.time.as_secs_f64())
}
