"""Which unit the function works on, to guard side effects."""

from __future__ import annotations

import contextvars
from typing import NamedTuple

from . import _native


class Unit(NamedTuple):
    """A unit of work, and which try it is.

    A result is there exactly once; side effects can happen more often, when a worker dies or is slow. The
    name is the same in every attempt.
    """

    id: int
    """Its place in the source, from 0."""
    name: str
    """The id, and the place in each expansion behind a dot, as in ``17.3``."""
    attempt: int
    """Which try, from 1."""
    stage: str
    """The stage."""


# Set where many units are open at once.
_current: contextvars.ContextVar = contextvars.ContextVar("pipeline_zmq_unit")


def unit() -> Unit | None:
    """The unit that this function was called for; None outside of a worker."""
    told = _current.get(None) or _native.current_unit()
    return None if told is None else Unit(*told)
