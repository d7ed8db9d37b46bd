//! Lines of text through the whole pipeline to a durable file.

use std::{fs::File, io::Write, path::Path, process::Command, time::Instant};

use sink::config::OutputSpec;
use ventilator::source::SourceSpec;

use crate::{
    Against, Failure, Figure, Options, Transport,
    figure::{Target, take_turns},
    ours::{Run, RunSpec, built_in},
    site::{Site, all_end},
};

/// A line with its end.
const LINE_BYTES: u64 = 101;
/// JSON puts a line in quotes.
const QUOTES: u64 = 2;

/// Compared with `cat` twice over pipes, and a sync.
pub(super) fn measure(options: &Options, transport: Transport) -> Result<Figure, Failure> {
    let lines = options.either(8_000_000, 20_000);
    let megabytes = (lines * LINE_BYTES) as f64 / 1e6;
    let site = Site::new(options.folder.as_deref())?;
    let input = site.path("lines");
    write_lines(&input, lines).map_err(|source| Failure::file(&input, source))?;
    let mut figure = Figure::new("lines", "lines of 100 bytes, durable, jsonl", "MB/s")
        .over(transport)
        .to_reach(Target::TimesAtLeast(0.5))
        .checked("count", lines);
    take_turns(options.pairs, || {
        figure.add(megabytes / ours(options, transport, &input, lines)?);
        if options.compares(Against::Tools) {
            figure.add_other("cat", megabytes / cats(options, &input, lines)?);
        }
        Ok(())
    })?;
    Ok(figure)
}

fn write_lines(path: &Path, lines: u64) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::with_capacity(1 << 20, File::create(path)?);
    for line in 0..lines {
        writeln!(file, "{line:0100}")?;
    }
    file.into_inner()?.sync_all()
}

/// Seconds from the start of the first process to the end of the last.
fn ours(options: &Options, transport: Transport, input: &Path, lines: u64) -> Result<f64, Failure> {
    let site = Site::new(options.folder.as_deref())?;
    let source = SourceSpec::Lines { path: input.into() };
    let mut order = RunSpec { durable: true, ..RunSpec::new(transport, source, built_in("echo")) };
    order.sink.output = Some(OutputSpec::Jsonl(site.path("out.jsonl")));
    let finished = Run::start(&site, &order)?.finish()?;
    let summary = finished.summary;
    Failure::unless_equal("ours", "the number of results", summary.results, lines)?;
    let bytes = summary.output.map_or(0, |output| output.bytes);
    Failure::unless_equal("ours", "the output's length", bytes, lines * (LINE_BYTES + QUOTES))?;
    Ok(finished.wall.as_secs_f64())
}

fn cats(options: &Options, input: &Path, lines: u64) -> Result<f64, Failure> {
    let site = Site::new(options.folder.as_deref())?;
    let output = site.path("out");
    let mut command = Command::new("sh");
    command.args(["-c", r#"cat "$1" | cat | cat > "$2" && sync "$2""#, "sh"]);
    command.arg(input).arg(&output);
    let start = Instant::now();
    let mut cats = site.start("cat", command)?;
    all_end([&mut cats])?;
    let taken = start.elapsed();
    let length = output.metadata().map_err(|source| Failure::file(&output, source))?.len();
    Failure::unless_equal("cat", "the output's length", length, lines * LINE_BYTES)?;
    Ok(taken.as_secs_f64())
}
