"""Reliable parallel work: a pool that survives its workers, workers on other machines, topologies.

>>> import pipeline_zmq as pl
>>> pl.map(abs, [-1, 2, -3], workers=2)
[1, 2, 3]
"""

from __future__ import annotations

from ._errors import Broken, Crashed, Expired, Full, NoService, NoWorkers, UnitError
from ._maps import imap, imap_unordered, map  # noqa: A004 - as the built-in one, on many processors

__all__ = [
    "AsyncResult",
    "Broken",
    "Crashed",
    "Executor",
    "Expired",
    "Full",
    "NoService",
    "NoWorkers",
    "Pool",
    "Service",
    "Ticket",
    "UnitError",
    "connect",
    "imap",
    "imap_unordered",
    "map",
    "run",
    "unit",
    "work",
    "worker",
]

_LATER = {
    "AsyncResult": "_result",
    "Executor": "_executor",
    "Pool": "_pool",
    "Service": "_service",
    "Ticket": "_native",
    "connect": "_service",
    "run": "_run",
    "unit": "_unit",
    "work": "_stage",
    "worker": "_stage",
}


def __getattr__(name):
    # An import of this package costs what is used of it.
    if name in _LATER:
        import importlib

        value = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(set(globals()) | set(__all__))
