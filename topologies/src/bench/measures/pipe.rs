//! A Python loop as a worker, beside Python's own pool.

use std::process::Command;

use proto::plan::Function;
use sink::config::Aggregate;

use crate::bench::{
    Against, Failure, Figure, Options,
    figure::{Target, take_turns},
    ours::{Order, Run, range},
    site::{Site, all_end},
};

/// What a user writes.
const LOOP: &str = "\
import json, sys
for line in sys.stdin:
    print(json.dumps(json.loads(line) ** 2), flush=True)
";

/// The pool at the chunk size that suits it best, which is tried out first. It says how many
/// units a second it did; its start is not counted.
const POOL: &str = "\
import multiprocessing, sys, time
def square(n):
    return n * n
def run(pool, units, chunk):
    start = time.perf_counter()
    total = sum(pool.imap_unordered(square, range(1, units + 1), chunksize=chunk))
    assert total == units * (units + 1) * (2 * units + 1) // 6
    return units / (time.perf_counter() - start)
if __name__ == '__main__':
    units = int(sys.argv[1])
    with multiprocessing.Pool(2) as pool:
        run(pool, 1000, 10)
        chunks = [50, 200, 1000, 5000]
        best = max(chunks, key=lambda chunk: run(pool, max(units // 10, 1000), chunk))
        print(run(pool, units, best))
";

/// Compared with `multiprocessing.Pool(2).imap_unordered`.
pub(super) fn measure(options: &Options) -> Result<Vec<Figure>, Failure> {
    let units = options.either(300_000, 1_000);
    let site = Site::new(options.folder.as_deref())?;
    let script = site.write("loop.py", LOOP.as_bytes())?;
    let pool = site.write("pool.py", POOL.as_bytes())?;
    let transport = options.transport();
    let function = Function::Pipe(vec!["python3".into(), script.display().to_string()]);
    let mut order = Order::new(transport, range(units), function);
    order.sink.aggregate.push(Aggregate::Sum);
    let mut figure = Figure::new("pipe", "a Python loop that squares a JSON line", "units/s")
        .to_reach(Target::TimesAtLeast(0.3))
        .checked("count", units);
    take_turns(options.pairs, || {
        let summary = Run::start(&site, &order)?.finish()?.summary;
        let sum = summary.aggregates.unwrap_or_default()["sum"].as_u64().unwrap_or(0);
        let expected = units * (units + 1) * (2 * units + 1) / 6;
        Failure::unless_equal("ours", "sum", sum, expected)?;
        figure.add(units as f64 / summary.seconds);
        if options.compares(Against::Tools) {
            let mut command = Command::new("python3");
            command.arg(&pool).arg(options.either(2_000_000, 2_000).to_string());
            let mut pool = site.start("python3", command)?;
            all_end(&mut [&mut pool])?;
            let printed = pool.printed()?;
            let rate = printed.trim().parse().map_err(|_| Failure::Wrong {
                who: "python3",
                what: "the rate",
                found: printed.clone(),
                expected: "a number".into(),
            })?;
            figure.add_other("Pool(2)", rate);
        }
        Ok(())
    })?;
    Ok(vec![figure])
}
