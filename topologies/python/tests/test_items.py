"""How far a pool reads what it is given."""

from __future__ import annotations

import functools
import itertools
import resource
import threading
import unittest

import functions
import pipeline_zmq as pl
from support import LIMIT_SECONDS, Case


class Counted:
    """Counts what is read of it."""

    def __init__(self, items):
        self.items, self.read = iter(items), 0

    def __iter__(self):
        return self

    def __next__(self):
        self.read += 1
        return next(self.items)


class Items(Case):
    def test_an_endless_iterator_is_read_no_further_than_the_window(self):
        items = Counted(itertools.count())
        with pl.Pool(2, window=500) as pool:
            results = pool.imap(functions.square, items)
            self.assertEqual([next(results) for _ in range(10)], [n * n for n in range(10)])
            # All that may be read is read, sooner or later, and not one more.
            self.until(lambda: items.read >= 500, "the window")
            taken = 10
            for _ in range(200):
                next(results)
                taken += 1
            self.assertLessEqual(items.read, taken + 500 + 1)
            results.close()

    def test_nothing_is_read_before_a_pool_has_room_for_it(self):
        with pl.Pool(1, window=10) as pool:
            folder = self.folder()
            first = [pool.apply_async(functions.begin_and_wait, (str(folder), 0))]
            items = Counted(range(1_000))
            results = pool.imap(functions.identity, items)
            self.until(lambda: items.read >= 10, "the window")
            self.assertLessEqual(items.read, 11)
            (folder / "go").touch()
            self.assertEqual(list(results), list(range(1_000)))
            self.assertEqual(first[0].get(LIMIT_SECONDS), 0)

    def test_what_an_iterator_has_given_is_worked_on_while_it_waits_for_more(self):
        go = threading.Event()

        def items():
            yield from range(5)
            go.wait(LIMIT_SECONDS)
            yield 5

        with pl.Pool(1) as pool:
            results = pool.imap(functions.square, items())
            self.assertEqual([next(results) for _ in range(5)], [0, 1, 4, 9, 16])
            self.assertFalse(go.is_set())
            go.set()
            self.assertEqual(list(results), [25])

    def test_items_may_be_made_of_the_results_before_them(self):
        told = []
        more = threading.Semaphore(1)

        def items():
            value = 1
            for _ in range(20):
                more.acquire(timeout=LIMIT_SECONDS)
                value = told[-1] if told else value
                yield value

        with pl.Pool(1) as pool:
            for result in pool.imap(functions.add_one, items()):
                told.append(result)
                more.release()
        self.assertEqual(told, list(range(2, 22)))

    def test_what_an_iterator_raises_comes_behind_what_it_gave(self):
        def items():
            yield from range(3)
            raise LookupError("no more")

        with pl.Pool(1) as pool:
            results = pool.imap(functions.square, items())
            self.assertEqual([next(results) for _ in range(3)], [0, 1, 4])
            with self.assertRaisesRegex(LookupError, "no more") as raised:
                next(results)
            # It was raised here, not in a worker.
            self.assertIsNone(raised.exception.__cause__)
            with self.assertRaisesRegex(LookupError, "no more"):
                pool.map(functions.square, items())
            with self.assertRaisesRegex(LookupError, "no more"):
                list(pool.imap_unordered(functions.square, items()))
            self.assertEqual(pool.map(functions.square, [4]), [16])

    def test_a_huge_generator_takes_no_memory(self):
        with pl.Pool(2) as pool:
            pool.map(functions.identity, range(1_000))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            total = sum(pool.imap_unordered(functions.identity, (n for n in range(3_000_000))))
            self.assertEqual(total, 3_000_000 * 2_999_999 // 2)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        # As objects in a list they would take 100 MB.
        self.assertLess(grown, 60_000)

    def test_results_that_nobody_takes_are_bounded_in_bytes(self):
        items = Counted(range(100_000))
        with pl.Pool(1) as pool:
            results = pool.imap(functools.partial(repeated, 100_000), items)
            next(results)
            self.until(lambda: items.read > 100, "some items")
            for _ in range(20):
                next(results)
            # 16 MiB wait at most, and what is under way.
            self.assertLess(items.read, 2_000)
            results.close()

    def test_results_before_a_slow_item_do_not_wait_for_it(self):
        folder = self.folder()
        with pl.Pool(2) as pool:
            pool.map(functions.identity, range(5_000))
            function = functools.partial(waits_at_7, str(folder / "go"))
            results = pool.imap(function, range(20))
            self.assertEqual([next(results) for _ in range(7)], list(range(7)))
            (folder / "go").touch()
            self.assertEqual(list(results), list(range(7, 20)))

    def test_an_iterator_that_uses_the_pool_itself(self):
        with pl.Pool(1) as pool:
            inner = pool.imap(functions.add_one, range(2_000))
            self.assertEqual(pool.map(functions.square, inner), [n * n for n in range(1, 2_001)])

    def test_a_stream_that_is_dropped_is_read_no_further(self):
        items = Counted(itertools.count())
        with pl.Pool(1) as pool:
            results = pool.imap(functions.square, items)
            next(results)
            del results
            self.assertEqual(pool.map(functions.square, range(100)), [n * n for n in range(100)])
            read = items.read
            self.assertEqual(pool.map(functions.square, range(100)), [n * n for n in range(100)])
            # One that was being read may be read to its end.
            self.assertLessEqual(items.read, read + 1 + 2_048)


def waits_at_7(path, value):
    return functions.wait_for(path, value) if value == 7 else value


def repeated(count, value):
    return bytes([value % 256]) * count


if __name__ == "__main__":
    unittest.main()
