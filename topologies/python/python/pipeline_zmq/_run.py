"""``pipeline up`` from a program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from . import _errors

# Every unit came out, or some are dead-lettered.
_DONE = (0, 1)


def run(topology, *, interpreter=None, env=None, **settings):
    """Runs a topology to its end.

    Args:
        topology: The file.
        interpreter: The Python that runs this package; this one unless given.
        env: Environment variables beside those of this process.
        settings: Changes to the file, as ``--set`` takes them: ``source={"to": 10}`` is ``source.to=10``.

    Returns:
        None if the topology has an output or aggregates; else an iterator over its results, as they are written.

    Raises:
        Broken: The run did not come to its end; with what was said about it.
    """
    command = [interpreter or sys.executable, "-m", "pipeline_zmq", "up", os.fspath(topology)]
    for name, value in _flat("", settings):
        command += ["--set", f"{name}={_toml(value)}"]
    environment = {**os.environ, **(env or {})}
    if _has_output(topology, settings):
        ended = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False)
        if ended.returncode not in _DONE:
            raise _errors.Broken(f"the run ended with exit code {ended.returncode}")
        return None
    command += ["--set", 'sink.output="-"', "--quiet"]
    return _results(command, environment)


def _results(command, environment):
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        for line in process.stdout:
            yield json.loads(line)
    finally:
        if process.poll() is None and sys.exc_info()[0] is not None:
            process.send_signal(signal.SIGTERM)
        process.stdout.close()
        code = process.wait()
    if code not in _DONE:
        raise _errors.Broken(f"the run ended with exit code {code}")


def _has_output(topology, settings):
    if "output" in settings.get("sink", {}) or "aggregate" in settings.get("sink", {}):
        return True
    try:
        import tomllib
    except ImportError:  # before Python 3.11
        with open(topology, encoding="utf-8") as file:
            lines = [line.strip() for line in file]
        return any(line.startswith(("output", "aggregate")) for line in lines)
    with open(topology, "rb") as file:
        sink = tomllib.load(file).get("sink", {})
    return "output" in sink or "aggregate" in sink


def _flat(prefix, settings):
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield prefix + name, value


def _toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    # A text of JSON is one of TOML.
    return json.dumps(value)
