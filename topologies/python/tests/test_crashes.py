"""Workers that die: what the pool does, and what its callers see."""

from __future__ import annotations

import functools
import os
import signal
import unittest

import functions
import pipeline_zmq as pl
from support import Case, outcomes


class Crashes(Case):
    def test_a_killed_worker_costs_nothing(self):
        mark = str(self.folder() / "mark")
        with pl.Pool(2) as pool:
            told = pool.starmap(functions.die_once, [(mark, n) for n in range(500)])
            self.assertEqual(told, list(range(500)))

    def test_one_that_leaves_in_the_middle_of_a_call_costs_nothing(self):
        mark = str(self.folder() / "mark")
        with pl.Pool(1) as pool:
            self.assertEqual(pool.apply(functions.leave_once, (mark, 3)), 3)

    def test_a_function_is_told_which_try_it_is_after_a_crash_as_after_a_failure(self):
        for times in (1, 2):
            for retries in (0, 3):
                with self.subTest(times=times), pl.Pool(1, retries=retries, backoff=0.01) as pool:
                    tried = pool.apply(tries, (str(self.folder()), times))
                    self.assertEqual(tried, list(range(1, times + 2)))

    def test_what_a_killed_worker_had_not_begun_is_not_tried_anew(self):
        mark = str(self.folder() / "mark")
        with pl.Pool(1) as pool:
            first = pool.apply_async(functions.die_once, (mark, 0))
            self.until(lambda: os.path.exists(mark), "the death")
            self.assertEqual([pool.apply(attempt), first.get(60), pool.apply(attempt)], [1, 0, 1])

    def test_every_result_comes_once_however_often_workers_are_killed(self):
        count = 60_000
        told = []
        with pl.Pool(2) as pool:
            for result in pool.imap_unordered(busy, range(count)):
                told.append(result)
                if len(told) % 7_000 == 0:
                    kill_one(pool, len(told) // 7_000)
            self.assertEqual(len(told), count)
            self.assertEqual(sorted(told), list(range(count)))
            self.assertEqual(pool.map(functions.square, [3]), [9])

    def test_an_item_that_kills_its_workers_is_given_up_alone(self):
        with pl.Pool(2, crash_limit=2) as pool:
            told = outcomes(pool.imap(functions.die_at, range(100)), pl.Crashed)
            self.assertEqual([one.unit for one in told if isinstance(one, pl.Crashed)], [37])
            self.assertIsInstance(told[37], pl.Crashed)
            del told[37]
            self.assertEqual(told, [n for n in range(100) if n != 37])
            self.assertEqual(pool.map(functions.square, range(10)), [n * n for n in range(10)])

    def test_a_call_that_kills_its_workers_raises_and_the_pool_goes_on(self):
        with pl.Pool(1, crash_limit=1) as pool:
            for _ in range(3):
                with self.assertRaises(pl.Crashed) as raised:
                    pool.apply(functions.die, (1,))
                self.assertIn("worker", str(raised.exception))
                self.assertEqual(pool.apply(functions.square, (3,)), 9)
            with self.assertRaises(pl.Crashed):
                pool.map(functions.die, [1])

    def test_a_worker_that_is_killed_while_it_is_idle_is_started_again(self):
        with pl.Pool(1) as pool:
            self.assertEqual(pool.apply(functions.square, (3,)), 9)
            (before,) = pool.workers().values()
            os.kill(before, signal.SIGKILL)
            self.until(lambda: set(pool.workers().values()) - {before}, "another worker")
            self.assertNotEqual(pool.apply(functions.pid), before)

    def test_a_worker_leaves_after_so_many_items(self):
        for options in ({"maxtasksperchild": 5}, {"max_units_per_worker": 5}):
            with self.subTest(options), pl.Pool(1, **options) as pool:
                pids = [pool.apply(functions.pid) for _ in range(16)]
                self.assertGreaterEqual(len(set(pids)), 3)
                self.assertEqual(pool.map(functions.square, range(30)), [n * n for n in range(30)])

    def test_an_item_that_takes_too_long_raises_and_the_worker_goes_on(self):
        with pl.Pool(1, timeout=0.2) as pool:
            with self.assertRaises(TimeoutError):
                pool.apply(functions.wait_for, ("/nowhere",))
            self.assertEqual(pool.apply(functions.square, (3,)), 9)

    def test_the_result_of_one_function_is_not_lost_by_another_that_kills(self):
        with pl.Pool(2, crash_limit=1) as pool:
            good = [pool.apply_async(functions.square, (n,)) for n in range(200)]
            bad = [pool.apply_async(functions.die, (n,)) for n in range(2)]
            more = pool.map(functools.partial(functions.add_one), range(200))
            self.assertEqual(more, list(range(1, 201)))
            self.assertEqual([call.get(60) for call in good], [n * n for n in range(200)])
            for call in bad:
                self.assertRaises(pl.Crashed, call.get, 60)


def tries(folder, deaths):
    """Which tries were made, after so many that killed the worker."""
    made = os.path.join(folder, "made")
    with open(made, "a", encoding="utf-8") as file:
        print(pl.unit().attempt, file=file)
    for death in range(deaths):
        if functions.first_time(os.path.join(folder, str(death))):
            functions.die(0)
    with open(made, encoding="utf-8") as file:
        return [int(line) for line in file]


def attempt():
    return pl.unit().attempt


def kill_one(pool, turn):
    pids = sorted(pool.workers().items())
    if pids:
        try:
            os.kill(pids[turn % len(pids)][1], signal.SIGKILL)
        except ProcessLookupError:
            pass


def busy(value):
    total = 0
    for number in range(300):
        total += number
    return value if total else None


if __name__ == "__main__":
    unittest.main()
