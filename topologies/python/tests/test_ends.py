"""How pools end: closed, terminated, forgotten, interrupted; and what is left then."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import unittest
import unittest.mock

import functions
import pipeline_zmq as pl
from pipeline_zmq import _staff
from pipeline_zmq._pool import _Use
from support import LIMIT_SECONDS, Case, workers_of


class Closing(Case):
    def test_close_finishes_what_is_under_way_and_takes_no_more(self):
        pool = pl.Pool(2)
        calls = [pool.apply_async(functions.slow, (n, 0.001)) for n in range(50)]
        whole = pool.map_async(functions.square, range(5_000))
        pool.close()
        for call in (
            lambda: pool.apply(functions.square, (1,)),
            lambda: pool.map(functions.square, [1]),
            lambda: pool.imap(functions.square, [1]),
            lambda: pool.imap_unordered(functions.square, [1]),
            lambda: pool.map_async(functions.square, [1]),
            pool.__enter__,
        ):
            self.assertRaises(ValueError, call)
        pool.join()
        self.assertEqual([call.get(0) for call in calls], list(range(50)))
        self.assertEqual(whole.get(0), [n * n for n in range(5_000)])
        self.no_workers_of(os.getpid())

    def test_join_needs_close_or_terminate_first(self):
        with pl.Pool(1) as pool:
            with self.assertRaises(ValueError):
                pool.join()

    def test_each_may_be_called_again(self):
        pool = pl.Pool(1)
        pool.close()
        pool.close()
        pool.join()
        pool.join()
        pool.terminate()
        pool.terminate()
        pool.close()
        pool.join()

    def test_a_pool_of_which_nothing_was_wanted_ends(self):
        for workers in (1, 2, 4):
            with pl.Pool(workers):
                pass

    def test_a_pool_ends_as_soon_as_what_it_was_for_is_done(self):
        for _ in range(5):
            with pl.Pool(2) as pool:
                self.assertEqual(pool.apply(functions.square, (3,)), 9)

    def test_results_may_be_taken_when_the_pool_has_ended(self):
        pool = pl.Pool(1)
        results = pool.imap(functions.square, range(100))
        pool.close()
        pool.join()
        self.assertEqual(list(results), [n * n for n in range(100)])

    def test_a_block_that_is_left_waits_for_calls_and_drops_what_is_iterated_over(self):
        with pl.Pool(1) as pool:
            call = pool.map_async(functions.square, range(1_000))
            results = pool.imap(functions.square, iter(int, 1))
            next(results)
        self.assertEqual(len(call.get(0)), 1_000)

    def test_an_exception_in_a_block_ends_the_pool_at_once(self):
        with self.assertRaisesRegex(LookupError, "mine"):
            with pl.Pool(2) as pool:
                pool.map_async(functions.slow, [(n, 60) for n in range(9)])
                call = pool.apply_async(functions.wait_for, ("/nowhere",))
                raise LookupError("mine")
        self.no_workers_of(os.getpid())
        with self.assertRaises(pl.Broken):
            call.get(LIMIT_SECONDS)

    def test_terminate_tells_everybody_who_waits(self):
        pool = pl.Pool(1)
        folder = self.folder()
        call = pool.apply_async(functions.begin_and_wait, (str(folder), 1))
        self.until(lambda: (folder / "began-1").exists(), "the call")
        whole = pool.map_async(functions.wait_for, ["/nowhere"])
        never = threading.Event()
        self.addCleanup(never.set)
        stuck = pool.map_async(functions.square, waits_for(never))
        results = pool.imap(functions.wait_for, ["/nowhere"])
        pending = pool.imap(functions.square, waits_for(never))
        pool.terminate()
        pool.join()
        for wait in (call.get, whole.get, stuck.get):
            with self.assertRaises(pl.Broken):
                wait(LIMIT_SECONDS)
        for iterator in (results, pending):
            with self.assertRaises(pl.Broken):
                next(iterator)
        self.no_workers_of(os.getpid())

    def test_a_pool_that_is_forgotten_ends(self):
        pool = pl.Pool(1)
        self.assertEqual(pool.map(functions.square, [2]), [4])
        del pool
        self.no_workers_of(os.getpid())

    def test_no_file_and_no_thread_is_left(self):
        with pl.Pool(1) as pool:
            pool.map(functions.square, [1])
        self.until(lambda: threads() == ["MainThread"], "the end of all threads")
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            with pl.Pool(2) as pool:
                folder = pool._engine.folder
                pool.map(functions.square, range(100))
                pool.apply(functions.square, (1,))
            self.assertFalse(os.path.exists(folder))
        self.until(lambda: threads() == ["MainThread"], "the end of all threads")
        self.until(lambda: len(os.listdir("/proc/self/fd")) <= before, "all descriptors to be closed")


class Staffing(Case):
    def test_a_worker_that_ends_as_it_is_heard_troubles_nobody(self):
        engine = unittest.mock.Mock(endpoint="none", **{"shelves.return_value": None})
        with (
            unittest.mock.patch.object(threading.Thread, "start"),
            unittest.mock.patch.object(_staff, "_START", "print('last words')"),
            unittest.mock.patch.object(_staff, "_write") as told,
        ):
            staff = _staff.Staff(engine, 1, folder=str(self.folder()), env={}, on_broken=self.fail)
            (member,) = staff._members
            staff._start(member)
            select.select([member.pidfd], [], [])
            staff.leave()
            # That it has ended may come first, before what it said.
            ready = sorted(staff._selector.select(0), key=lambda each: each[0].fd != member.pidfd)
            self.assertGreater(len(ready), 1)
            with unittest.mock.patch.object(staff._selector, "select", return_value=ready):
                staff._turn()
        self.assertIsNone(member.process)
        told.assert_called_once_with(sys.stdout, "last words\n")
        staff._selector.close()
        staff._wake_read.close()
        staff._wake_write.close()


class Leaving(Case):
    def assert_left(self, source, code=0):
        process = self.began(source)
        stdout, stderr = process.communicate(timeout=LIMIT_SECONDS)
        self.assertEqual((process.returncode, stderr), (code, ""))
        self.no_workers_of(process.pid)
        return stdout

    def test_a_program_that_forgets_to_close_ends_without_a_word(self):
        told = self.assert_left(
            "import pipeline_zmq as pl\npool = pl.Pool(2)\nprint(pool.map(abs, [-1, 2]))\n"
        )
        self.assertEqual(told, "[1, 2]\n")

    def test_one_that_leaves_in_the_middle_of_everything(self):
        told = self.assert_left(
            """
