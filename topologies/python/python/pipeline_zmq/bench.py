"""How fast it is here, beside other pools: ``python -m pipeline_zmq.bench --against pool,futures,loky``.

Each row is measured in turns, this package and a rival one after the other, and told as the median of the
ratios: a machine that is busy with something else slows both. Rivals that have a chunk size are measured with
several, and the best is what counts.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
import statistics
import sys
import time

CHUNKS = (100, 1_000, 10_000)
ARRAY_BYTES = 1 << 20


def square(value):
    """The smallest function there is."""
    return value * value


def status(line):
    """The status in a line of a web server's log."""
    return line.split('"', 2)[2].split(None, 1)[0]


def same(value):
    """For what travels."""
    return value


def log_line(number):
    """A line of a web server's log, 126 bytes long or about that."""
    code = 200 if number % 10 else 404
    return (
        f"10.0.{number % 256}.{number % 251} - - [26/Nov/2026:12:{number % 60:02}:00 +0000]"
        f' "GET /pages/{number:08}/index.html HTTP/1.1" {code} {number % 65536} "-" "Mozilla/5.0"'
    )


class Ours:
    """This package."""

    name = "pipeline_zmq"
    chunks = (None,)

    def __init__(self, workers):
        from ._executor import Executor
        from ._pool import Pool

        self.pool = Pool(workers)
        self.executor = Executor(pool=self.pool)

    def unordered(self, function, items, _chunk):
        return self.pool.imap_unordered(function, items)

    def submit(self, function, item):
        return self.executor.submit(function, item)

    def end(self):
        self.pool.terminate()


class MultiprocessingPool:
    """``multiprocessing.Pool``."""

    name = "pool"
    chunks = CHUNKS

    def __init__(self, workers):
        self.pool = multiprocessing.Pool(workers)

    def unordered(self, function, items, chunk):
        return self.pool.imap_unordered(function, items, chunksize=chunk)

    def submit(self, function, item):
        return _Async(self.pool.apply_async(function, (item,)))

    def end(self):
        self.pool.terminate()


class _Async:
    def __init__(self, call):
        self.result = call.get


class Futures:
    """``concurrent.futures.ProcessPoolExecutor``."""

    name = "futures"
    chunks = CHUNKS

    def __init__(self, workers):
        self.executor = concurrent.futures.ProcessPoolExecutor(workers)

    def unordered(self, function, items, chunk):
        return self.executor.map(function, items, chunksize=chunk)

    def submit(self, function, item):
        return self.executor.submit(function, item)

    def end(self):
        self.executor.shutdown(cancel_futures=True)


class Loky(Futures):
    """``loky``'s executor, which joblib uses."""

    name = "loky"

    def __init__(self, workers):
        import loky

        self.executor = loky.ProcessPoolExecutor(workers)

    def end(self):
        self.executor.shutdown(kill_workers=True)


RIVALS = {kind.name: kind for kind in (MultiprocessingPool, Futures, Loky)}


class Settings:
    """How much of everything."""

    def __init__(self, workers, scale):
        self.workers, self.scale = workers, scale

    def count(self, items):
        return max(1, int(items * self.scale))


def _numbers(pool, settings, chunk):
    count = settings.count(2_000_000)
    began = time.perf_counter()
    total = sum(pool.unordered(square, range(count), chunk))
    seconds = time.perf_counter() - began
    assert total == (count - 1) * count * (2 * count - 1) // 6
    return count / seconds


def _lines(pool, settings, chunk):
    count = settings.count(1_000_000)
    lines = [log_line(number) for number in range(count)]
    began = time.perf_counter()
    counts: dict = {}
    for code in pool.unordered(status, iter(lines), chunk):
        counts[code] = counts.get(code, 0) + 1
    seconds = time.perf_counter() - began
    assert sum(counts.values()) == count
    return count / seconds


def _one_call(pool, settings, _chunk):
    times = []
    for number in range(settings.count(2_000)):
        began = time.perf_counter()
        pool.submit(square, number).result()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def _many_calls(pool, settings, _chunk):
    count = settings.count(20_000)
    began = time.perf_counter()
    calls = [pool.submit(square, number) for number in range(count)]
    for number, call in enumerate(calls):
        assert call.result() == number * number
    return count / (time.perf_counter() - began)


