"""What people do with a pool that nobody thinks of first."""

from __future__ import annotations

import unittest

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


if __name__ == "__main__":
    unittest.main()
