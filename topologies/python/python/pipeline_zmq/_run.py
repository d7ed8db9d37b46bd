"""``pipeline up`` from a program."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys

from . import _errors

# Every unit came out, or some are dead-lettered.
_DONE = (0, 1)
# Names the end of a pipe whose other end is held by whoever wants the run.
LIFELINE = "PIPELINE_PYTHON_LIFELINE"


def run(topology, *, interpreter=None, env=None, run_dir=None, fresh=False, **settings):
    """Runs a topology to its end.

    Args:
        topology: The file.
        interpreter: The Python that runs this package; this one unless given.
        env: Environment variables beside those of this process.
        run_dir: Where the run keeps what it needs to go on after a crash; ``.pipeline`` beside the topology
            unless given.
        fresh: Whether it starts over; else a run that was broken off goes on, and one that is done is told
            of once more.
        settings: Changes to the file, as ``--set`` takes them: ``source={"to": 10}`` is ``source.to=10``.

    Returns:
        None if the topology has an output or aggregates; else an iterator over its results, as they are written.

    Raises:
        Broken: The run did not come to its end; why stands on stderr.
    """
    command = [interpreter or sys.executable, "-m", "pipeline_zmq", "up", os.fspath(topology)]
    for name, value in _flat("", settings):
        command += ["--set", f"{name}={_toml(value)}"]
    if run_dir is not None:
        command += ["--run-dir", os.fspath(run_dir)]
    if fresh:
        command += ["--fresh"]
    environment = {**os.environ, **(env or {})}
    if _has_output(topology, settings):
        with _started(command, environment) as process:
            try:
                code = process.wait()
            except BaseException:
                process.send_signal(signal.SIGTERM)
                raise
        if code not in _DONE:
            raise _errors.Broken(f"the run ended with exit code {code}")
        return None
    command += ["--set", 'sink.output="-"', "--quiet"]
    return _results(command, environment)


@contextlib.contextmanager
def _started(command, environment, stdout=None):
    """The process of a run, which ends with this one however that ends."""
    lifeline, held = os.pipe()
    try:
        process = subprocess.Popen(
            command,
            env={**environment, LIFELINE: str(lifeline)},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            pass_fds=(lifeline,),
        )
        with process:
            yield process
    finally:
        os.close(held)
        os.close(lifeline)


def _results(command, environment):
    with _started(command, environment, stdout=subprocess.PIPE) as process:
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
