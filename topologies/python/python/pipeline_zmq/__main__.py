"""The command ``pipeline``, and ``python -m pipeline_zmq``."""

from __future__ import annotations

import signal
import sys

from . import _native


def main() -> None:
    """Does what the command line says, and leaves with its exit code."""
    # How the command itself hears Ctrl-C is its own affair.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    host = [sys.executable, "-m", "pipeline_zmq"]
    code = _native.command_line(sys.argv[1:], host)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass
    import os

    os._exit(code)


if __name__ == "__main__":
    main()
