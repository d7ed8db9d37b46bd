"""The pool: workers that call functions, and what a caller sees of them.

Owns the interface of ``multiprocessing.Pool`` without a chunk size, and the calls that are under way.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import pickle
import sys
import threading
import weakref
from collections import OrderedDict, deque

from . import _errors, _native, _pickling
from ._options import seconds, whole
from ._result import AsyncResult, SingleResult
from ._single import refuse_in_fork
from ._worker import CALL, ONE, STAR

# Functions that nobody uses just now, and that workers keep all the same.
_IDLE_FUNCTIONS_MAX = 64

_pools: weakref.WeakSet = weakref.WeakSet()


def _stop_all() -> None:
    threading.excepthook = functools.partial(_quiet_if_left_behind, threading.excepthook)
    for pool in list(_pools):
        pool.terminate()


def _quiet_if_left_behind(hook, told) -> None:
    """Says nothing of daemon threads that only find their pool gone, now that the program ends."""
    frames = told.exc_traceback
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    is_ours = frames is not None and frames.tb_frame.f_globals.get("__package__") == __package__
    is_told = issubclass(told.exc_type, _errors.Broken)
    if not (told.thread is not None and told.thread.daemon and (is_ours or is_told)):
        hook(told)


atexit.register(_stop_all)


def cores() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0)) or 1
    except AttributeError:
        return os.cpu_count() or 1


class _Function:
    """A function that workers know, and how many calls use it.

    Nobody keeps it alive but its calls, and what they hold of it.
    """

    __slots__ = ("code", "function", "key", "pool", "there", "users")

    def __init__(self, pool, key, function, code, dead):
        self.pool = weakref.ref(pool)
        self.key, self.code, self.users = key, code, 0
        self.function = function
        try:
            self.there = weakref.ref(function, lambda _: dead.append(key))
        except TypeError:
            self.there = None

    def is_of(self, function):
        return function is (self.function if self.there is None else self.there())

    def let_go(self, users):
        """So many calls don't use it any more."""
        pool = self.pool()
        if pool is not None:
            pool._release(self, users)


class _Use:
    """As long as this is there workers keep the function."""

    __slots__ = ("_function",)

    def __init__(self, function):
        self._function = function

    def __del__(self):
        # Ctrl-C can come before it has one.
        function = getattr(self, "_function", None)
        if function is not None:
            function.let_go(1)


