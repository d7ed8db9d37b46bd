"""A worker for a pool or a topology, by hand: ``python -m pipeline_zmq.worker --ventilator ENDPOINT``.

The same flags as ``worker``, and the function as ``module:function`` where the stage does not say it.
"""

from __future__ import annotations

import os
import sys

from . import _native, _worker


def main(arguments=None) -> None:
    """Runs a worker with these flags; does not return."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with _worker.default_signals():
        code = _native.work(arguments, _worker, [sys.executable, "-m", "pipeline_zmq.worker"])
    _worker.leave(code)


if __name__ == "__main__":
    main()
