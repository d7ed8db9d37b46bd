//! A Python loop as a worker, beside Python's own pool.

use std::{path::Path, process::Command, time::Instant};

use proto::plan::Function;
use sink::config::Aggregate;

use crate::{
    Against, Failure, Figure, Options,
    figure::{Target, take_turns},
    ours::{Run, RunSpec, range},
    site::{Site, all_end},
};

/// What a user writes.
const LOOP: &str = "\
import json, sys
for line in sys.stdin:
    print(json.dumps(json.loads(line) ** 2), flush=True)
";

/// The pool at the chunk size that suits it best, which is tried out first. It says how many
/// units a second it did, first with the same function over JSON lines, then with one over numbers;
/// its start is not counted.
const POOL: &str = "\
import json, multiprocessing, sys, time
def square_line(line):
    return json.dumps(json.loads(line) ** 2)
def square(n):
    return n * n
def run(pool, function, units, chunk):
    numbers = range(1, units + 1)
    source = map(str, numbers) if function is square_line else numbers
    start = time.perf_counter()
    total = sum(map(int, pool.imap_unordered(function, source, chunksize=chunk)))
    assert total == units * (units + 1) * (2 * units + 1) // 6
    return units / (time.perf_counter() - start)
if __name__ == '__main__':
    units = int(sys.argv[1])
    with multiprocessing.Pool(2) as pool:
        for function in square_line, square:
            run(pool, function, 1000, 10)
            chunks = [50, 200, 1000, 5000]
            best = max(chunks, key=lambda c: run(pool, function, max(units // 10, 1000), c))
            print(run(pool, function, units, best))
";

/// The loop by itself, twice at once, from a file to nowhere: what Python leaves to be reached.
const ALONE: &str = r#"python3 "$1" < "$2" > /dev/null & python3 "$1" < "$2" > /dev/null; wait"#;

/// Compared with `multiprocessing.Pool(2).imap_unordered`, which does the same work, and which is
/// spared the JSON; and with the loop itself.
pub(super) fn measure(options: &Options) -> Result<Vec<Figure>, Failure> {
    let units = options.either(300_000, 1_000);
    let site = Site::new(options.folder.as_deref())?;
    let script = site.write("loop.py", LOOP.as_bytes())?;
    let pool = site.write("pool.py", POOL.as_bytes())?;
    let lines: String = (1..=units).map(|number| format!("{number}\n")).collect();
    let input = site.write("numbers", lines.as_bytes())?;
    let function = Function::Pipe(vec!["python3".into(), script.display().to_string()]);
    let mut order = RunSpec::new(options.transport(), range(units), function);
    order.sink.aggregate.push(Aggregate::Sum);
    let mut rows = [
        "a Python loop that squares a JSON line",
        "the same, the pool over numbers instead of lines",
        "the same, beside that loop without anyone",
    ]
    .map(|what| Figure::new("pipe", what, "units/s").checked("count", units));
    rows[0].target = Some(Target::TimesAtLeast(0.3));
    rows[1].target = Some(Target::TimesAtLeast(0.3));
    take_turns(options.pairs, || {
        let summary = Run::start(&site, &order)?.finish()?.summary;
        let sum = summary.aggregates.unwrap_or_default()["sum"].as_u64().unwrap_or(0);
        let expected = units * (units + 1) * (2 * units + 1) / 6;
        Failure::unless_equal("ours", "sum", sum, expected)?;
        rows.iter_mut().for_each(|row| row.add(units as f64 / summary.seconds));
        if options.compares(Against::Tools) {
            let [lines, numbers] = pool_rates(&site, &pool, options.either(1_000_000, 2_000))?;
            rows[0].add_other("Pool(2)", lines);
            rows[1].add_other("Pool(2)", numbers);
            let mut command = Command::new("sh");
            command.args(["-c", ALONE, "sh"]).arg(&script).arg(&input);
            let start = Instant::now();
            all_end([&mut site.start("python3", command)?])?;
            rows[2].add_other("loop", 2.0 * units as f64 / start.elapsed().as_secs_f64());
        }
        Ok(())
    })?;
    let [first, others @ ..] = rows;
    let others = others.into_iter().filter(|row| row.other.is_some());
    Ok(std::iter::once(first).chain(others).collect())
}

/// Units a second of the pool: over lines, over numbers.
fn pool_rates(site: &Site, pool: &Path, units: u64) -> Result<[f64; 2], Failure> {
    let mut command = Command::new("python3");
    command.arg(pool).arg(units.to_string());
    let mut pool = site.start("python3", command)?;
    all_end([&mut pool])?;
    let printed = pool.printed()?;
    let rates: Result<Vec<f64>, _> = printed.split_whitespace().map(str::parse).collect();
    rates.ok().and_then(|rates| rates.try_into().ok()).ok_or_else(|| Failure::Wrong {
        who: "python3",
        what: "its rates",
        found: printed.clone(),
        expected: "two numbers".into(),
    })
}
