"""CPython's tests as classes of this module, with the pool and the executor of this package in place of theirs.

A module of its own, so that workers can import what the tests give them.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import sys
import unittest
import unittest.mock

import pipeline_zmq as pl

# Newer versions have a package in place of the module.
FUTURES = [
    "test.test_concurrent_futures",
    *(
        f"test.test_concurrent_futures.{part}"
        for part in ("executor", "test_wait", "test_as_completed", "test_shutdown", "test_process_pool")
        + ("test_deadlock", "test_init", "util")
    ),
]


def pool_tests():
    """`multiprocessing`'s tests of pools."""
    theirs = importlib.import_module("test._test_multiprocessing")

    class Mixin(theirs.ProcessesMixin):
        Pool = staticmethod(pl.Pool)

        def setUp(self):
            # Some tests take it from where it is.
            patched = unittest.mock.patch.object(multiprocessing, "Pool", pl.Pool)
            patched.start()
            self.addCleanup(patched.stop)

    for name in ("_TestPool", "_TestPoolWorkerErrors", "_TestPoolWorkerLifetime"):
        base = getattr(theirs, name)
        yield type(name.lstrip("_"), (base, Mixin, unittest.TestCase), {"__module__": __name__})


class Executor(pl.Executor):
    """With what these tests look at from inside, as far as it is there."""

    @property
    def _broken(self):
        return self._pool._broken

    @property
    def _processes(self):
        return self._pool.workers()

    @property
    def _max_workers(self):
        return self._pool._workers


def executor_tests():
    """`concurrent.futures`' tests of executors."""
    found = {}
    for name in FUTURES:
        with contextlib.suppress(ImportError):
            found.update(vars(importlib.import_module(name)))
    if "ExecutorMixin" not in found:
        raise ImportError("no module named test.test_concurrent_futures")

    in_process = found["assert_python_ok"]

    def of_this_package(*arguments):
        *options, source = arguments
        source = source.replace("from concurrent.futures import", "from pipeline_zmq import")
        # It runs isolated, and would not find the package.
        return in_process(*options, f"import sys; sys.path[:0] = {sys.path}\n{source}")

    for name in FUTURES:
        module = sys.modules.get(name)
        if hasattr(module, "assert_python_ok"):
            module.assert_python_ok = of_this_package
        if hasattr(module, "BrokenProcessPool"):
            # What a call that kills its worker raises here; the pool is not broken by it.
            module.BrokenProcessPool = pl.Crashed

    class Mixin(found["ExecutorMixin"]):
        ctx = "spawn"
        executor_type = Executor

    base = found["BaseTestCase"]
    for name in (
        "ExecutorTest",
        "ProcessPoolExecutorTest",
        "WaitTests",
        "AsCompletedTests",
        "ExecutorShutdownTest",
        "ProcessPoolShutdownTest",
        "ExecutorDeadlockTest",
        "InitializerMixin",
        "FailingInitializerMixin",
    ):
        if name in found:
            # A mixin of theirs is an executor's already.
            ours = () if issubclass(found[name], found["ExecutorMixin"]) else (Mixin,)
            bases = (found[name], *ours, base)
            own = {"__module__": __name__, "executor_type": Executor, "ctx": "spawn"}
            yield type(name.removesuffix("Mixin"), bases, own)


def _all():
    for make in (pool_tests, executor_tests):
        for case in make():
            globals()[case.__name__] = case
            yield case


ALL = list(_all())