def _arrays(pool, settings, _chunk):
    import numpy

    count = settings.count(500)
    array = numpy.zeros(ARRAY_BYTES // 8)
    began = time.perf_counter()
    for told in pool.unordered(same, (array for _ in range(count)), 1):
        assert told.nbytes == ARRAY_BYTES
    # There and back.
    return 2 * count * ARRAY_BYTES / (time.perf_counter() - began) / 1e9


class Row:
    """What is measured of a pool, with functions that work already but where its start is what counts."""

    def __init__(self, name, unit, measure, told, *, rivals=tuple(RIVALS), chunked=False, more=True):
        self.name, self.unit, self.measure, self.told = name, unit, measure, told
        self.rivals, self.chunked, self.more = rivals, chunked, more

    def of(self, kind, settings, chunk):
        if self.measure is None:
            return _start(kind, settings)
        pool = kind(settings.workers)
        try:
            # All workers are there, and know the function.
            list(pool.unordered(square, range(settings.workers * 100), 1))
            return self.measure(pool, settings, chunk)
        finally:
            pool.end()


def _start(kind, settings):
    began = time.perf_counter()
    pool = kind(settings.workers)
    try:
        pool.submit(square, 3).result()
        return (time.perf_counter() - began) * 1e3
    finally:
        pool.end()


ROWS = [
    Row("numbers", "a second", _numbers, "imap_unordered(x * x, range(N))", chunked=True),
    Row("lines", "a second", _lines, "log lines parsed, and counted by status", chunked=True),
    Row("call", "µs", _one_call, "submit(f, x).result(), the median", more=False),
    Row("calls", "a second", _many_calls, "20,000 × submit, then all results"),
    Row("arrays", "GB/s", _arrays, "1 MiB numpy arrays there and back"),
    Row("start", "ms", None, "from nothing to the first result", more=False),
]


def compare(row, rival, settings, pairs):
    """This package and a rival in turns: both medians, and the median of how many times better it is."""
    chunks = kind_chunks(row, rival)
    best = chunks[0]
    if len(chunks) > 1:
        best = max(chunks, key=lambda chunk: row.of(rival, settings, chunk))
    ours, theirs = [], []
    for _ in range(pairs):
        ours.append(row.of(Ours, settings, None))
        theirs.append(row.of(rival, settings, best))
    ratios = [our / their if row.more else their / our for our, their in zip(ours, theirs)]
    return {
        "row": row.name,
        "what": row.told,
        "unit": row.unit,
        "against": rival.name,
        "chunk_size": best,
        "ours": statistics.median(ours),
        "theirs": statistics.median(theirs),
        "times_better": statistics.median(ratios),
        "pairs": pairs,
    }


def kind_chunks(row, rival):
    """The chunk sizes with which a rival is measured in a row."""
    return rival.chunks if row.chunked else (None,)


def text(told):
    """One comparison as a line."""
    chunk = f" (chunk size {told['chunk_size']:,})" if told["chunk_size"] else ""
    return (
        f"{told['what']:<42} {figure(told['ours']):>12} {told['unit']:<9}"
        f" {figure(told['theirs']):>12} {told['against']}{chunk}: {told['times_better']:.2f} × as good"
    )


def figure(value):
    """A number with three digits or so."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main(arguments=None) -> int:
    """Measures what the command line names; the exit code."""
    parser = argparse.ArgumentParser("python -m pipeline_zmq.bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--against", default="pool,futures", help="of pool, futures, loky; with commas between"
    )
    parser.add_argument("--only", action="append", choices=[row.name for row in ROWS], help="this row alone")
    parser.add_argument("--pairs", type=int, default=5, help="how often each is measured, in turns")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="so many times as much of everything")
    parser.add_argument("--output", choices=["text", "json"], default="text")
    chosen = parser.parse_args(arguments)
    try:
        rivals = [RIVALS[name] for name in chosen.against.split(",")]
    except KeyError as error:
        parser.error(f"no rival is called {error}; there are {', '.join(RIVALS)}")
    settings = Settings(chosen.workers, chosen.scale)
    for row in ROWS:
        if chosen.only and row.name not in chosen.only:
            continue
        for rival in rivals:
            try:
                told = compare(row, rival, settings, chosen.pairs)
            except ImportError as error:
                print(f"{row.told}: left out, {error}", file=sys.stderr)
                continue
            print(json.dumps(told) if chosen.output == "json" else text(told), flush=True)
    return 0


if __name__ == "__main__":
    # Under its own name, so that workers find the functions by it.
    from pipeline_zmq import bench

    sys.exit(bench.main())
