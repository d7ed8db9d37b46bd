"""Workers that are started by hand, topologies, and what a function can ask."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
import unittest.mock

import functions
import pipeline_zmq as pl
from support import LIMIT_SECONDS, Case, environment, free_ports


class Elsewhere(Case):
    def setUp(self):
        super().setUp()
        # The user's own key, which the first that needs it makes.
        patched = unittest.mock.patch.dict(os.environ, XDG_CONFIG_HOME=str(self.folder()))
        patched.start()
        self.addCleanup(patched.stop)

    def worker(self, port, **variables):
        """A worker as it is started on another machine; it ends with the test at the latest."""
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline_zmq.worker", "--ventilator", f"tcp://127.0.0.1:{port}"],
            env={**environment(), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_workers_that_join_do_all_the_work(self):
        port = free_ports()
        with pl.Pool(0, bind=f"tcp://127.0.0.1:{port}") as pool:
            call = pool.map_async(functions.pid, range(2_000))
            first = self.worker(port)
            pids = set(call.get(LIMIT_SECONDS))
            self.assertEqual(pids, {first.pid})
            self.assertEqual(pool.map(functions.square, range(100)), [n * n for n in range(100)])
            self.assertEqual(pool.workers(), {})
        told = first.communicate(timeout=LIMIT_SECONDS)[0]
        self.assertEqual(first.returncode, 0, told)

    def test_they_join_those_of_this_machine(self):
        port = free_ports()
        with pl.Pool(1, bind=f"tcp://127.0.0.1:{port}") as pool:
            other = self.worker(port)
            own = set(pool.workers().values())
            self.until(lambda: set(pool.map(functions.pid, range(500))) - own, "the other worker's results")
            other.kill()
            self.assertEqual(pool.map(functions.square, range(100)), [n * n for n in range(100)])

    def test_one_without_the_key_gets_nothing(self):
        port = free_ports()
        with pl.Pool(1, bind=f"tcp://127.0.0.1:{port}") as pool:
            self.worker(port, XDG_CONFIG_HOME=str(self.folder()))
            own = set(pool.workers().values())
            for _ in range(20):
                self.assertLessEqual(
                    set(pool.map(functions.pid, range(100))), own | set(pool.workers().values())
                )


class Asked(Case):
    def test_a_function_can_ask_which_unit_it_is_called_for(self):
        self.assertIsNone(pl.unit())
        with pl.Pool(1, retries=1, backoff=0.01) as pool:
            units = pool.map(asked, range(5))
            self.assertEqual(len({unit.name for unit in units}), 5)
            self.assertEqual({unit.attempt for unit in units}, {1})
            self.assertEqual(pool.apply(asked_at_last, (str(self.folder()),)).attempt, 2)

    def test_figures_tell_what_was_done(self):
        with pl.Pool(1) as pool:
            pool.map(functions.square, range(100))
            self.until(lambda: pool.stats()["done"] == 100, "the figures")
            told = pool.stats()
            self.assertEqual((told["read"], told["failed"], told["workers"]), (100, 0, 1))


class Topologies(Case):
    TOPOLOGY = """
name = "squares"
source = { kind = "range", from = 1, to = 50 }

[[stage]]
name = "square"
call = "functions:square"
interpreter = "PYTHON"
workers = 2
"""

    def topology(self, more=""):
        path = self.folder() / "squares.toml"
        path.write_text(self.TOPOLOGY.replace("PYTHON", sys.executable) + more)
        return path

    def test_one_without_an_output_gives_its_results(self):
        told = list(pl.run(self.topology(), env=environment()))
        self.assertEqual(told, [n * n for n in range(1, 51)])

    def test_one_with_an_output_writes_it(self):
        path = self.topology('\n[sink]\noutput = "squares.jsonl"\n')
        self.assertIsNone(pl.run(path, env=environment(), source={"to": 10}))
        lines = (path.parent / "squares.jsonl").read_text().splitlines()
        self.assertEqual(lines, [str(n * n) for n in range(1, 11)])

    def test_one_that_is_wrong_says_so(self):
        path = self.topology("\nnonsense = 1\n")
        with self.assertRaises(pl.Broken):
            list(pl.run(path))


def asked(_value):
    return pl.unit()


def asked_at_last(folder):
    functions.fail_first(folder, 1, 0)
    return pl.unit()


if __name__ == "__main__":
    unittest.main()