class Pool:
    """Workers that call functions, as processes of this machine or of others.

    Like ``multiprocessing.Pool``, and: nothing to tune, a worker that is killed costs nothing but time, and
    inputs are read only as far as they are needed.

    >>> with Pool(2) as pool:
    ...     pool.map(abs, [-1, 2, -3])
    [1, 2, 3]

    Args:
        workers: How many processes on this machine; as many as there are processors unless given. 0 only
            with ``bind``.
        bind: ``"tcp://*:5557"``: workers on other machines find the pool there, and its sink at the next
            port. They are started with ``python -m pipeline_zmq.worker --ventilator tcp://HOST:5557``.
        key: The key file that both sides must have, beside ``bind``; the user's own unless given.
        init: Called in each worker before its first item, with ``initargs``. If it raises, the pool is broken.
        retries: How often an item is tried again whose function raised.
        backoff: Seconds before that, doubled each time.
        crash_limit: How many workers may die by one item alone before it is given up with :class:`Crashed`.
        ship: Modules that travel by value, because workers can't import them.
        env: Environment variables of the workers on this machine.
        window: How many items of a call may be read beyond those whose results were taken.
        timeout: Seconds that one item may take; longer ones raise ``TimeoutError``. With ``concurrency`` this
            holds for coroutines.
        max_units_per_worker: A worker leaves after so many items, and another one takes its place.
        concurrency: How many items each worker has open at once: coroutines of ``async def`` functions in
            one event loop, other functions in threads.
        codec: ``"plain"``: items and results are what JSON has too, and nothing is pickled; others raise
            ``TypeError``.
        processes: Another name of ``workers``, that of ``multiprocessing``.
        progress: Whether ``tqdm`` shows how far each call is.
    """

    def __init__(
        self,
        workers=None,
        initializer=None,
        initargs=(),
        maxtasksperchild=None,
        *,
        bind=None,
        key=None,
        init=None,
        retries=0,
        backoff=0.1,
        crash_limit=3,
        timeout=None,
        max_units_per_worker=None,
        concurrency=1,
        codec="auto",
        ship=(),
        env=None,
        window=None,
        progress=False,
        processes=None,
    ):
        workers = processes if workers is None else workers
        workers = cores() if workers is None else workers
        if whole("workers", workers, least=0) == 0 and bind is None:
            raise ValueError("a pool needs at least one worker (or bind=..., where others join)")
        if codec not in ("auto", "plain"):
            raise ValueError(f"codec must be 'auto' or 'plain', not {codec!r}")
        init = init or initializer
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild < 1):
            raise ValueError("maxtasksperchild must be a positive int or None")
        whole("retries", retries, least=0)
        whole("crash_limit", crash_limit, least=1)
        whole("concurrency", concurrency, least=1)
        backoff = seconds("backoff", backoff, zero=True)
        timeout = None if timeout is None else seconds("timeout", timeout, zero=False)
        max_units = maxtasksperchild if max_units_per_worker is None else max_units_per_worker
        if max_units is not None:
            whole("max_units_per_worker", max_units, least=1)
        if window is not None:
            whole("window", window, least=1)
        if init is not None and not callable(init):
            raise TypeError("initializer must be a callable")
        self._workers = workers
        self._window = window
        self._progress = progress
        self._lock = threading.RLock()
        self._functions: OrderedDict = OrderedDict()
        # Told by the garbage collector, whenever that comes.
        self._dead: deque = deque()
        self._idle = 0
        self._pending: dict = {}
        self._wholes: dict = {}
        self._tokens = itertools.count(1)
        self._state = "running"
        self._broken = None
        self._owner = os.getpid()
        for module in ship:
            _pickling.ship(module)
        self._ship = [module if isinstance(module, str) else module.__name__ for module in ship]
        self._engine = _native.Engine(
            {
                "bind": bind,
                "key": key,
                "retries": retries,
                "backoff": backoff,
                "crash_limit": crash_limit,
                "concurrency": concurrency,
                "codec": codec,
            }
        )
        setup = {
            "python": sys.version_info[:2],
            "retries": retries,
            "ship": self._ship,
            "timeout": timeout,
            "max_units": max_units,
            "concurrency": concurrency,
            "codec": codec,
            "authkey": _authkey(),
            "init": None if init is None else _pickling.dump_whole((init, tuple(initargs))),
        }
        self._engine.define(pickle.dumps(setup, 5))
        from ._staff import Staff

        self._staff = Staff(
            self._engine,
            workers,
            folder=os.fspath(self._engine.folder),
            env=env,
            on_broken=_weakly(self._break_off),
        )
        # None of its threads holds the pool: one that is forgotten ends.
        parts = (self._engine, self._pending, self._wholes, self._lock)
        self._teller = threading.Thread(target=_tell, args=parts, name="pipeline-results", daemon=True)
        self._teller.start()
        _pools.add(self)

    # What is under way.

    def _code(self, function, manner):
        """The function as workers know it, with one more use."""
        if not callable(function):
            raise TypeError(f"{function!r} is not callable")
        key = (id(function), manner)
        refuse_in_fork(self._owner)
        with self._lock:
            self._check()
            if self._dead:
                self._forget_dead()
            known = self._functions.get(key)
            if known is None or not known.is_of(function):
                shipped = pickle.dumps((manner, _pickling.dump_whole(function)), 5)
                known = _Function(self, key, function, self._engine.define(shipped), self._dead)
                self._functions[key] = known
            elif known.users == 0:
                self._idle -= 1
                known.function = function
            known.users += 1
        return known

    def _forget_dead(self):
        """Workers forget the functions that nobody has any more."""
        while self._dead:
            known = self._functions.get(self._dead.popleft())
            if known is not None and known.users == 0 and known.there() is None:
                self._forget(known)

    def _forget(self, known):
        del self._functions[known.key]
        self._idle -= 1
        self._engine.forget(known.code)

    def _release(self, known, users):
        if os.getpid() != self._owner:
            return
        with self._lock:
            known.users -= users
            if known.users:
                return
            self._idle += 1
            self._functions.move_to_end(known.key)
            if known.there is None:
                self._forget(known)
                return
            known.function = None
            self._forget_dead()
            if self._idle > _IDLE_FUNCTIONS_MAX:
                self._forget(next(f for f in self._functions.values() if f.users == 0))

    def _check(self):
        if self._broken is not None:
            raise _errors.Broken(self._broken)
        if self._state != "running":
            raise ValueError("Pool not running")

    def _break_off(self, why):
        self._broken = self._broken or why
        self._engine.break_off(why)
        self._give_up(why)

    def _give_up(self, why):
        """Tells all who wait that nothing comes any more."""
        with self._lock:
            pending, wholes = list(self._pending.values()), list(self._wholes.values())
            self._pending.clear()
            self._wholes.clear()
        for call in pending:
            known = call._came(_errors.Gone(why))
            if known is not None:
                known.let_go(1)
        self._engine.look_again()
        for tell in wholes:
            tell(None, why)

    # The interface.

    def map(self, func, iterable, chunksize=None):
        """The results for all items, in their order. ``chunksize`` is not needed."""
        return self.map_async(func, iterable).get()

    def starmap(self, func, iterable, chunksize=None):
        """Like :meth:`map`, for items that are the function's arguments."""
        return self.starmap_async(func, iterable).get()

    def map_async(self, func, iterable, chunksize=None, callback=None, error_callback=None):
        """Like :meth:`map`, without waiting."""
        return self._whole(func, ONE, iterable, callback, error_callback)

    def starmap_async(self, func, iterable, chunksize=None, callback=None, error_callback=None):
        """Like :meth:`starmap`, without waiting."""
        return self._whole(func, STAR, iterable, callback, error_callback)

    def imap(self, func, iterable, chunksize=None):
        """An iterator over the results, in the items' order; items are read as results are taken."""
        return self._stream(func, ONE, iterable, ordered=True)

    def imap_unordered(self, func, iterable, chunksize=None):
        """Like :meth:`imap`, in the order in which results come."""
        return self._stream(func, ONE, iterable, ordered=False)

    def apply(self, func, args=(), kwds={}):  # noqa: B006 - as multiprocessing has it
        """Calls the function once, in a worker."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(self, func, args=(), kwds={}, callback=None, error_callback=None):  # noqa: B006
        """Like :meth:`apply`, without waiting."""
        result = SingleResult(callback, error_callback, weakref.ref(self))
        self._single(func, args, kwds, result)
        return result

    def _single(self, func, args, kwds, call):
        """Puts a call of one item, which is told its result, once or several times, by ``call._came``."""
        item = [list(args), kwds if type(kwds) is dict else dict(kwds)]
        refuse_in_fork(self._owner)
        with self._lock:
            known = call._known = self._code(func, CALL)
            try:
                number = call._number = self._engine.single(known.code, item)
                self._pending[number] = call
            except BaseException:
                call._known = None
                self._release(known, 1)
                raise

    def _whole(self, func, manner, iterable, callback, error_callback):
        items = _Items(iterable)
        known = self._code(func, manner)
        result = AsyncResult(callback, error_callback)
        use = _Use(known)
        token = next(self._tokens)

        def told(results, why, use=use):
            result._set_whole(results, why)

        self._wholes[token] = told
        feed = self._engine.whole(known.code, token, window=self._window)
        self._show(feed, iterable, func)
        items.go_to(feed)
        return result

    def _stream(self, func, manner, iterable, *, ordered, kept=None):
        items = _Items(iterable)
        known = self._code(func, manner)
        feed, results = self._engine.stream(known.code, ordered=ordered, window=self._window)
        results.hold((_Use(known), kept))
        self._show(feed, iterable, func)
        items.go_to(feed)
        return results

    def _show(self, feed, iterable, func):
        if self._progress:
            from . import _progress

            _progress.show(feed, iterable, func)

    def executor(self, max_pending=100_000):
        """An executor whose functions run in this pool; see :class:`Executor`."""
        from ._executor import Executor

        return Executor(pool=self, max_pending=max_pending)

    async def amap(self, func, iterable):
        """Like :meth:`map`, for ``asyncio``."""
        return await self.map_async(func, iterable)

    async def aimap(self, func, iterable, *, ordered=True):
        """Like :meth:`imap`, for ``async for``."""
        import asyncio

        results = self._stream(func, ONE, iterable, ordered=ordered)
        loop = asyncio.get_running_loop()
        try:
            while batch := await loop.run_in_executor(None, results.some):
                for result in batch:
                    if type(result) is _native.Raised:
                        raise _errors.unpacked(result, None)
                    yield result
        finally:
            results.close()

    def stats(self):
        """How many items were read, how many of them are done, and what became of the workers."""
        read, done, failed = self._engine.counts()
        return {
            "read": read,
            "done": done,
            "failed": failed,
            "workers": len(self._staff.pids()),
            "restarts": self._staff.restarts,
        }

    def workers(self):
        """The name and the process id of each worker on this machine."""
        return self._staff.pids()

    def close(self):
        """No more calls; what is under way is finished."""
        if self._state == "running" and os.getpid() == self._owner:
            self._state = "closed"
            closing = threading.Thread(target=self._finish, name="pipeline-close", daemon=True)
            closing.start()

    def _finish(self):
        engine, staff = self._engine, self._staff
        engine.finish()
        while not engine.wait_until_over(0.2):
            if self._state == "terminated":
                return
        # One that came too late to hear of the end would wait for another pool.
        staff.dismiss()

    def terminate(self):
        """Ends at once; what is under way is lost."""
        if os.getpid() != self._owner or (self._state == "terminated" and self._staff.wait(0)):
            return
        self._state = "terminated"
        self._staff.kill()
        self._engine.break_off("the pool was terminated")
        self._engine.stop()
        self._give_up("the pool was terminated")
        self._staff.wait(2)
        _pools.discard(self)

    def join(self):
        """Waits for the workers to end, after :meth:`close` or :meth:`terminate`."""
        if self._state == "running":
            raise ValueError("Pool is still running")
        self._engine.unbind()
        while not self._staff.wait(0.2):
            pass
        if self._state == "closed":
            self._engine.stop()
            self._state = "terminated"
        self._teller.join()
        _pools.discard(self)

    def __enter__(self):
        refuse_in_fork(self._owner)
        self._check()
        return self

    def __exit__(self, kind, error, frames):
        if os.getpid() != self._owner:
            return
        if kind is not None:
            self.terminate()
        elif self._state == "running":
            # What is iterated over ends with the block; nobody could take more of it.
            self._engine.end_streams()
            self.close()
            self.join()

    def __reduce__(self):
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def __repr__(self):
        return f"<pipeline_zmq.Pool {self._state}, {self._workers} workers>"

    def __del__(self):
        try:
            self.terminate()
        except Exception:  # noqa: BLE001, S110 - the interpreter may be half gone
            pass


def _tell(engine, pending, wholes, lock):
    """Tells results as they come; the body of a thread."""
    while True:
        news = engine.news()
        if news is None:
            return
        for token, what in news:
            if type(what) is list:
                used, uses = None, 0
                for number, result in enumerate(what, token):
                    call = pending.pop(number, None)
                    if call is None:
                        # Whoever put it is about to say who waits for it.
                        with lock:
                            call = pending.pop(number, None)
                    if call is None:
                        continue
                    known = call._came(result)
                    # Together, since whoever puts calls wants the same lock.
                    if known is used:
                        uses += 1
                        continue
                    if used is not None:
                        used.let_go(uses)
                    used, uses = known, 1
                if used is not None:
                    used.let_go(uses)
            else:
                tell = wholes.pop(token, None)
                if tell is not None:
                    tell(*what)
            # Not kept until the next news come.
            call = known = used = tell = result = what = None
        news = None


def _authkey():
    """By which a manager of ``multiprocessing`` knows its clients; its proxies are items now and then."""
    processes = sys.modules.get("multiprocessing.process")
    return None if processes is None else bytes(processes.current_process().authkey)


def _weakly(method):
    """Calls the method as long as its object is there."""
    there = weakref.WeakMethod(method)

    def call(*args):
        method = there()
        return None if method is None else method(*args)

    return call


def _fits(numbers):
    return not len(numbers) or all(-(1 << 63) <= n < 1 << 63 for n in (numbers[0], numbers[-1]))


class _Items:
    """What a call is about, and the thread that reads it.

    Made before anything of a call is, so that what can't be iterated over leaves nothing behind.
    """

    def __init__(self, iterable):
        self._range = iterable if type(iterable) is range and _fits(iterable) else None
        self._iterator = iter(iterable) if self._range is None else None

    def go_to(self, feed):
        threading.Thread(target=self._put, args=(feed,), name="pipeline-items", daemon=True).start()

    def _put(self, feed):
        try:
            if self._range is None:
                feed.read(self._iterator)
            else:
                feed.range(self._range.start, self._range.step, len(self._range))
        except BaseException as error:  # noqa: BLE001 - it is raised where results are taken
            feed.fail_with(error)
        else:
            feed.end()
