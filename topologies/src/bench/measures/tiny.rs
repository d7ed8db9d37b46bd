//! Throughput of units that cost nothing: what is left is what the pipeline itself costs.

use proto::plan::Function;
use sink::config::{Aggregate, SinkConfig};

use crate::bench::{
    Against, Failure, Figure, Options, Transport, against_bare,
    figure::{Target, take_turns},
    ours::{Order, Run, range},
    site::Site,
};

const NAME: &str = "tiny";

/// A row a transport.
pub(super) fn measure(options: &Options) -> Result<Vec<Figure>, Failure> {
    options.transports.iter().map(|transport| over(options, *transport)).collect()
}

fn over(options: &Options, transport: Transport) -> Result<Figure, Failure> {
    let units = options.either(50_000_000, 200_000);
    let target = match transport {
        Transport::Ipc | Transport::Tcp => Target::TimesAtLeast(12.0),
        Transport::Curve => Target::TimesAtLeast(5.0),
    };
    let mut figure = Figure::new(NAME, "tiny units, ephemeral", "units/s")
        .over(transport)
        .to_reach(target)
        .checked("count", units)
        .checked("sum", sum_of_squares(units));
    take_turns(options.pairs, || {
        figure.add(ours(options, transport, units)?);
        if options.compares(Against::Bare) {
            figure.add_other("bare", bare(options, transport, options.either(6_000_000, units))?);
        }
        Ok(())
    })?;
    Ok(figure)
}

fn ours(options: &Options, transport: Transport, units: u64) -> Result<f64, Failure> {
    let site = Site::new(options.folder.as_deref())?;
    let square = Function::Run("square".into());
    let order = Order {
        sink: SinkConfig {
            aggregate: vec![Aggregate::Count, Aggregate::Sum],
            ..SinkConfig::default()
        },
        ..Order::new(transport, range(units), square)
    };
    let summary = Run::start(&site, &order)?.finish()?;
    let aggregates = summary.aggregates.unwrap_or_default();
    Failure::unless_equal("ours", "the number of units", summary.units_in, units)?;
    let count = aggregates["count"].as_u64().unwrap_or(0);
    Failure::unless_equal("ours", "count", count, units)?;
    let sum = match &aggregates["sum"] {
        // Beyond 64 bits it stands there as a text.
        serde_json::Value::String(digits) => digits.parse().unwrap_or(0),
        number => number.as_u64().map_or(0, u128::from),
    };
    Failure::unless_equal("ours", "sum", sum, sum_of_squares(units))?;
    Ok(units as f64 / summary.seconds)
}

/// The guide's pipeline has no encryption: what is encrypted is compared with what is not.
fn bare(options: &Options, transport: Transport, units: u64) -> Result<f64, Failure> {
    let site = Site::new(options.folder.as_deref())?;
    let transport = match transport {
        Transport::Curve => Transport::Tcp,
        plain => plain,
    };
    let count = units.to_string();
    let units_flag = ["--units", &count];
    let taken =
        against_bare::run(&site, transport, [&units_flag, &["--run", "square"], &units_flag])?;
    Failure::unless_equal("bare", "count", taken.collected.count, units)?;
    Failure::unless_equal("bare", "sum", taken.collected.sum, sum_of_squares(units))?;
    Ok(units as f64 / taken.time.as_secs_f64())
}

fn sum_of_squares(units: u64) -> u128 {
    let n = u128::from(units);
    n * (n + 1) * (2 * n + 1) / 6
}