import itertools, time
import pipeline_zmq as pl
pool = pl.Pool(2)
results = pool.imap(abs, itertools.count())
print(next(results))
calls = [pool.apply_async(time.sleep, (60,)) for _ in range(9)]
"""
        )
        self.assertEqual(told, "0\n")

    def test_one_that_exits_with_a_code(self):
        self.assert_left("import sys, pipeline_zmq as pl\npool = pl.Pool(1)\nsys.exit(7)\n", 7)

    def test_one_that_is_killed_takes_its_workers_along(self):
        process = self.began(
            """
import time
import pipeline_zmq as pl
pool = pl.Pool(2)
pool.map(abs, range(100))
calls = [pool.apply_async(time.sleep, (600,)) for _ in range(2)]
print("ready", flush=True)
time.sleep(600)
"""
        )
        self.assertEqual(process.stdout.readline(), "ready\n")
        self.assertTrue(workers_of(process.pid))
        process.kill()
        process.wait(LIMIT_SECONDS)
        self.no_workers_of(process.pid)

    def test_an_unguarded_script_works(self):
        told = self.script(
            "import pipeline_zmq as pl\nprint('once')\nprint(sum(pl.map(abs, range(-9, 0), workers=2)))\n"
        )
        self.assertEqual((told.stdout, told.stderr), ("once\n45\n", ""))

    def test_a_script_from_standard_input_works(self):
        import sys

        from support import environment

        told = subprocess.run(
            [sys.executable, "-"],
            input="import pipeline_zmq as pl\nprint(pl.map(abs, [-1], workers=1))\n",
            env=environment(),
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )
        self.assertEqual((told.stdout, told.stderr), ("[1]\n", ""))


class Forking(Case):
    def test_what_a_fork_has_of_a_pool_is_not_the_pool(self):
        told = self.script(
            """
import os
import pipeline_zmq as pl
with pl.Pool(2) as pool:
    assert pool.map(abs, [-1]) == [1]
    child = os.fork()
    if child == 0:
        # Neither leaving a block nor the end of the program may harm the other process.
        pool.terminate()
        pool.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert pool.map(abs, [-2, 3]) == [2, 3]
    child = os.fork()
    if child == 0:
        raise SystemExit(3)
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 3
    assert pool.map(abs, [-4]) == [4]
print("done")
"""
        )
        self.assertEqual((told.stderr, told.stdout), ("", "done\n"))

    def test_a_fork_may_have_pools_of_its_own(self):
        told = self.script(
            """
import os
import pipeline_zmq as pl
with pl.Pool(1) as pool:
    assert pool.map(abs, [-1]) == [1]
    child = os.fork()
    if child == 0:
        with pl.Pool(1) as own:
            assert own.map(abs, [-5]) == [5]
        os._exit(9)
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 9
    assert pool.map(abs, [-4]) == [4]
print("done")
"""
        )
        self.assertEqual((told.stderr, told.stdout), ("", "done\n"))

    def test_multiprocessing_beside_it_works(self):
        told = self.script(
            """
