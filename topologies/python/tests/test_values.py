"""What values and functions are when they come back."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import gc
import math
import os
import pathlib
import pickle
import sys
import types
import unittest
import uuid

import functions
import pipeline_zmq as pl
from support import Case, PoolCase, by_value, numpy, with_numpy


class Color(enum.Enum):
    RED = 1


class Named(str):
    """A string that is more than one."""


Pair = collections.namedtuple("Pair", "left right")

PLAIN = [
    None,
    True,
    False,
    0,
    1,
    -1,
    127,
    128,
    -32,
    -33,
    2**31,
    2**63 - 1,
    -(2**63),
    2**63,
    2**64 - 1,
    2**64,
    -(2**63) - 1,
    10**100,
    0.0,
    -0.0,
    1.5,
    math.pi,
    math.inf,
    -math.inf,
    5e-324,
    1.7976931348623157e308,
    "",
    "plain",
    "ä€😀\0",
    "x" * 70_000,
    "\udc80 half a character",
    "\ud800",
    b"",
    b"\0\xff" * 100,
    bytearray(b"grows"),
    [],
    [1, [2, [3, []]]],
    {},
    {"key": {"deep": [1, 2.5, None]}},
    {1: "one", (2, 3): "two"},
    {"mixed": (1, 2)},
    (),
    (1,),
    ((1, 2), [3, (4,)]),
    {1, 2, 3},
    frozenset({"a"}),
    range(5, 100, 3),
    slice(1, None, 2),
    complex(1, -2),
    ...,
    NotImplemented,
    datetime.datetime(2026, 11, 26, 12, 30, tzinfo=datetime.timezone.utc),
    datetime.timedelta(days=3),
    decimal.Decimal("1.10"),
    fractions.Fraction(1, 3),
    uuid.UUID(int=17),
    pathlib.PurePosixPath("/a/b"),
    Color.RED,
    Named("more"),
    Pair(1, [2]),
    functions.Point(3, 4.0),
    collections.OrderedDict([("b", 1), ("a", 2)]),
    collections.Counter("hello"),
    collections.deque([1, 2], maxlen=5),
    types.SimpleNamespace(a=1),
    ValueError("as a value"),
    int,
    len,
    functions.square,
]


class Values(PoolCase):
    workers = 1

    def assert_same(self, told, value):
        self.assertIs(type(told), type(value))
        if isinstance(value, BaseException):
            self.assertEqual(told.args, value.args)
        else:
            self.assertEqual(told, value)

    def test_every_value_comes_back_as_what_it_is(self):
        told = self.pool.map(functions.identity, PLAIN)
        self.assertEqual(len(told), len(PLAIN))
        for result, value in zip(told, PLAIN):
            with self.subTest(value=repr(value)[:50]):
                self.assert_same(result, value)

    def test_the_same_within_lists_and_dicts_and_as_arguments(self):
        for value in PLAIN:
            with self.subTest(value=repr(value)[:50]):
                told = self.pool.apply(functions.keyed, (value, [value]), {"key": {"k": value}})
                first, rest, key, _ = told
                self.assert_same(first, value)
                self.assert_same(rest[0][0], value)
                self.assert_same(key["k"], value)

    def test_not_a_number_and_signs_of_zero_are_kept(self):
        nan, minus, plus = self.pool.map(functions.identity, [math.nan, -0.0, 0.0])
        self.assertTrue(math.isnan(nan))
        self.assertEqual((math.copysign(1, minus), math.copysign(1, plus)), (-1.0, 1.0))

    def test_bool_is_not_int_in_keys_and_values(self):
        told = self.pool.apply(functions.identity, ([True, 1, 1.0, False, 0],))
        self.assertEqual([type(value) for value in told], [bool, int, float, bool, int])

    def test_deep_nesting_comes_back_or_is_refused_with_an_error(self):
        for depth in (10, 100, 400):
            value = []
            for _ in range(depth):
                value = [value]
            told = self.pool.apply(functions.identity, (value,))
            for _ in range(depth):
                self.assertEqual(len(told), 1)
                (told,) = told
            self.assertEqual(told, [])
        endless = []
        for _ in range(sys.getrecursionlimit() * 20):
            endless = [endless]
        with self.assertRaises((RecursionError, pickle.PicklingError)):
            self.pool.apply(functions.identity, (endless,))
        self.assertEqual(self.pool.apply(functions.square, (3,)), 9)

    def test_cycles_come_back_as_cycles(self):
        value = [1]
        value.append(value)
        told = self.pool.apply(functions.identity, (value,))
        self.assertIs(told[1], told)
        mapping = {"self": None}
        mapping["self"] = mapping
        told = self.pool.apply(functions.identity, (mapping,))
        self.assertIs(told["self"], told)

    def test_large_values(self):
        for value in (b"x" * 20_000_000, "y" * 5_000_000, list(range(500_000))):
            self.assertEqual(self.pool.apply(functions.identity, (value,)), value)

    def test_a_result_is_the_callers_own(self):
        item = {"list": [1]}
        told = self.pool.map(functions.identity, [item, item])
        told[0]["list"].append(2)
        self.assertEqual((item, told[1]), ({"list": [1]}, {"list": [1]}))

    @by_value
    def test_what_main_defines_comes_back_as_what_main_defines(self):
        told = self.script(MAIN)
        self.assertEqual((told.stdout, told.stderr), ("all the same\n", ""))

    @by_value
    def test_local_classes_and_dataclasses(self):
        @dataclasses.dataclass
        class Local:
            value: int

            def twice(self):
                return Local(2 * self.value)

        (told,) = self.pool.map(lambda local: local.twice(), [Local(4)])
        self.assertIs(type(told), Local)
        self.assertEqual(told, Local(8))

    @with_numpy
    def test_arrays_there_and_back(self):
        for array in (
            numpy.arange(10),
            numpy.zeros((300, 200)),
            numpy.arange(1_000_000, dtype="f4").reshape(1_000, 1_000).T,
            numpy.array(["a", "bc"]),
            numpy.array([1, None], dtype=object),
            numpy.float32(1.5),
            numpy.int64(7),
            numpy.datetime64("2026-11-26"),
            numpy.arange(24).reshape(2, 3, 4)[:, ::2],
            numpy.empty((0, 3)),
        ):
            with self.subTest(shape=array.shape, dtype=array.dtype):
                told = self.pool.apply(functions.identity, (array,))
                self.assertIs(type(told), type(array))
                self.assertEqual(told.dtype, array.dtype)
                numpy.testing.assert_array_equal(told, array)

    @with_numpy
    def test_arrays_that_come_back_can_be_written_to(self):
        for size in (10, 100_000):
            told = self.pool.apply(numpy.ones, (size,))
            told += 1
            self.assertEqual(told.sum(), 2 * size)

    @with_numpy
    def test_arrays_within_other_values(self):
        value = {
            "name": "x",
            "arrays": [numpy.arange(50_000), numpy.ones(3)],
            "pair": (1, numpy.zeros(9_000)),
        }
        told = self.pool.apply(functions.identity, (value,))
        self.assertIs(type(told["pair"]), tuple)
        numpy.testing.assert_array_equal(told["arrays"][0], value["arrays"][0])
        numpy.testing.assert_array_equal(told["pair"][1], value["pair"][1])


class LargeArrays(Case):
    """What goes by way of memory that a pool shares with its workers, and what is just too small or large for it."""

    @with_numpy
    def test_each_comes_back_as_it_was_whatever_its_size(self):
        with pl.Pool(2) as pool:
            for size in (65_535, 65_536, 65_537, 1 << 20, 8 << 20, (8 << 20) + 1, 20 << 20):
                with self.subTest(size):
                    array = numpy.arange(size, dtype="u1")
                    numpy.testing.assert_array_equal(pool.apply(functions.identity, (array,)), array)
                    pair = (array, "between", array[::-1].copy())
                    told = pool.apply(functions.identity, (pair,))
                    self.assertEqual(told[1], "between")
                    numpy.testing.assert_array_equal(told[0], pair[0])
                    numpy.testing.assert_array_equal(told[2], pair[2])

    @with_numpy
    def test_many_find_room_one_after_the_other(self):
        with pl.Pool(2) as pool:
            results = pool.imap(functions.add_in_place, (numpy.full(1 << 17, n, "i8") for n in range(400)))
            kept = []
            for number, array in enumerate(results):
                self.assertEqual((array.min(), array.max()), (number + 1, number + 1))
                kept.append(array)
            # None of them lies where another one came to lie.
            self.assertEqual([int(array[-1]) for array in kept], list(range(1, 401)))

    @with_numpy
    def test_an_array_that_is_worked_on_in_place_stays_what_it_was_for_the_next_attempt(self):
        with pl.Pool(2, retries=2, backoff=0.01) as pool:
            array = numpy.zeros(1 << 17, "i8")
            mark = os.fspath(self.folder() / "killed")
            told = pool.apply(functions.add_and_die_once, (mark, array))
            self.assertEqual((told.min(), told.max(), array.max()), (1, 1, 0))

    @with_numpy
    def test_none_is_lost_with_its_worker_and_nothing_is_kept_of_those_that_died(self):
        folder, before = os.fspath(self.folder()), shared_memories()
        with pl.Pool(2) as pool:
            items = ((folder, n, numpy.full(1 << 17, n, "i8")) for n in range(200))
            results = pool.imap(functions.add_and_die_at_tens, items)
            self.assertEqual([int(array[-1]) for array in results], list(range(1, 201)))
            self.assertGreaterEqual(pool.stats()["restarts"], 20)
            # The items', and those of the workers that are there, or have ended just now.
            self.until(lambda: shared_memories() <= before + 6, "the end of the others")
        # One that has ended has given the memory back, and the rest goes with it.
        del pool, results
        self.until(lambda: gc.collect() is not None and shared_memories() <= before, "the end of all")


def shared_memories():
    """How many memories without a file this process has open."""
    names = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:
            continue
    return sum("memfd:pipeline" in name for name in names)


class Shipping(Case):
    @by_value
    def test_a_worker_without_cloudpickle_tells_what_to_install(self):
        with pl.Pool(1, init=functions.forget_cloudpickle) as pool:
            told = "needs the package cloudpickle here too: .* -m pip install cloudpickle"
            with self.assertRaisesRegex(RuntimeError, told):
                pool.apply(lambda: 1)
            self.assertEqual(pool.apply(abs, (-1,)), 1)

    @by_value
    def test_a_module_that_workers_do_not_have_travels_by_value(self):
        folder = self.folder()
        (folder / "only_here.py").write_text("FACTOR = 3\n\ndef times(value):\n    return FACTOR * value\n")
        told = self.script(
            f"""
