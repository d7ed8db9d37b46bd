"""Functions of a topology's stage: source, or what a module has; and workers from a user's own program."""

from __future__ import annotations

import functools
import importlib
import os
import sys

from . import _unit, _worker

_UNIT_NAMES = ("PIPELINE_UNIT", "PIPELINE_ATTEMPT")


def load(*, source, path, call, args, stage, concurrency):
    """The function of a stage, ready to be called."""
    os.environ["PIPELINE_STAGE"] = stage
    if call is not None:
        sys.argv[:] = [call, *args]
        if "" not in sys.path and os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        return _ready(find(call))
    shared = _worker.shared()
    sys.argv[:] = [path or shared["UNNAMED"], *args]
    space = shared["load"](source, path, _pipeline_unit)
    if concurrency == 1:
        shared["refuse_async"](space["work"])
    return _named(_ready(space["work"]), source, space, concurrency)


def find(call: str):
    """What ``package.module:function`` names."""
    name, colon, attribute = call.partition(":")
    if not colon or not name or not attribute:
        raise ValueError(f"{call!r} is not of the form module:function")
    found = importlib.import_module(name)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


def _pipeline_unit():
    """The name and the attempt of the unit that the caller is working on."""
    current = _unit.unit()
    return None if current is None else (current.name, current.attempt)


def _named(work, source, space, concurrency):
    """Sets the names of the unit before each call, if the source reads them."""
    if not any(name in source for name in _UNIT_NAMES):
        return work
    if concurrency > 1:
        raise NameError(
            f"{' and '.join(_UNIT_NAMES)} are the names of one unit, and many are open at once:"
            " call pipeline_unit(), which gives (unit, attempt)"
        )

    def named(value):
        space["PIPELINE_UNIT"], space["PIPELINE_ATTEMPT"] = _pipeline_unit()
        return work(value)

    return named


def _ready(work):
    """A function, of whatever was found: classes are made, asynchronous generators gathered."""
    if isinstance(work, type):
        made = work()
        work = made.work if hasattr(made, "work") else made
    if not callable(work):
        raise TypeError(f"{work!r} is not callable")
    code = getattr(work, "__code__", None)
    if code is not None and code.co_flags & 0x200:
        return _gathered(work)
    return work


def _gathered(work):
    @functools.wraps(work)
    async def gathered(value):
        return iter([output async for output in work(value)])

    return gathered


def worker(function):
    """Marks a function, or a class with a method ``work``, as a stage's.

    What it returns is the unit's output: None filters the unit, an iterator or a generator gives many
    outputs, an exception fails it. ``async def`` functions are open many at once, as ``concurrency`` says.

    >>> @worker
    ... def halve(number):
    ...     return None if number % 2 else number // 2
    >>> halve(4)
    2
    """
    function.__pipeline_worker__ = True
    return function


def work(fn, ventilator=None, stage=None) -> None:
    """Makes this program a worker whose function is ``fn``, until the pipeline ends.

    Args:
        fn: As for :func:`worker`.
        ventilator: Where the ventilator listens; the flags of ``worker`` in ``sys.argv`` unless given.
        stage: The stage to join; the first unless given.

    Raises:
        RuntimeError: It could not work; the reason is on stderr.
    """
    from . import _native

    arguments = list(sys.argv[1:])
    if ventilator is not None:
        arguments = ["--ventilator", ventilator]
    if stage is not None:
        arguments += ["--stage", stage]
    _worker._own = fn
    arguments.append(f"{_worker.__name__}:_own")
    words = [sys.executable, os.path.abspath(sys.argv[0])] if sys.argv and sys.argv[0] else []
    with _worker.default_signals():
        code = _native.work(arguments, _worker, words)
    if code:
        raise RuntimeError(f"the worker ended with exit code {code}")