import multiprocessing
import pipeline_zmq as pl
with pl.Pool(1) as pool:
    assert pool.map(abs, [-1]) == [1]
    with multiprocessing.get_context("fork").Pool(2) as other:
        assert other.map(abs, [-2]) == [2]
    assert pool.map(abs, [-4]) == [4]
print("done")
"""
        )
        self.assertEqual((told.stderr, told.stdout), ("", "done\n"))


BUSY = """
import faulthandler, itertools, sys, time
faulthandler.dump_traceback_later(20, exit=True)
import pipeline_zmq as pl

def work(value):
    if value > 2:
        time.sleep(600)
    return value

def ready():
    print("ready", flush=True)

def wait():
    # The call is under way, with work in the workers.
    ready()

{body}
"""

INTERRUPTED = {
    "get": """
pool = pl.Pool(2)
try:
    call = pool.map_async(work, range(100))
    ready()
    call.get()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    pool.terminate()
""",
    "imap": """
pool = pl.Pool(2)
try:
    results = pool.imap(work, itertools.count())
    ready()
    for value in results:
        pass
except KeyboardInterrupt:
    print("interrupted", flush=True)
    pool.terminate()
""",
    "with": """
try:
    with pl.Pool(2) as pool:
        ready()
        pool.map(work, range(100))
except KeyboardInterrupt:
    print("interrupted", flush=True)
""",
    "apply": """
try:
    with pl.Pool(1) as pool:
        ready()
        pool.apply(time.sleep, (600,))
except KeyboardInterrupt:
    print("interrupted", flush=True)
""",
    "short form": """
try:
    results = pl.imap_unordered(work, itertools.count(), workers=2)
    ready()
    for value in results:
        pass
except KeyboardInterrupt:
    print("interrupted", flush=True)
""",
    "join": """
pool = pl.Pool(1)
pool.apply_async(time.sleep, (600,))
pool.close()
try:
    ready()
    pool.join()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    pool.terminate()
""",
    "full": """
pool = pl.Pool(1)
try:
    ready()
    while True:
        pool.apply_async(time.sleep, (b"x" * 1_000_000 and 600,), dict())
        time.sleep(0)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    pool.terminate()
""",
    "executor": """
try:
    with pl.Executor(2) as executor:
        futures = [executor.submit(time.sleep, 600) for _ in range(10)]
        ready()
        futures[0].result()
except KeyboardInterrupt:
    print("interrupted", flush=True)
""",
}


class Interrupts(Case):
    def interrupt(self, body, sign=signal.SIGINT):
        process = self.began(BUSY.format(body=body))
        self.assertEqual(process.stdout.readline(), "ready\n")
        self.until(lambda: workers_of(process.pid), "the workers")
        # As a terminal does it: all processes of the group hear of it.
        os.killpg(process.pid, sign)
        stdout, stderr = process.communicate(timeout=LIMIT_SECONDS)
        self.no_workers_of(process.pid)
        return process.returncode, stdout, stderr

    def test_ctrl_c_raises_once_in_the_caller_and_nothing_is_left(self):
        for name, body in INTERRUPTED.items():
            with self.subTest(name):
                self.assertEqual(self.interrupt(body), (0, "interrupted\n", ""))

    def test_without_a_handler_the_traceback_is_the_callers_alone(self):
        code, stdout, stderr = self.interrupt(
            "with pl.Pool(2) as pool:\n    ready()\n    pool.map(work, range(100))\n"
        )
        self.assertEqual((code, stdout), (-signal.SIGINT, ""), stderr)
        # Whole lines: Ctrl-C may come anywhere, also in a line of source that has such words.
        lines = stderr.splitlines()
        self.assertEqual(lines.count("Traceback (most recent call last):"), 1, stderr)
        self.assertEqual(lines[-1], "KeyboardInterrupt", stderr)
        self.assertFalse([line for line in lines if line.startswith("worker-")], stderr)

    def test_a_use_that_ctrl_c_did_not_let_begin_ends_quietly(self):
        with unittest.mock.patch.object(sys, "unraisablehook") as told:
            unfinished = _Use.__new__(_Use)
            del unfinished
        told.assert_not_called()

    def test_a_pool_can_be_used_after_it(self):
        code, stdout, stderr = self.interrupt(
            """
pool = pl.Pool(2)
try:
    results = pool.imap(work, [0, 1, 2, 3])
    ready()
    for value in results:
        pass
except KeyboardInterrupt:
    del results
    print(pool.map(abs, [-1, 2]), flush=True)
    pool.terminate()
"""
        )
        self.assertEqual((code, stdout, stderr), (0, "[1, 2]\n", ""))


def waits_for(event):
    event.wait(LIMIT_SECONDS * 3)
    yield 1


def threads():
    return sorted(thread.name for thread in threading.enumerate())


if __name__ == "__main__":
    unittest.main()
