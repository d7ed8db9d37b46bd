"""What runs in the process of a pool's worker.

Owns loading functions and the loops that call them: a loop in Python calls a function in Python faster than
anything outside can. The sockets, the groups of units and what becomes of results are the compiled part's.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback

from . import _errors, _native

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


_LOOPS = {ONE: _one, STAR: _star, CALL: _call}

pack = _errors.pack


class _Missing:
    """In place of a function that can't be loaded: each of its units says why."""

    def __init__(self, error):
        self.error = error

    def __call__(self, *_args, **_kwargs):
        raise self.error


def set_up(code: bytes) -> int:
    """Makes this process what its pool's workers are; how often a unit is tried again."""
    try:
        return _set_up(code)
    except BaseException:
        folder = os.environ.get("PIPELINE_PYTHON_FOLDER")
        if folder:
            # For whoever started it, who can't read what is logged.
            with open(os.path.join(folder, f"unfit-{os.getpid()}"), "w", encoding="utf-8") as file:
                traceback.print_exc(file=file)
        raise


def _set_up(code):
    setup = pickle.loads(code)
    theirs, ours = tuple(setup["python"]), sys.version_info[:2]
    if theirs != ours:
        raise RuntimeError(
            "functions and values that are pickled need the same Python on both sides:"
            f" the pool runs {theirs[0]}.{theirs[1]}, this worker {ours[0]}.{ours[1]} ({sys.executable})"
        )
    if setup["ship"]:
        from . import _pickling

        for name in setup["ship"]:
            _pickling.ship(sys.modules.get(name) or name)
    if setup["init"] is not None:
        function, args = pickle.loads(setup["init"])
        function(*args)
    return setup["retries"]


def define(code: bytes):
    """The loop and the function of units that name this code."""
    manner, function = pickle.loads(code)
    try:
        loaded = pickle.loads(function)
    except BaseException as error:  # noqa: BLE001 - whatever an import of it raises
        return _LOOPS[ONE], _Missing(_unloaded(error))
    return _LOOPS[manner], loaded


def _unloaded(error):
    told = RuntimeError(f"the function can't be loaded in a worker: {type(error).__name__}: {error}")
    told.__cause__ = error
    return told


def _quiet_signals() -> None:
    """Who looks after this process hears Ctrl-C, and decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def main() -> None:
    """Runs a worker of a pool, whose flags are in ``sys.argv``; does not return."""
    arguments, sys.argv[:] = sys.argv[1:], [os.environ.pop("PIPELINE_PYTHON_ARGV0", "")]
    _quiet_signals()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    leave(_native.work(arguments, sys.modules[__name__]))


def leave(code: int) -> None:
    """Ends this process as Python does, but for threads of functions that nobody waits for."""
    import atexit

    try:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)
