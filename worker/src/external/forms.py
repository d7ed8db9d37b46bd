"""What stands for values that JSON does not hold.

Owns the table of such values, which the reference documents; imports none of the modules that they come
from, since a value of a class is there only when its module is. `form` is one step, for
`json.dumps(default=form)`, which asks for nothing that JSON holds; `plain` goes all the way, and names the
place of what has no form.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Deeper than any value that travels; what holds itself ends there.
DEPTH_MAX = 127
# Classes that are remembered; a program can make any number of them.
KINDS_MAX = 1000
INT_MIN, INT_MAX = -(1 << 63), (1 << 64) - 1
# A step of a path that is not written: a value that was given a simpler form.
FORMED = object()


class NoForm(TypeError):
    """A value has no form; says what it is."""


def form(value: Any) -> Any:
    """A simpler value that stands for this one, which JSON does not hold."""
    kind = type(value)
    make = _KINDS.get(kind)
    if make is None:
        make = _way(value, kind)
        if len(_KINDS) >= KINDS_MAX:
            _KINDS.clear()
        _KINDS[kind] = make
    return make(value)


def plain(value: Any, name: str = "result") -> Any:
    """The value with nothing in it but None, bool, int, float, str, list, and dict with keys of str.

    What has no form raises TypeError or ValueError with its type and its place, as in `result['a'][3]`.
    """
    return _plain(value, name, [])


def _way(value: Any, kind: type) -> Callable[[Any], Any]:
    """How a value of this class is made simpler."""
    for module, name, make in _LIBRARY:
        known = getattr(sys.modules.get(module), name, None)
        if known is not None and isinstance(value, known):
            return make
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _base64
    if isinstance(value, (set, frozenset)):
        return _ordered
    if isinstance(value, tuple):
        return list
    if hasattr(kind, "__dataclass_fields__"):
        return _fields
    if hasattr(kind, "tolist"):
        return _listed
    return _refused


def _base64(value: Any) -> str:
    import binascii

    return binascii.b2a_base64(bytes(value), newline=False).decode()


def _ordered(value: Any) -> list[Any]:
    """In the same order in every process, which a set itself is not."""
    try:
        return sorted(value)
    except TypeError:
        return sorted(value, key=lambda item: (type(item).__name__, repr(item)))


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in sys.modules["dataclasses"].fields(value)}


def _listed(value: Any) -> Any:
    """Arrays become lists, scalars of numpy numbers."""
    simpler = value.tolist()
    return _refused(value) if type(simpler) is type(value) else simpler


def _refused(value: Any) -> Any:
    raise NoForm(f"{_named(value)}, which has no form in JSON; return numbers, text, lists or dicts made from it")


def _isoformat(value: Any) -> Any:
    return value.isoformat()


_KINDS: dict[type, Callable[[Any], Any]] = {}
_LIBRARY: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    # Before the others, for a member may be one of them too.
    ("enum", "Enum", lambda value: value.value),
    ("datetime", "date", _isoformat),
    ("datetime", "time", _isoformat),
    ("datetime", "timedelta", lambda value: value.total_seconds()),
    ("pathlib", "PurePath", str),
    ("decimal", "Decimal", str),
    ("uuid", "UUID", str),
)


def _plain(value: Any, name: str, path: list[Any]) -> Any:
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return _text(value, name, path)
    if isinstance(value, int):
        return _whole(value, name, path)
    if isinstance(value, float):
        return _real(value, name, path)
    if len(path) >= DEPTH_MAX:
        raise ValueError(f"`{name}` is nested deeper than {DEPTH_MAX} levels, or holds itself")
    if isinstance(value, (list, tuple)):
        return [_within(item, index, name, path) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {_key(key, name, path): _within(item, key, name, path) for key, item in value.items()}
    try:
        simpler = form(value)
    except NoForm as error:
        raise TypeError(f"{_place(name, path)} is {error}") from None
    except Exception as error:
        raise TypeError(f"{_place(name, path)} is {_named(value)} that cannot be converted: {error!r}") from error
    return _within(simpler, FORMED, name, path)


def _within(item: Any, step: Any, name: str, path: list[Any]) -> Any:
    path.append(step)
    result = _plain(item, name, path)
    path.pop()
    return result


def _text(value: str, name: str, path: list[Any]) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{_place(name, path)} is text with a lone surrogate, which UTF-8 does not have") from None
    return str.__str__(value)


def _whole(value: int, name: str, path: list[Any]) -> int:
    if INT_MIN <= value <= INT_MAX:
        return int.__int__(value)
    bits = value.bit_length()
    shown = int.__repr__(value) if bits <= 200 else f"a number of {bits} bits"
    raise ValueError(f"{_place(name, path)} is {_named(value)}, and {shown} does not fit 64 bits; return it as text")


def _real(value: float, name: str, path: list[Any]) -> float:
    if value - value == 0:
        return float.__float__(value)
    shown = float.__repr__(value)
    raise ValueError(f"{_place(name, path)} is {shown} ({_named(value)}), which JSON does not have; return None for it")


def _key(key: Any, name: str, path: list[Any]) -> str:
    if isinstance(key, str):
        return _text(key, name, [*path, key])
    if key is None:
        return "null"
    if key is True or key is False:
        return "true" if key else "false"
    if isinstance(key, int):
        return int.__repr__(key)
    if isinstance(key, float) and key - key == 0:
        return float.__repr__(key)
    raise TypeError(f"a key of {_place(name, path)} is {_named(key)}, {key!r:.60}, and JSON has text only; make it a str")


def _place(name: str, path: list[Any]) -> str:
    return name + "".join(f"[{step!r:.60}]" for step in path if step is not FORMED)


def _named(value: Any) -> str:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
