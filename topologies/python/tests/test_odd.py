"""What people do with a pool that nobody thinks of first."""

from __future__ import annotations

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


class Exits(Case):
    def test_a_daemon_thread_that_loses_its_pool_at_the_end_says_nothing(self):
        for call in ("pool.map(abs, range(100))", "list(pool.imap(abs, range(100)))", "pool.apply(abs, (1,))"):
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
