//! Throughput of units that cost nothing: what is left is what the pipeline itself costs.

use sink::{
    Summary,
    config::{Aggregate, OutputSpec, SinkConfig},
};

use crate::{
    Against, Failure, Figure, Options, Transport,
    bare::processes,
    figure::{Target, take_turns},
    ours::{Run, RunSpec, built_in, range},
    site::Site,
};

/// Units of the guide's pipeline: a few seconds of it.
const BARE_UNITS: u64 = 8_000_000;

/// Nothing is kept, and nothing but count and sum comes out.
pub(super) fn ephemeral(options: &Options, transport: Transport) -> Result<Figure, Failure> {
    let units = options.either(100_000_000, 200_000);
    let target = match transport {
        Transport::Ipc | Transport::Tcp => Target::TimesAtLeast(12.0),
        Transport::Curve => Target::TimesAtLeast(5.0),
    };
    let figure = Figure::new("tiny", "tiny units, ephemeral", "units/s").over(transport);
    compare(options, transport, figure.to_reach(target), units, || {
        let site = Site::new(options.folder.as_deref())?;
        let order = order(transport, units);
        let summary = Run::start(&site, &order)?.finish()?.summary;
        check(&summary, units)?;
        Ok(units as f64 / summary.seconds)
    })
}

/// Everything is kept, and every result is written, in input order.
pub(super) fn durable(options: &Options, transport: Transport) -> Result<Figure, Failure> {
    let units = options.either(20_000_000, 200_000);
    let target = Target::TimesAtLeast(2.0);
    let what = "tiny units, durable, jsonl in input order";
    let figure = Figure::new("durable", what, "units/s").over(transport);
    compare(options, transport, figure.to_reach(target), units, || {
        let site = Site::new(options.folder.as_deref())?;
        let mut order = RunSpec { durable: true, ..order(transport, units) };
        order.sink.output = Some(OutputSpec::Jsonl(site.path("out.jsonl")));
        let summary = Run::start(&site, &order)?.finish()?.summary;
        check(&summary, units)?;
        let bytes = summary.output.as_ref().map_or(0, |output| output.bytes);
        Failure::unless_equal("ours", "the length of the output", bytes, digits(units))?;
        Ok(units as f64 / summary.seconds)
    })
}

fn order(transport: Transport, units: u64) -> RunSpec {
    let aggregate = vec![Aggregate::Count, Aggregate::Sum];
    RunSpec {
        sink: SinkConfig { aggregate, ..SinkConfig::default() },
        ..RunSpec::new(transport, range(units), built_in("square"))
    }
}

fn compare(
    options: &Options,
    transport: Transport,
    figure: Figure,
    units: u64,
    ours: impl Fn() -> Result<f64, Failure>,
) -> Result<Figure, Failure> {
    let mut figure = figure.checked("count", units).checked("sum", sum_of_squares(units));
    take_turns(options.pairs, || {
        figure.add(ours()?);
        if options.compares(Against::Bare) {
            figure.add_other("bare", bare(options, transport, BARE_UNITS.min(units))?);
        }
        Ok(())
    })?;
    Ok(figure)
}

fn check(summary: &Summary, units: u64) -> Result<(), Failure> {
    Failure::unless_equal("ours", "the number of units", summary.units_in, units)?;
    let aggregates = summary.aggregates.clone().unwrap_or_default();
    let count = aggregates["count"].as_u64().unwrap_or(0);
    Failure::unless_equal("ours", "count", count, units)?;
    let sum = match &aggregates["sum"] {
        // Beyond 64 bits it stands there as a text.
        serde_json::Value::String(digits) => digits.parse().unwrap_or(0),
        number => number.as_u64().map_or(0, u128::from),
    };
    Failure::unless_equal("ours", "sum", sum, sum_of_squares(units))
}

/// The guide's pipeline has no encryption: what is encrypted is compared with what is not.
fn bare(options: &Options, transport: Transport, units: u64) -> Result<f64, Failure> {
    let site = Site::new(options.folder.as_deref())?;
    let count = units.to_string();
    let send = ["ventilator", "--units", &count];
    let work = ["worker", "--run", "square"];
    let collect = ["sink", "--units", &count];
    let taken = processes::run(&site, transport.unencrypted(), [&send, &work, &collect])?;
    Failure::unless_equal("bare", "count", taken.collected.count, units)?;
    Failure::unless_equal("bare", "sum", taken.collected.sum, sum_of_squares(units))?;
    Ok(units as f64 / taken.time.as_secs_f64())
}

fn sum_of_squares(units: u64) -> u128 {
    let n = u128::from(units);
    n * (n + 1) * (2 * n + 1) / 6
}

/// How long the squares of 1 to `units` are, a line each.
fn digits(units: u64) -> u64 {
    (1..=units).map(|n| u64::from((n * n).ilog10()) + 2).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_to_come_out_is_known_without_running_anything() {
        assert_eq!(sum_of_squares(4), 1 + 4 + 9 + 16);
        assert_eq!(digits(4), "1\n4\n9\n16\n".len() as u64);
    }
}