import sys
sys.path.insert(0, {str(folder)!r})
import only_here
sys.path.remove({str(folder)!r})
import pipeline_zmq as pl
try:
    pl.map(only_here.times, [1], workers=1)
except Exception as error:
    print(type(error).__name__, "only_here" in str(error))
print(pl.map(only_here.times, [1, 2], workers=1, ship=[only_here]))
"""
        )
        self.assertEqual(told.stderr, "")
        self.assertEqual(told.stdout.splitlines(), ["RuntimeError True", "[3, 6]"])

    def test_workers_have_the_environment_that_is_given(self):
        import os

        with pl.Pool(1, env={"PIPELINE_TEST_VALUE": "here"}) as pool:
            self.assertEqual(pool.apply(os.getenv, ("PIPELINE_TEST_VALUE",)), "here")

    def test_workers_import_what_the_caller_imports_and_stay_in_its_folder(self):
        import os

        with pl.Pool(1) as pool:
            self.assertEqual(pool.apply(os.getcwd), os.getcwd())
            self.assertEqual(pool.apply(functions.square, (5,)), 25)


MAIN = """
import dataclasses
import enum
import typing

import pipeline_zmq as pl

OFFSET = 5

class Plain:
    def __init__(self, value):
        self.value = value
    def grown(self):
        return Plain(self.value + OFFSET)

@dataclasses.dataclass(frozen=True)
class Data:
    value: int

class Kind(enum.Enum):
    ONE = 1

class Row(typing.NamedTuple):
    left: int

class Problem(Exception):
    pass

def work(value):
    return Plain(value).grown()

def fail(value):
    raise Problem(value)

with pl.Pool(2) as pool:
    assert [type(plain) is Plain and plain.value for plain in pool.map(work, [1, 2])] == [6, 7]
    assert type(pool.map(Plain.grown, [Plain(1)])[0]) is Plain
    told = pool.map(lambda data: Data(data.value + 1), [Data(1)])
    assert type(told[0]) is Data and told == [Data(2)], told
    assert pool.map(lambda _: Kind.ONE, [0])[0] is Kind.ONE
    told = pool.map(lambda value: Row(value), [3])
    assert type(told[0]) is Row and told == [(3,)]
    try:
        pool.map(fail, [17])
    except Problem as problem:
        assert type(problem) is Problem and problem.args == (17,)
    else:
        raise AssertionError("nothing was raised")
    assert type(pool.apply(lambda: {"k": (Data(1), [Plain(2)])})["k"][1][0]) is Plain
print("all the same")
"""


if __name__ == "__main__":
    unittest.main()
