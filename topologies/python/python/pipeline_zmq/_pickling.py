"""How objects and functions travel that MessagePack has no form for.

Owns the choice between the standard pickle and cloudpickle: by name what the other side can import, by
value what it can't: lambdas, closures, and whatever ``__main__`` or a notebook defines, since no worker runs
``__main__`` again.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
import types
from collections import ChainMap

PROTOCOL = 5
# An object with less in its buffers is copied with its pickle, which is cheaper.
BUFFER_BYTES_MIN = 4096


def load(data, buffers=None):
    """The object that was dumped."""
    try:
        return pickle.loads(data, buffers=buffers)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "cloudpickle":
            raise
        raise ModuleNotFoundError(
            "what came by value (what __main__ defines, lambdas, closures) needs the package cloudpickle here"
            f" too: {sys.executable} -m pip install cloudpickle",
            name=error.name,
        ) from None


def _cloudpickle():
    try:
        import cloudpickle
    except ImportError:
        raise pickle.PicklingError(
            "what __main__ defines, lambdas and closures need the package cloudpickle"
            f" to travel: {sys.executable} -m pip install cloudpickle"
        ) from None
    return cloudpickle


def by_value(obj) -> bytes:
    """A pickle that holds what ``__main__`` and ``ship`` define, instead of names for it."""
    file = io.BytesIO()
    _by_value()(file, PROTOCOL).dump(obj)
    return file.getvalue()


@functools.cache
def _by_value():
    """cloudpickle's pickler; tracebacks and warnings of what it has sent name the file that it is from."""
    base = _cloudpickle().Pickler
    reduce = base.dispatch_table[types.CodeType]

    def code(obj):
        make, args, *rest = reduce(obj)
        # Newer versions leave the file out.
        args = tuple(obj.co_filename if type(a) is str and a == "<dynamic-code>" else a for a in args)
        return (make, args, *rest)

    class Pickler(base):
        dispatch_table = ChainMap({types.CodeType: code}, base.dispatch_table)

    return Pickler


def dump(obj, shelf=None):
    """A pickle as bytes; or with large buffers beside it.

    These are a tuple of bytes, or a list of their lengths and the place where they lie, if there is a shelf with
    room for them.
    """
    try:
        data, buffers = _dumped(pickle.Pickler, obj)
    except Exception as problem:  # noqa: BLE001 - whatever a __reduce__ raises
        # Outside of this block its traceback is gone, and with it what its frames hold.
        data, buffers, told = None, (), _Told(problem)
    else:
        told = None
    # Names of __main__ mean something else in another process.
    if data is None or _shipped or b"__main__" in data:
        try:
            data, buffers = _dumped(_by_value(), obj)
        except (pickle.PicklingError, TypeError, AttributeError) as problem:
            raise _explained(obj, told or _Told(problem)) from problem
        # Whatever else is raised is the object's own, and says more as it is.
    if not buffers:
        return data
    place = None if shelf is None else _laid(buffers, shelf)
    if place is None:
        return data, tuple(bytes(view) for view in buffers)
    return data, [view.nbytes for view in buffers], place


def _laid(buffers, shelf):
    """The place on the shelf where the buffers lie now; None if they don't."""
    room = shelf.take(sum(view.nbytes for view in buffers))
    if room is None:
        return None
    memory, offset, place = room
    try:
        for view in buffers:
            memory[offset : offset + view.nbytes] = view
            offset += view.nbytes
    except BaseException:
        shelf.free(place)
        raise
    return place


def _dumped(pickler, obj):
    buffers: list = []
    file = io.BytesIO()
    pickler(file, PROTOCOL, buffer_callback=lambda buffer: _keep(buffers, buffer)).dump(obj)
    return file.getvalue(), buffers


class _Told:
    """What an exception said, without its frames."""

    def __init__(self, problem):
        self.kind, self.text = type(problem), str(problem)


def _keep(buffers, buffer):
    """Whether a buffer stays in the pickle."""
    view = buffer.raw()
    if view.nbytes < BUFFER_BYTES_MIN:
        return True
    buffers.append(view)
    return False


_shipped: set = set()


def ship(module) -> None:
    """Whatever this module defines travels by value from now on."""
    if isinstance(module, str):
        import importlib

        module = importlib.import_module(module)
    _cloudpickle().register_pickle_by_value(module)
    _shipped.add(module.__name__)


def ship_if_there(name) -> None:
    """The same in a worker, which may have this module or not."""
    try:
        ship(name)
    except ImportError:
        # What it defines has come by value, and leaves so.
        _shipped.add(name)


def dump_whole(obj) -> bytes:
    """An object as one pickle, buffers and all: a function for another process, or an exception."""
    data = dump(obj)
    if isinstance(data, bytes):
        return data
    # It holds arrays; it is not sent by the million, so nobody minds.
    return by_value(obj)


def _explained(obj, problem) -> Exception:
    path, culprit = _culprit(obj, "value", 0)
    told = f"{path} is a {type(culprit).__qualname__}, which can't be pickled: {problem.text}"
    kind = (
        problem.kind if issubclass(problem.kind, (pickle.PicklingError, TypeError)) else pickle.PicklingError
    )
    return kind(told)


def _culprit(obj, path, depth):
    """The innermost object that can't be pickled, and the way to it."""
    items = ()
    if isinstance(obj, dict):
        items = ((f"{path}[{key!r}]", value) for key, value in obj.items())
    elif isinstance(obj, (list, tuple)):
        items = ((f"{path}[{index}]", value) for index, value in enumerate(obj))
    elif hasattr(obj, "__dict__") and not isinstance(obj, type):
        items = ((f"{path}.{name}", value) for name, value in vars(obj).items())
    if depth < 8:
        for inner, value in items:
            try:
                pickle.dumps(value, PROTOCOL)
            except Exception:  # noqa: BLE001 - which one it is does not matter here
                return _culprit(value, inner, depth + 1)
    return path, obj
