"""What a pool and a service raise, and the way of an exception from a worker to its caller.

An exception comes as what it is, if it came through a pickle and back in the worker; else as a
:class:`UnitError` that says its type. Its ``__cause__`` shows the traceback of the worker.
"""

from __future__ import annotations

_OURS = __name__.rpartition(".")[0] + "._"

__all__ = ["Broken", "Crashed", "Expired", "Full", "NoService", "NoWorkers", "RemoteTraceback", "UnitError"]


class UnitError(RuntimeError):
    """A unit that failed for good.

    Attributes:
        unit: Its place among the items of its call, from 0; of a service its number there; or None.
        stage: The stage of the service that it failed in, counted from 0; or None.
        attempts: How often it was tried.
        input: What its function was given, if that is known.
        type_name: The name of the exception's type, as in ``ValueError``.
        traceback: The traceback in the worker, as text.
    """

    unit = None
    stage = None
    attempts = 1
    input = None
    type_name = None
    traceback = None

    def __reduce__(self):
        return (type(self), self.args, self.__dict__)


class Crashed(UnitError):
    """Workers died by this unit alone, ``crash_limit`` times; the rest of the pool goes on."""


class Broken(RuntimeError):
    """The pool itself can't go on; nothing follows."""


class NoService(ConnectionError):
    """There is no such service, or it takes no units now, or the connection to it was closed."""


class NoWorkers(RuntimeError):
    """A stage of the service has no worker; ``wait_for_workers=True`` submits all the same."""


class Full(RuntimeError):
    """The service's queue is full, and room was not to be waited for."""


class Expired(LookupError):
    """The outcome is not to be had any more: it was fetched, nobody did in time, or the run is another one."""


class Gone:
    """In place of a result that won't come."""

    __slots__ = ("error",)

    def __init__(self, why):
        self.error = Broken(why)


class RemoteTraceback(Exception):
    """Shows the traceback of another process, as the cause of an exception."""

    def __init__(self, text):
        super().__init__(text)
        self.text = text

    def __str__(self):
        return self.text

    def __reduce__(self):
        return (RemoteTraceback, (self.text,))


def pack(error: BaseException, attempt: int) -> bytes:
    """What a function raised, as bytes."""
    import pickle

    text = told(error)
    name = type(error).__qualname__
    if type(error).__module__ not in ("builtins", "__main__"):
        name = f"{type(error).__module__}.{name}"
    return pickle.dumps((_travelling(error), name, _text(error), text, attempt), 5)


def told(error: BaseException) -> str:
    """An exception with its traceback, as text."""
    frames = error.__traceback__
    # The loop that calls the function says nothing about it.
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        frames = frames.tb_next
    import traceback

    text = "".join(traceback.format_exception(type(error), error, frames))
    # Half a character has no form outside of Python.
    return text.encode("utf-8", "replace").decode()


def _text(error):
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a __str__ of somebody else
        return "(its text can't be had)"


def _travelling(error):
    """The exception as a pickle, if it comes back as what it was."""
    import pickle

    from . import _pickling

    try:
        data = _pickling.dump_whole(error)
        again = pickle.loads(data)
    except BaseException:  # noqa: BLE001 - then it goes as text
        return None
    return data if type(again) is type(error) else None


def unpacked(raised, index) -> BaseException:
    """The exception to raise for what stands in a result's place."""
    if raised.pickle is None:
        return _dead(raised.problem or "", raised.attempts, index)
    import pickle

    data, name, told, text, attempts = pickle.loads(raised.pickle)
    error = None
    if data is not None:
        try:
            error = pickle.loads(data)
        except Exception:  # noqa: BLE001 - its class is not here
            error = None
    if error is None or isinstance(error, StopIteration):
        # The latter would end a loop over results without a word.
        error = UnitError(f"{name}: {told}" if told else name)
    if isinstance(error, UnitError):
        error.unit, error.attempts = index, attempts
        error.type_name, error.traceback = name, text
    error.__cause__ = RemoteTraceback(f'\n"""\n{text}"""')
    return error


def _dead(problem, attempts, index):
    crashed = problem.endswith("workers died while executing it")
    error = (Crashed if crashed else UnitError)(problem)
    error.unit, error.attempts = index, attempts
    return error


def dead_unit(unit, stage, input, problem, attempts) -> BaseException:
    """The exception to raise for a unit of a service that failed for good."""
    problem = problem.rstrip()
    crashed = problem.endswith("workers died while executing it")
    # Of a traceback the last line says what was raised.
    is_traceback = problem.startswith("Traceback (most recent call last)")
    told = _raised_line(problem) if is_traceback else problem
    error = (Crashed if crashed else UnitError)(told)
    error.unit, error.stage, error.input, error.attempts = unit, stage, input, attempts
    if is_traceback:
        error.type_name, error.traceback = told.partition(":")[0], problem
        error.__cause__ = RemoteTraceback(f'\n"""\n{problem}\n"""')
    return error


def _raised_line(text):
    """From the line that names the exception on: that behind the frames of the last traceback."""
    lines = text.rpartition("Traceback (most recent call last):\n")[2].splitlines()
    named = next((index for index, line in enumerate(lines) if not line.startswith(" ")), 0)
    return "\n".join(lines[named:])
