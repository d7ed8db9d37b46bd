"""The result of a call that was not waited for."""

from __future__ import annotations

import builtins
import os
import sys
import threading

from . import _errors, _native
from ._single import Single, refuse_in_fork

_Raised = _native.Raised
_SLICE_SECONDS = 0.1


def timed_out(told):
    """The error of a wait that lasted too long: the built-in one, and that of ``multiprocessing``."""
    import multiprocessing

    class TimeoutError(multiprocessing.TimeoutError, builtins.TimeoutError):  # noqa: A001
        pass

    return TimeoutError(told)


class AsyncResult:
    """What a call will come to; like that of ``multiprocessing``, and it can be awaited."""

    def __init__(self, callback=None, error_callback=None):
        self._done = threading.Event()
        self._value = None
        self._error = None
        self._callback, self._error_callback = callback, error_callback
        self._waiters = []
        self._lock = threading.Lock()
        self._owner = os.getpid()

    def ready(self) -> bool:
        """Whether it has come."""
        return self._done.is_set()

    def successful(self) -> bool:
        """Whether it has come and nothing was raised.

        Raises:
            ValueError: It has not come yet.
        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._error is None

    def wait(self, timeout=None) -> None:
        """Waits until it has come, so many seconds at most."""
        if not self._done.is_set():
            refuse_in_fork(self._owner)
        if timeout is not None:
            self._done.wait(timeout)
            return
        # A signal that another thread was given does not end a wait, so none lasts long.
        while not self._done.wait(_SLICE_SECONDS):
            pass

    def get(self, timeout=None):
        """The result, waited for so many seconds at most; raises what the function raised.

        Raises:
            multiprocessing.TimeoutError: It has not come in time; this is a built-in ``TimeoutError`` too.
        """
        self.wait(timeout)
        if not self._done.is_set():
            raise timed_out(f"no result came within {timeout} s")
        if self._error is not None:
            raise self._error
        return self._value

    def cancel(self) -> bool:
        """Gives the result up if it has not come; whether it did. The work itself may be done all the same."""
        import concurrent.futures

        return self._finish(None, concurrent.futures.CancelledError())

    def __await__(self):
        import asyncio

        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def tell():
            if future.done():
                return
            if self._error is not None:
                future.set_exception(self._error)
            else:
                future.set_result(self._value)

        def wake():
            try:
                loop.call_soon_threadsafe(tell)
            except RuntimeError:
                pass  # the loop is closed, and with it whoever waited

        with self._lock:
            is_done = self._done.is_set()
            if not is_done:
                self._waiters.append(wake)
        if is_done:
            tell()
        return future.__await__()

    def _set_whole(self, results, why):
        if results is None:
            self._finish(None, why if isinstance(why, BaseException) else _errors.Broken(why))
            return
        for index, result in enumerate(results):
            if type(result) is _Raised:
                self._finish(None, _errors.unpacked(result, index))
                return
        self._finish(results, None)

    def _finish(self, value, error) -> bool:
        with self._lock:
            if self._done.is_set():
                return False
            self._value, self._error = value, error
            self._done.set()
            waiters, self._waiters = self._waiters, []
        for wake in waiters:
            wake()
        callback = self._callback if error is None else self._error_callback
        if callback is not None:
            try:
                callback(value if error is None else error)
            except Exception:  # noqa: BLE001 - it must not end the thread that tells results
                sys.excepthook(*sys.exc_info())
        return True


class SingleResult(Single, AsyncResult):
    """What a call of one item will come to."""

    def __init__(self, callback, error_callback, pool):
        super().__init__(callback, error_callback)
        self._pool = pool

    def wait(self, timeout=None) -> None:
        """Waits until it has come, so many seconds at most."""
        if not self.ready() and not self._await(self._pool(), timeout):
            super().wait(timeout)

    def cancel(self) -> bool:
        """Gives the result up if it has not come; whether it did. The work itself may be done all the same."""
        is_cancelled = super().cancel()
        pool = self._pool()
        if is_cancelled and pool is not None:
            pool._engine.look_again()
        return is_cancelled

    def done(self) -> bool:
        """Whether it has come, as futures call it."""
        return self._done.is_set()

    def _came(self, result):
        known, self._known = self._known, None
        kind = type(result)
        if kind is _Raised:
            self._finish(None, _errors.unpacked(result, 0))
        elif kind is _errors.Gone:
            self._finish(None, result.error)
        else:
            self._finish(result, None)
        return known
