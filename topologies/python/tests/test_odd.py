"""What people do with a pool that nobody thinks of first."""

from __future__ import annotations

import math
import os
import signal
import unittest
from pathlib import Path

import pipeline_zmq as pl
from support import Case, by_value


class Forks(Case):
    def test_a_fork_is_told_that_the_pool_is_not_its_own(self):
        ended = self.script("""
import os
import pipeline_zmq as pl

with pl.Pool(1) as pool:
    pool.map(abs, [-1])
    child = os.fork()
    if child == 0:
        try:
            pool.map(abs, [-1])
        except RuntimeError as error:
            print(error, flush=True)
        with pl.Pool(1) as own:
            print(own.map(abs, [-2]), flush=True)
    else:
        print(os.waitpid(child, 0)[1], pool.map(abs, [-3]))
""")
        self.assertEqual(ended.stderr, "")
        self.assertEqual(
            ended.stdout.splitlines(),
            ["this pool is another process's, of which this one is a fork; make one here", "[2]", "0 [3]"],
        )

    def test_what_a_pool_under_way_is_asked_in_a_fork_is_told_too(self):
        ended = self.script(
            """
import os, sys
import pipeline_zmq as pl

gate = sys.argv[1]
os.mkfifo(gate)
with pl.Pool(1) as pool:
    executor = pool.executor()
    results = pool.imap(abs, [-1, -2])
    told = executor.submit(abs, -3)
    told.result()
    # Its worker waits until somebody opens the other end.
    one = pool.apply_async(os.open, (gate, os.O_RDONLY))
    whole, future = pool.map_async(abs, [-5]), executor.submit(abs, -4)
    child = os.fork()
    if child == 0:
        for ask in (lambda: next(results), one.get, whole.get, future.result):
            try:
                print("no error:", ask(), flush=True)
            except RuntimeError as error:
                print("another process's" in str(error), flush=True)
        print(told.result(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    os.close(os.open(gate, os.O_WRONLY))
    print(list(results), one.get() > 2, whole.get(), future.result())
""",
            str(self.folder() / "gate"),
        )
        self.assertEqual(ended.stdout.splitlines(), [*["True"] * 4, "3", "[1, 2] True [5] 4"], ended.stderr)


class Options(Case):
    def test_what_makes_no_sense_is_told_by_its_name(self):
        for options, told in (
            ({"workers": -1}, "workers must be at least 0, not -1"),
            ({"workers": True}, "workers must be a whole number, not True"),
            ({"retries": -1}, "retries must be at least 0, not -1"),
            ({"retries": 1 << 40}, "retries must be at most 2147483647, not 1099511627776"),
            ({"backoff": "x"}, "backoff must be a number of seconds, not 'x'"),
            ({"backoff": math.nan}, "backoff must be at least 0 seconds, not nan"),
            ({"crash_limit": 0}, "crash_limit must be at least 1, not 0"),
            ({"timeout": 0}, "timeout must be more than 0 seconds, not 0"),
            ({"max_units_per_worker": -3}, "max_units_per_worker must be at least 1, not -3"),
            ({"window": 0}, "window must be at least 1, not 0"),
            ({"concurrency": 0}, "concurrency must be at least 1, not 0"),
        ):
            with self.subTest(options), self.assertRaises((TypeError, ValueError)) as raised:
                pl.Pool(**{"workers": 1, **options})
            self.assertEqual(str(raised.exception), told)


class Exits(Case):
    def test_a_daemon_thread_that_loses_its_pool_at_the_end_says_nothing(self):
        for call in (
            "pool.map(abs, range(100))",
            "list(pool.imap(abs, range(100)))",
            "pool.apply(abs, (1,))",
        ):
            with self.subTest(call):
                ended = self.script(f"""
import atexit, threading, time
# Registered first, so called when the pool has ended: the thread has time to find that.
atexit.register(time.sleep, 0.2)
import pipeline_zmq as pl

pool, began = pl.Pool(1), threading.Event()

def go():
    while True:
        {call}
        began.set()

threading.Thread(target=go, daemon=True).start()
began.wait()
""")
                self.assertEqual((ended.returncode, ended.stderr), (0, ""))


class Output(Case):
    @by_value
    def test_a_traceback_shows_the_lines_of_the_script(self):
        ended = self.script("""
import pipeline_zmq as pl

def inner(value):
    return 1 / value  # here

pl.map(inner, [0], workers=1)
""")
        self.assertIn("    return 1 / value  # here", ended.stderr.partition("direct cause")[0])

    @by_value
    def test_a_terminal_that_lacks_a_character_gets_the_line(self):
        ended = self.script("""
import sys
sys.stdout.reconfigure(encoding="ascii")
import pipeline_zmq as pl

pl.map(lambda _: print("caf\\xe9"), [0], workers=1)
""")
        self.assertEqual(ended.stdout, "caf\\xe9\n")

    @by_value
    def test_a_line_of_a_megabyte_is_one_line(self):
        ended = self.script("""
import pipeline_zmq as pl

pl.map(lambda _: print("a" * 1_000_000), [0], workers=1)
""")
        self.assertEqual([len(line) for line in ended.stdout.splitlines()], [1_000_000])


_SQUARES = """
source = { kind = "range", from = 1, to = 3 }
stage = [{ name = "square", run = "square" }]
sink = { output = "squares.jsonl" }
"""


class Runs(Case):
    def test_a_run_ends_with_the_program_that_called_it(self):
        folder = self.folder()
        (folder / "slow.toml").write_text(
            'source = { kind = "range", from = 1, to = 1_000_000 }\n'
            f'stage = [{{ name = "slow", python = """{_TELLS_WHO}""", args = ["{folder}"] }}]\n'
            'sink = { output = "slow.jsonl" }\n'
        )
        process = self.began(f"import pipeline_zmq as pl; pl.run({str(folder / 'slow.toml')!r})")
        self.addCleanup(lambda: [os.kill(pid, signal.SIGKILL) for pid in _running(folder)])
        self.until(lambda: list(folder.glob("pid-*")), "a worker")
        process.kill()
        process.wait()
        self.until(lambda: not _running(folder), "the end of the run")

    def test_a_run_starts_over_where_it_is_told_to(self):
        folder = self.folder()
        topology, output = folder / "squares.toml", folder / "squares.jsonl"
        topology.write_text(_SQUARES)
        pl.run(topology, run_dir=folder / "here")
        self.assertTrue((folder / "here").is_dir())
        self.assertEqual(sorted(output.read_text().split()), ["1", "4", "9"])
        with self.assertRaises(pl.Broken):
            pl.run(topology, run_dir=folder / "here", source={"to": 2})
        pl.run(topology, run_dir=folder / "here", fresh=True, source={"to": 2})
        self.assertEqual(sorted(output.read_text().split()), ["1", "4"])


_TELLS_WHO = """
import os, sys, time

def work(value):
    open(f'{sys.argv[1]}/pid-{os.getpid()}', 'w').close()
    time.sleep(0.01)
    return value
"""


def _running(folder):
    """The processes whose arguments name this folder."""
    mark = str(folder).encode()
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                if mark in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
            except OSError:
                pass  # it has just ended
    return found


if __name__ == "__main__":
    unittest.main()
