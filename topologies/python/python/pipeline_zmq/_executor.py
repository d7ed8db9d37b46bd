"""The pool as an executor: real futures of ``concurrent.futures``."""

from __future__ import annotations

import atexit
import concurrent.futures
import os
import threading
import weakref
from concurrent.futures._base import CANCELLED as _CANCELLED
from concurrent.futures._base import FINISHED as _FINISHED
from concurrent.futures._base import PENDING as _PENDING

from . import _errors, _native
from ._pool import Pool
from ._single import Single

_Raised = _native.Raised

# How long room is waited for before a look.
_ROOM_SECONDS = 0.05

_executors: weakref.WeakSet = weakref.WeakSet()


@atexit.register
def _finish_all() -> None:
    """A program that ends waits for its calls, as with the executors of ``concurrent.futures``."""
    for executor in list(_executors):
        if executor._pool._owner == os.getpid():
            executor.shutdown()


class BrokenPool(_errors.Broken, concurrent.futures.BrokenExecutor):
    """:class:`Broken`, for those who know executors."""


class _Future(Single, concurrent.futures.Future):
    """A future whose waits hear Ctrl-C also when another thread is given the signal."""

    _executor = None

    def result(self, timeout=None):
        return super().result(self._look(timeout))

    def exception(self, timeout=None):
        return super().exception(self._look(timeout))

    def cancel(self):
        executor, is_cancelled = self._executor, super().cancel()
        if is_cancelled and executor is not None:
            executor._pool._engine.look_again()
        return is_cancelled

    def _look(self, timeout):
        """Waits as long as it should; how much longer still."""
        executor = self._executor
        if self._state == _FINISHED or executor is None:
            return timeout
        if self._await(executor._pool, timeout):
            return 0
        if timeout is None:
            with self._condition:
                while not self.done():
                    self._condition.wait(0.1)
        return timeout

    def _came(self, result):
        """Its result has come, however often that is said; the function that it does not use any more."""
        known, self._known = self._known, None
        if type(result) is _Raised:
            error, result = _errors.unpacked(result, 0), None
        elif type(result) is _errors.Gone:
            error, result = BrokenPool(*result.error.args), None
        else:
            error = None
        # Begun and ended at once, which takes half the time of saying the one and then the other.
        with self._condition:
            if self._state == _PENDING:
                self._state, self._result, self._exception = _FINISHED, result, error
                for waiter in self._waiters:
                    waiter.add_result(self) if error is None else waiter.add_exception(self)
                self._condition.notify_all()
                is_news = True
            else:
                is_news = False
        if is_news:
            self._invoke_callbacks()
        elif self._state == _CANCELLED:
            # Whoever waits for several hears of it now.
            self.set_running_or_notify_cancel()
        # Who keeps it does not keep the pool.
        executor, self._executor = self._executor, None
        if executor is not None and executor._is_waited_for:
            executor._look_again()
        return known


