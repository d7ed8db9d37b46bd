"""What a caller sees of what functions raise, and of what can't travel."""

from __future__ import annotations

import pickle
import traceback
import unittest

import functions
import pipeline_zmq as pl
from support import Case, PoolCase, by_value, outcomes


class Raised(PoolCase):
    def raised(self, kind, call, *arguments):
        with self.assertRaises(kind) as raised:
            call(*arguments)
        self.assertEqual(self.pool.map(functions.square, range(50)), [n * n for n in range(50)])
        return raised.exception

    def test_an_exception_comes_as_what_it_is_with_the_traceback_of_its_worker(self):
        error = self.raised(KeyError, self.pool.apply, functions.fail_at, (7, 7))
        self.assertIs(type(error), KeyError)
        self.assertEqual(error.args, (7,))
        told = "".join(traceback.format_exception(error))
        self.assertIn("raise KeyError(value)", told)
        self.assertIn("functions.py", told)
        self.assertIn("The above exception was the direct cause", told)
        # Not a line of what calls the function in the worker.
        self.assertNotIn("_worker.py", str(error.__cause__))

    def test_map_raises_for_the_first_item_that_failed(self):
        error = self.raised(ZeroDivisionError, self.pool.map, reciprocal, [1, 2, 0, 4])
        self.assertIsInstance(error.__cause__, Exception)

    def test_an_iterator_goes_on_behind_what_was_raised(self):
        results = self.pool.imap(reciprocal, [1, 0, 2, 0, 4])
        told = outcomes(results, ZeroDivisionError)
        told = ["raised" if isinstance(one, ZeroDivisionError) else one for one in told]
        self.assertEqual(told, [1.0, "raised", 0.5, "raised", 0.25])

    def test_every_failure_of_many_is_in_its_place(self):
        calls = [self.pool.apply_async(functions.fail_at, (n % 3, 1)) for n in range(300)]
        for number, call in enumerate(calls):
            if number % 3 == 1:
                self.assertRaises(KeyError, call.get, 60)
            else:
                self.assertEqual(call.get(60), number % 3)

    def test_attributes_of_an_exception_come_along(self):
        error = self.raised(functions.Told, self.pool.apply, functions.raise_told)
        self.assertEqual((error.args, error.code), (("told", 17), 17))

    def test_causes_and_notes_of_the_worker_are_shown(self):
        error = self.raised(ValueError, self.pool.apply, functions.raise_chained)
        told = str(error.__cause__)
        self.assertIn("KeyError: 'missing'", told)
        self.assertIn("ValueError: not found", told)

    def test_an_exception_that_does_not_come_back_from_a_pickle_is_told_of(self):
        error = self.raised(pl.UnitError, self.pool.apply, functions.raise_stubborn)
        self.assertIn("Stubborn", error.type_name)
        self.assertIn("one and two", str(error))
        self.assertIn("raise Stubborn", error.traceback)
        self.assertEqual(error.attempts, 1)

    def test_an_exception_that_can_not_be_pickled_is_told_of(self):
        error = self.raised(pl.UnitError, self.pool.apply, functions.raise_unpicklable)
        self.assertEqual(error.type_name, "RuntimeError")
        self.assertIn("holds a lock", str(error))

    def test_a_unit_error_says_which_item_it_was(self):
        error = self.raised(pl.UnitError, self.pool.map, stubborn_at_5, range(9))
        self.assertEqual(error.unit, 5)

    def test_exits_and_interrupts_of_the_function_fail_the_item_alone(self):
        for function, kind in [(functions.leave, SystemExit), (functions.interrupt, KeyboardInterrupt)]:
            with self.subTest(kind=kind):
                call = self.pool.apply_async(function)
                call.wait(60)
                with self.assertRaises((kind, pl.UnitError)):
                    call.get(60)
                self.assertEqual(self.pool.map(functions.square, [3]), [9])

    def test_stop_iteration_does_not_end_a_stream(self):
        results = self.pool.imap(stop_at_1, range(3))
        self.assertEqual(next(results), 0)
        with self.assertRaises(Exception) as raised:
            next(results)
        self.assertNotIsInstance(raised.exception, StopIteration)
        self.assertIn("StopIteration", f"{raised.exception} {raised.exception.__cause__}")
        self.assertEqual(next(results), 2)
        with self.assertRaises(Exception) as raised:
            self.pool.apply(stop_at_1, (1,))
        self.assertIn("StopIteration", "".join(traceback.format_exception(raised.exception)))

    def test_a_wrong_number_of_arguments_is_the_items_error(self):
        error = self.raised(TypeError, self.pool.apply, functions.square, (1, 2))
        self.assertIn("positional argument", str(error))
        self.raised(TypeError, self.pool.starmap, functions.square, [(1,), (1, 2)])
        self.raised(TypeError, self.pool.starmap, functions.square, [5])

    def test_a_result_that_can_not_be_pickled_fails_its_item_with_type_and_path(self):
        error = self.raised(Exception, self.pool.apply, functions.unpicklable)
        self.assertIn("generator", str(error))
        error = self.raised(Exception, self.pool.apply, nested_unpicklable)
        self.assertIn("generator", str(error))
        self.assertIn("['inner'][1]", str(error))

    def test_an_argument_that_can_not_be_pickled_is_refused_where_it_is_given(self):
        bad = (n for n in range(3))
        for call in (
            lambda: self.pool.apply(functions.identity, (bad,)),
            lambda: self.pool.map(functions.identity, [1, bad]),
            lambda: list(self.pool.imap(functions.identity, [bad])),
        ):
            error = self.raised(Exception, call)
            self.assertIn("generator", str(error))
        self.assertIsInstance(error, (TypeError, pickle.PicklingError))

    def test_what_raises_while_it_is_pickled_or_unpickled_fails_its_call(self):
        for hostile, kind in [
            (RaisesAtPickle(), LookupError),
            (RaisesAtUnpickle(), Exception),
            (ExitsAtUnpickle(), BaseException),
        ]:
            with self.subTest(kind=type(hostile).__name__):
                with self.assertRaises(kind):
                    self.pool.apply(functions.identity, (hostile,))
                with self.assertRaises(kind):
                    self.pool.map(functions.identity, [hostile])
        for function in (give_raises_at_pickle, give_raises_at_unpickle):
            with self.subTest(function=function.__name__):
                with self.assertRaises(Exception):
                    self.pool.apply(function)
                self.assertEqual(self.pool.map(functions.square, [2]), [4])

    def test_a_function_that_no_worker_can_load_fails_its_items(self):
        function = FailsToLoad()
        with self.assertRaisesRegex(Exception, "can't be loaded|not here"):
            self.pool.map(function, [1, 2])
        self.assertEqual(self.pool.map(functions.square, [2]), [4])

    def test_a_function_that_can_not_be_pickled_is_refused_at_once(self):
        import threading

        lock = threading.Lock()
        with self.assertRaises(Exception) as raised:
            self.pool.map(HoldsALock(lock), [1])
        self.assertIn("lock", str(raised.exception))

    @by_value
    def test_errors_of_a_lambda_show_its_line(self):
        error = self.raised(ZeroDivisionError, self.pool.map, lambda value: 1 // value, [0])
        self.assertIn("in <lambda>", str(error.__cause__))

    def test_unit_errors_travel(self):
        error = pl.Crashed("gone")
        error.unit = 4
        again = pickle.loads(pickle.dumps(error))
        self.assertIs(type(again), pl.Crashed)
        self.assertEqual((str(again), again.unit), ("gone", 4))
        self.assertTrue(issubclass(pl.Crashed, pl.UnitError))
        self.assertTrue(issubclass(pl.UnitError, RuntimeError))
        self.assertTrue(issubclass(pl.Broken, RuntimeError))


class Retried(Case):
    def test_an_item_is_tried_again_so_many_times(self):
        folder = str(self.folder())
        with pl.Pool(2, retries=2, backoff=0.01) as pool:
            told = pool.starmap(functions.fail_first, [(folder, 2, value) for value in range(10)])
            self.assertEqual(told, list(range(10)))

    def test_then_it_fails_with_what_the_last_attempt_raised(self):
        folder = str(self.folder())
        with pl.Pool(1, retries=1, backoff=0.01) as pool:
            with self.assertRaisesRegex(OSError, "attempt 2"):
                pool.apply(functions.fail_first, (folder, 5, 1))

    def test_without_retries_it_fails_at_once(self):
        folder = self.folder()
        with pl.Pool(1) as pool, self.assertRaisesRegex(OSError, "attempt 1"):
            pool.apply(functions.fail_first, (str(folder), 5, 1))
        self.assertEqual(len(list(folder.iterdir())), 1)


class Inits(Case):
    def test_each_worker_is_set_up_before_its_first_item(self):
        for arguments in (
            {"init": functions.set_state, "initargs": ("key", 5)},
            {"initializer": functions.set_state, "initargs": ("key", 5)},
        ):
            with pl.Pool(2, **arguments) as pool:
                self.assertEqual(set(pool.map(functions.get_state, ["key"] * 500)), {5})

    @by_value
    def test_it_may_be_a_lambda(self):
        with pl.Pool(1, init=lambda: functions.set_state("a", 1)) as pool:
            self.assertEqual(pool.apply(functions.get_state, ("a",)), 1)

    def test_a_worker_that_follows_a_dead_one_is_set_up_too(self):
        mark = str(self.folder() / "mark")
        with pl.Pool(1, init=functions.set_state, initargs=("key", 5)) as pool:
            self.assertEqual(pool.apply(functions.die_once, (mark, 1)), 1)
            self.assertEqual(pool.apply(functions.get_state, ("key",)), 5)

    def test_one_that_raises_breaks_the_pool_with_its_traceback(self):
        pool = pl.Pool(2, init=functions.broken_init)
        self.addCleanup(pool.terminate)
        with self.assertRaises(pl.Broken) as raised:
            pool.map(functions.square, range(10))
        self.assertIn("LookupError: no model here", str(raised.exception))
        self.assertIn("functions.py", str(raised.exception))
        for call in (
            lambda: pool.apply(functions.square, (1,)),
            lambda: pool.map(functions.square, [1]),
            lambda: list(pool.imap(functions.square, [1])),
        ):
            with self.assertRaisesRegex(pl.Broken, "no model here"):
                call()

    def test_a_call_that_waits_while_the_pool_breaks_hears_of_it(self):
        pool = pl.Pool(1, init=functions.broken_init)
        self.addCleanup(pool.terminate)
        calls = [pool.apply_async(functions.square, (n,)) for n in range(3)]
        for call in calls:
            with self.assertRaisesRegex(pl.Broken, "no model here"):
                call.get(60)

    def test_a_broken_pool_can_be_left(self):
        with self.assertRaises(pl.Broken):
            with pl.Pool(1, init=functions.broken_init) as pool:
                pool.map(functions.square, [1])
        pool = pl.Pool(1, init=functions.broken_init)
        call = pool.apply_async(functions.square, (1,))
        call.wait(60)
        pool.close()
        pool.join()


def reciprocal(value):
    return 1 / value


def stubborn_at_5(value):
    if value == 5:
        raise functions.Stubborn("at", value)
    return value


def stop_at_1(value):
    if value == 1:
        raise StopIteration
    return value


def nested_unpicklable():
    return {"outer": 1, "inner": [1, (n for n in range(3))]}


class RaisesAtPickle:
    def __reduce__(self):
        raise LookupError("not to be pickled")


def _raise(text):
    raise LookupError(text)


class RaisesAtUnpickle:
    def __reduce__(self):
        return _raise, ("not to be unpickled",)


def _exit():
    raise SystemExit(3)


class ExitsAtUnpickle:
    def __reduce__(self):
        return _exit, ()


def give_raises_at_pickle():
    return RaisesAtPickle()


def give_raises_at_unpickle():
    return RaisesAtUnpickle()


def _not_here():
    raise ImportError("not here")


class FailsToLoad:
    def __reduce__(self):
        return _not_here, ()

    def __call__(self, value):
        return value


class HoldsALock:
    def __init__(self, lock):
        self.lock = lock

    def __call__(self, value):
        return value


if __name__ == "__main__":
    unittest.main()
