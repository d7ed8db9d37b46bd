"""The command ``pipeline``, and ``python -m pipeline_zmq``."""

from __future__ import annotations

import os
import signal
import sys
import threading

from . import _native


def _end_with_caller() -> None:
    """Ends this run as SIGTERM does once the program that called ``run`` is gone."""
    lifeline = os.environ.pop("PIPELINE_PYTHON_LIFELINE", None)
    if lifeline is None:
        return
    os.set_inheritable(int(lifeline), False)

    def watch():
        os.read(int(lifeline), 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="pipeline-caller", daemon=True).start()


def main() -> None:
    """Does what the command line says, and leaves with its exit code."""
    _end_with_caller()
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
    os._exit(code)


if __name__ == "__main__":
    main()
