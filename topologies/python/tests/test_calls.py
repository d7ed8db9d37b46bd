"""The calls of a pool: what they give, and in which order."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import operator
import unittest

import functions
import pipeline_zmq as pl
from support import Case, PoolCase, by_value


class Calls(PoolCase):
    def test_map_gives_a_list_in_the_order_of_the_items(self):
        expected = [n * n for n in range(5_000)]
        self.assertEqual(self.pool.map(functions.square, range(5_000)), expected)
        self.assertEqual(self.pool.map(functions.square, list(range(5_000))), expected)
        self.assertEqual(self.pool.map(functions.square, (n for n in range(5_000))), expected)

    def test_a_chunk_size_is_accepted_everywhere_and_changes_nothing(self):
        items, pairs = [1, 2, 3], [(1, 2), (3, 4)]
        self.assertEqual(self.pool.map(functions.square, items, 2), [1, 4, 9])
        self.assertEqual(self.pool.map(functions.square, items, chunksize=2), [1, 4, 9])
        self.assertEqual(self.pool.starmap(functions.pair, pairs, chunksize=9), pairs)
        self.assertEqual(list(self.pool.imap(functions.square, items, chunksize=2)), [1, 4, 9])
        unordered = self.pool.imap_unordered(functions.square, items, chunksize=2)
        self.assertEqual(sorted(unordered), [1, 4, 9])
        self.assertEqual(self.pool.map_async(functions.square, items, 1).get(), [1, 4, 9])
        self.assertEqual(self.pool.starmap_async(functions.pair, pairs, 1).get(), pairs)

    def test_imap_gives_results_one_by_one_in_order(self):
        results = self.pool.imap(functions.square, range(2_000))
        for number in range(2_000):
            self.assertEqual(next(results), number * number)
        with self.assertRaises(StopIteration):
            next(results)
        with self.assertRaises(StopIteration):
            next(results)

    def test_imap_next_can_wait_for_so_long(self):
        folder = self.folder()
        results = self.pool.imap(functools.partial(functions.begin_and_wait, str(folder)), [1])
        with self.assertRaises(TimeoutError):
            results.next(timeout=0.01)
        with self.assertRaises(multiprocessing.TimeoutError):
            results.next(timeout=0.01)
        (folder / "go").touch()
        self.assertEqual(results.next(timeout=60), 1)

    def test_imap_unordered_gives_every_result_once(self):
        results = list(self.pool.imap_unordered(functions.square, range(20_000)))
        self.assertEqual(len(results), 20_000)
        self.assertEqual(sorted(results), [n * n for n in range(20_000)])

    def test_a_result_that_is_late_does_not_hold_up_those_behind_it(self):
        folder = self.folder()
        items = [("late", 0), *((n, n) for n in range(50))]
        function = functools.partial(late_or_not, str(folder / "go"))
        # Workers that know short items take many of them at a time.
        self.pool.map(functions.square, range(5_000))
        results = self.pool.imap_unordered(function, items)
        first = {next(results) for _ in range(50)}
        self.assertEqual(first, set(range(50)))
        (folder / "go").touch()
        self.assertEqual(list(results), ["late"])

    def test_starmap_unpacks_each_item(self):
        pairs = list(zip(range(100), range(100, 0, -1)))
        self.assertEqual(self.pool.starmap(functions.pair, pairs), pairs)
        self.assertEqual(self.pool.starmap(functions.pair, ["ab", "cd"]), [("a", "b"), ("c", "d")])

    def test_apply_passes_arguments_and_keywords(self):
        self.assertEqual(self.pool.apply(functions.keyed, (1,)), (1, (), None, {}))
        told = self.pool.apply(functions.keyed, (1, 2, 3), {"key": "k", "other": None})
        self.assertEqual(told, (1, (2, 3), "k", {"other": None}))

    def test_apply_async_gives_results_of_many_calls(self):
        calls = [self.pool.apply_async(operator.add, (n, 1)) for n in range(3_000)]
        self.assertEqual([call.get(60) for call in calls], list(range(1, 3_001)))

    def test_no_items_give_no_results(self):
        self.assertEqual(self.pool.map(functions.square, []), [])
        self.assertEqual(self.pool.starmap(functions.pair, iter([])), [])
        self.assertEqual(list(self.pool.imap(functions.square, range(0))), [])
        self.assertEqual(list(self.pool.imap_unordered(functions.square, ())), [])

    def test_ranges_of_every_kind_are_what_they_are(self):
        for numbers in (range(5, 50, 7), range(50, 5, -7), range(-3, 3), range(2**63 - 2, 2**63 + 2)):
            self.assertEqual(self.pool.map(functions.identity, numbers), list(numbers))

    def test_none_lists_and_generators_are_values(self):
        self.assertEqual(self.pool.map(functions.nothing, range(3)), [None, None, None])
        self.assertEqual(self.pool.map(list, ["ab", ""]), [["a", "b"], []])
        self.assertEqual(list(self.pool.imap_unordered(functions.nothing, [1])), [None])
        self.assertIsNone(self.pool.apply(functions.nothing, (1,)))

    def test_what_can_not_be_iterated_over_or_called_is_refused_at_once(self):
        for call in (self.pool.map, self.pool.imap, self.pool.imap_unordered, self.pool.map_async):
            with self.assertRaises(TypeError):
                call(functions.square, 17)
            with self.assertRaises(TypeError):
                call(17, [1])
        self.assertEqual(self.pool.map(functions.square, [3]), [9])

    def test_an_async_result_tells_how_far_it_is(self):
        folder = self.folder()
        call = self.pool.apply_async(functions.begin_and_wait, (str(folder), 5))
        self.assertFalse(call.ready())
        with self.assertRaises(ValueError):
            call.successful()
        call.wait(0.01)
        with self.assertRaises(multiprocessing.TimeoutError):
            call.get(timeout=0.01)
        with self.assertRaises(TimeoutError):
            call.get(timeout=0)
        (folder / "go").touch()
        self.assertEqual(call.get(60), 5)
        self.assertTrue(call.ready())
        self.assertTrue(call.successful())
        failed = self.pool.apply_async(functions.raise_told)
        failed.wait()
        self.assertFalse(failed.successful())

    def test_callbacks_are_called_with_what_came(self):
        told, failed = [], []
        self.pool.map_async(int, ["1", "2"], callback=told.append, error_callback=failed.append).get()
        self.until(lambda: told, "the callback")
        self.assertEqual((told, failed), ([[1, 2]], []))
        call = self.pool.apply_async(int, ("a",), callback=told.append, error_callback=failed.append)
        call.wait()
        self.until(lambda: failed, "the callback")
        self.assertIsInstance(failed[0], ValueError)
        self.assertEqual(len(told), 1)

    def test_a_callback_may_start_the_next_call(self):
        done = []

        def follow(value):
            if value < 20:
                self.pool.apply_async(functions.add_one, (value,), callback=follow)
            else:
                done.append(value)

        self.pool.apply_async(functions.add_one, (0,), callback=follow)
        self.until(lambda: done, "the last call")
        self.assertEqual(done, [20])

    def test_functions_of_every_importable_kind(self):
        counter = functions.Counter(10)
        for function, expected in [
            (abs, [1, 2]),
            (str.upper, None),
            (functions.square, [1, 4]),
            (functools.partial(operator.mul, 3), [-3, 6]),
            (functions.Counter(10).add, [9, 12]),
            (counter, [-10, 20]),
            (functions.Counter.named, ["Counter -1", "Counter 2"]),
            (functions.Counter.doubled, [-2, 4]),
            (operator.itemgetter(0), None),
        ]:
            with self.subTest(function=function):
                items = [-1, 2]
                if expected is None:
                    items, expected = ["a", "b"], list(map(function, ["a", "b"]))
                self.assertEqual(self.pool.map(function, items), expected)

    @by_value
    def test_functions_that_have_no_name_travel_by_value(self):
        offset = 100

        def inner(value):
            return value + offset

        self.assertEqual(self.pool.map(lambda value: value + 1, range(3)), [1, 2, 3])
        self.assertEqual(self.pool.map(inner, range(3)), [100, 101, 102])
        self.assertEqual(self.pool.map(functools.partial(inner), [1]), [101])
        self.assertEqual(self.pool.apply(lambda: offset), 100)

    @by_value
    def test_a_closure_is_what_it_was_when_it_was_made(self):
        functions_made = [lambda value, by=by: value * by for by in range(200)]
        results = [self.pool.apply_async(function, (2,)) for function in functions_made]
        self.assertEqual([result.get(60) for result in results], [2 * by for by in range(200)])

    def test_many_functions_one_after_the_other(self):
        for start in range(150):
            self.assertEqual(self.pool.map(functions.Counter(start).add, [1, 2]), [start + 1, start + 2])

    def test_several_calls_at_once_do_not_mix(self):
        streams = [self.pool.imap(functions.Counter(n).add, range(1_000)) for n in range(8)]
        for number, row in enumerate(zip(*streams)):
            self.assertEqual(row, tuple(number + n for n in range(8)))


class ShortForms(Case):
    def test_map_takes_several_iterables_and_stops_with_the_shortest(self):
        self.assertEqual(pl.map(pow, [2, 3, 4], itertools.repeat(2), workers=1), [4, 9, 16])
        self.assertEqual(pl.map(functions.square, range(4), workers=2), [0, 1, 4, 9])

    def test_imap_and_imap_unordered_give_iterators(self):
        self.assertEqual(list(pl.imap(functions.square, range(5), workers=1)), [0, 1, 4, 9, 16])
        self.assertEqual(sorted(pl.imap_unordered(operator.add, [1, 2], [3, 4], workers=2)), [4, 6])
        unordered = pl.imap(functions.square, range(5), workers=2, ordered=False)
        self.assertEqual(sorted(unordered), [0, 1, 4, 9, 16])

    def test_an_iterator_that_is_given_up_ends_its_pool(self):
        results = pl.imap(functions.square, itertools.count(), workers=1)
        self.assertEqual(next(results), 0)
        results.close()
        with self.assertRaises(StopIteration):
            next(results)

    def test_no_iterable_is_an_error(self):
        for call in (pl.map, pl.imap, pl.imap_unordered):
            with self.assertRaises(TypeError):
                call(functions.square)

    def test_options_of_a_pool_are_taken(self):
        told = pl.map(functions.get_state, ["key"], workers=1, init=functions.set_state, initargs=("key", 17))
        self.assertEqual(told, [17])


class MakingAPool(Case):
    def test_what_makes_no_sense_is_refused(self):
        for arguments, kind in [
            ({"workers": 0}, ValueError),
            ({"workers": -1}, ValueError),
            ({"workers": 1.5}, TypeError),
            ({"processes": 0}, ValueError),
            ({"workers": 1, "maxtasksperchild": "12"}, ValueError),
            ({"workers": True}, TypeError),
            ({"workers": 1, "init": 17}, TypeError),
            ({"workers": 1, "maxtasksperchild": 0}, ValueError),
            ({"workers": 1, "concurrency": 0}, ValueError),
            ({"workers": 1, "bind": "nowhere"}, ValueError),
        ]:
            with self.subTest(arguments), self.assertRaises(kind):
                pl.Pool(**arguments)

    def test_as_many_workers_as_processors_unless_told(self):
        import os

        with pl.Pool() as pool:
            cores = len(os.sched_getaffinity(0))
            self.until(lambda: len(pool.workers()) == cores, "the workers")
            self.assertEqual(pool.map(functions.square, [3]), [9])

    def test_workers_are_other_processes_with_names(self):
        import os

        with pl.Pool(2) as pool:
            self.until(lambda: len(pool.workers()) == 2, "the workers")
            pids = set(pool.map(functions.pid, range(1_000)))
            self.assertNotIn(os.getpid(), pids)
            self.assertLessEqual(pids, set(pool.workers().values()))
            self.assertEqual(set(pool.workers()), {"worker-1", "worker-2"})

    def test_a_pool_does_not_travel(self):
        import pickle

        with pl.Pool(1) as pool:
            with self.assertRaises(NotImplementedError):
                pickle.dumps(pool)
            self.assertIn("running", repr(pool))


def late_or_not(path, item):
    value, _ = item
    return functions.wait_for(path, value) if value == "late" else value


if __name__ == "__main__":
    unittest.main()