class Executor(concurrent.futures.Executor):
    """Like ``concurrent.futures.ProcessPoolExecutor``, and a worker that dies breaks nothing.

    >>> with Executor(1) as executor:
    ...     executor.submit(pow, 2, 10).result()
    1024

    Args:
        max_workers: How many processes; as many as there are processors unless given.
        mp_context: Not needed: workers are started as programs of their own, never forked.
        initializer: Called in each worker before its first call, with ``initargs``.
        max_tasks_per_child: A worker leaves after so many calls, and another one takes its place.
        max_pending: How many calls may wait or run; ``submit`` waits beyond that, and raises
            ``RuntimeError`` where it would wait for itself, in a callback of a future.
        pool: A pool to run in; it is not closed with the executor.
        options: Whatever else :class:`Pool` takes.
    """

    def __init__(
        self,
        max_workers=None,
        mp_context=None,
        initializer=None,
        initargs=(),
        *,
        max_tasks_per_child=None,
        max_pending=100_000,
        pool=None,
        **options,
    ):
        if pool is not None and (max_workers is not None or initializer is not None or options):
            raise TypeError("a pool that is given has its own workers and options")
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        self._own = pool is None
        self._pool = pool or Pool(max_workers, initializer, initargs, max_tasks_per_child, **options)
        self._max_pending = max_pending
        # Somebody waits for room.
        self._is_waited_for = False
        self._room = threading.Condition()
        self._shut_down = False
        if self._own:
            _executors.add(self)

    def submit(self, fn, /, *args, **kwargs):
        """Has ``fn(*args, **kwargs)`` called in a worker; a future of what it comes to."""
        future = _Future()
        self._admit()
        future._executor = self
        try:
            self._pool._single(fn, args, kwargs, future)
        except BaseException as error:
            if isinstance(error, _errors.Broken):
                raise BrokenPool(*error.args) from None
            if not isinstance(error, Exception) or self._pool._state != "running":
                raise
            # What can't travel is told of like all else that goes wrong with a call.
            future.set_exception(error)
        return future

    def map(self, fn, *iterables, timeout=None, chunksize=1):
        """Like the built-in ``map``, on all workers; results in order, inputs read as results are taken.

        Raises:
            TimeoutError: From the iterator, ``timeout`` seconds after this call.
        """
        from ._maps import _starred

        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        self._refuse_if_shut_down()
        manner, items = _starred(fn, iterables) if iterables else ("one", ())
        # Who has the results only has the pool as well.
        results = self._pool._stream(fn, manner, items, ordered=True, kept=self._pool)
        return results if timeout is None else _until(results, timeout)

    def shutdown(self, wait=True, *, cancel_futures=False):
        """No more calls; waits for those under way unless told otherwise."""
        with self._room:
            first, self._shut_down = not self._shut_down, True
            self._room.notify_all()
        if cancel_futures:
            for future in self._futures():
                future.cancel()
        if self._own:
            if first:
                self._pool._engine.end_streams() if cancel_futures else None
                self._pool.close()
            if wait:
                self._pool.join()
        elif wait:
            concurrent.futures.wait(self._futures())

    def _futures(self):
        """Those of its futures that are not done."""
        calls = list(self._pool._pending.values())
        return [call for call in calls if type(call) is _Future and call._executor is self]

    def __exit__(self, kind, error, frames):
        if kind is not None and not issubclass(kind, Exception) and self._own:
            # Ctrl-C: nobody waits for what is under way.
            self._shut_down = True
            self._pool.terminate()
            return False
        return super().__exit__(kind, error, frames)

    def _refuse_if_shut_down(self):
        if self._shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._pool._broken is not None:
            raise BrokenPool(self._pool._broken)

    def _admit(self):
        if self._shut_down or self._pool._broken is not None:
            self._refuse_if_shut_down()
        # Without a lock: what is told meanwhile only makes room.
        if len(self._pool._pending) >= self._max_pending:
            self._wait_for_room()

    def _wait_for_room(self):
        pending = self._pool._pending
        if threading.current_thread() is self._pool._teller:
            raise RuntimeError(
                f"{len(pending)} calls are pending, and this one would wait for itself:"
                " it was made in the callback of a future"
            )
        with self._room:
            while len(pending) >= self._max_pending:
                self._is_waited_for = True
                # In slices, since results that are waited for go another way.
                self._room.wait(_ROOM_SECONDS)
                self._refuse_if_shut_down()
            self._is_waited_for = False

    def _look_again(self):
        with self._room:
            self._room.notify_all()


def _until(results, timeout):
    """The results, as long as they come in time."""
    import time

    from ._result import timed_out

    deadline = time.monotonic() + timeout

    def taken():
        while True:
            try:
                result = results.next(max(0.0, deadline - time.monotonic()))
            except StopIteration:
                return
            except TimeoutError:
                raise timed_out(f"not all results came within {timeout} s") from None
            yield result

    return taken()
