"""What runs in the process of a pool's worker.

Owns loading functions and the loops that call them: a loop in Python calls a function in Python faster than
anything outside can. The sockets, the groups of units and what becomes of results are the compiled part's.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import signal
import sys
import threading
import traceback

from . import _errors, _native, _pickling

# How an item is given to its function.
ONE, STAR, CALL = "one", "star", "call"


def _one(function, items, append):
    for item in items:
        append(function(item))


def _star(function, items, append):
    for item in items:
        append(function(*item))


def _call(function, items, append):
    for args, kwargs in items:
        append(function(*args, **kwargs))


def _single_one(function, item):
    return function(item)


def _single_star(function, item):
    return function(*item)


def _single_call(function, item):
    args, kwargs = item
    return function(*args, **kwargs)


# For many items in a row, and for one.
_WAYS = {ONE: (_one, _single_one), STAR: (_star, _single_star), CALL: (_call, _single_call)}

pack = _errors.pack


class _Missing:
    """In place of a function that can't be loaded: each of its units says why."""

    def __init__(self, error):
        self.error = error

    def __call__(self, *_args, **_kwargs):
        raise self.error


def set_up(code: bytes):
    """Makes this process what its pool's workers are.

    Tells how often a unit is tried again, after how many units a worker leaves, and how many seconds a unit
    may take.
    """
    folder = os.environ.get("PIPELINE_PYTHON_FOLDER")
    try:
        with _loading:
            told = _set_up(code)
    except BaseException:
        if folder:
            # For whoever started it, who can't read what is logged.
            with open(os.path.join(folder, f"unfit-{os.getpid()}"), "w", encoding="utf-8") as file:
                traceback.print_exc(file=file)
        raise
    if folder:
        # Whatever ends this process from now on, it was able to work.
        open(os.path.join(folder, f"fit-{os.getpid()}"), "w").close()
    return told


def _set_up(code):
    setup = pickle.loads(code)
    theirs, ours = tuple(setup["python"]), sys.version_info[:2]
    if theirs != ours:
        raise RuntimeError(
            "functions and values that are pickled need the same Python on both sides:"
            f" the pool runs {theirs[0]}.{theirs[1]}, this worker {ours[0]}.{ours[1]} ({sys.executable})"
        )
    if setup["ship"]:
        for name in setup["ship"]:
            _pickling.ship_if_there(name)
    if setup.get("authkey") is not None:
        import multiprocessing.process

        multiprocessing.process.current_process().authkey = setup["authkey"]
    if setup["init"] is not None:
        function, args = _pickling.load(setup["init"])
        function(*args)
    global _timeout, _open_max
    _timeout, _open_max = setup["timeout"], setup["concurrency"]
    if _timeout is not None and _open_max == 1:
        signal.signal(_INTERRUPT, _interrupted)
    return setup["retries"], setup["max_units"], _timeout, setup["codec"] == "plain"


def define(code: bytes):
    """The loop and the function of units that name this code."""
    manner, function = pickle.loads(code)
    try:
        with _loading:
            loaded = _pickling.load(function)
    except BaseException as error:  # noqa: BLE001 - whatever an import of it raises
        loaded = _Missing(_unloaded(error))
    return *_WAYS[manner], called(loaded)


def called(function):
    """The function as its loop calls it: one that is ``async`` is waited for, if nothing else is open."""
    if _open_max > 1 or not is_async(function):
        return function
    loop = _event_loop()

    def waited(*args, **kwargs):
        return loop.run_until_complete(function(*args, **kwargs))

    return waited


def is_async(function) -> bool:
    """Whether calling it gives something to await."""
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None) or getattr(
        getattr(type(function), "__call__", None), "__code__", None
    )
    return code is not None and bool(code.co_flags & 0x80)


def _event_loop():
    global _loop
    if _loop is None:
        import asyncio

        _loop = asyncio.new_event_loop()
        asyncio.set_event_loop(_loop)
    return _loop


# Two threads that import what imports each other may see half of it, so only one does it here at a time.
_loading = threading.RLock()
_loop = None
_open_max = 1
_words = None


def stage(*, stage, args, concurrency, source=None, path=None, call=None):
    """The loop and the function of a topology's stage."""
    from . import _stage

    global _open_max
    _open_max = concurrency
    _mark_words()
    function = _stage.load(
        source=source, path=path, call=call, args=args, stage=stage, concurrency=concurrency
    )
    return *_WAYS[ONE], called(function)


def _mark_words():
    """What the function prints goes to stderr, each line with its unit."""
    global _words
    if _words is not None:
        return
    from . import _unit

    def name():
        unit = _unit.unit()
        return unit.name if unit else ""

    launched = os.environ.get("PIPELINE_MARKS") == str(os.getppid())
    _words = shared()["Words"](name, shared()["marked" if launched else "by_hand"])


def plain(value):
    """The form of a value in a topology, where other languages and JSON read it."""
    return shared()["plain"](value)


@functools.cache
def shared():
    """What workers without this package run as well: the forms of values, how source is run, what it prints."""
    space = {"__name__": "pipeline_zmq._shared"}
    exec(compile(_native.shared_source(), "<pipeline_zmq shared>", "exec"), space)  # noqa: S102 - our own
    return space


def story(error) -> str:
    """An exception with its traceback, as text, without the frames of this package."""
    told = _errors.told(error)
    if _words is None:
        return told
    return shared()["with_words"](told, _words.end(_words.unit_of()))


def serve(units) -> None:
    """Has many units open at once, on this thread's event loop and in threads."""
    with _loading:
        from ._open import serve

    serve(units)


_timeout = None
_doomed = None


def interrupt(seconds: float) -> None:
    """Has the main thread raise ``TimeoutError`` in the unit that it is at."""
    global _doomed
    current = _native.current_unit()
    if current is None:
        return
    _doomed = (current, seconds)
    signal.pthread_kill(threading.main_thread().ident, _INTERRUPT)


def _interrupted(_signal, _frame):
    global _doomed
    doomed, _doomed = _doomed, None
    # It may have ended in this moment.
    if doomed is not None and doomed[0] == _native.current_unit():
        raise TimeoutError(f"the function took longer than {doomed[1]:g} s")


_INTERRUPT = signal.SIGRTMAX - 3


def _unloaded(error):
    told = RuntimeError(f"the function can't be loaded in a worker: {type(error).__name__}: {error}")
    told.__cause__ = error
    return told


def _quiet_signals() -> None:
    """Who looks after this process hears Ctrl-C, and decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def default_signals():
    """Ctrl-C is the worker's own affair meanwhile."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)


def main() -> None:
    """Runs a worker of a pool, whose flags are in ``sys.argv``; does not return."""
    arguments, sys.argv[:] = sys.argv[1:], [os.environ.pop("PIPELINE_PYTHON_ARGV0", "")]
    _quiet_signals()
    _use_shelves(os.environ.pop("PIPELINE_PYTHON_SHELVES", ""))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    leave(_native.work(arguments, sys.modules[__name__], []))


def _use_shelves(told: str) -> None:
    """Takes the memory over that the pool shares with this process."""
    if not told:
        return
    items, results, number = told.split(",")
    descriptors = [int(shelf) if shelf else None for shelf in (items, results)]
    _native.use_shelves(*descriptors, int(number))
    for descriptor in descriptors:
        if descriptor is not None:
            os.close(descriptor)


def leave(code: int) -> None:
    """Ends this process as Python does, but for threads of functions that nobody waits for."""
    import atexit

    try:
        atexit._run_exitfuncs()
        if _words is not None:
            _words.end()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)
