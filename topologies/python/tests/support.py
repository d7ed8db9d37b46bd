"""What the tests share: a case that can't hang, waiting for a condition, and programs that are run apart."""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

# A test that lasts longer hangs; so does a condition that is not met by then.
LIMIT_SECONDS = 60
TESTS = Path(__file__).resolve().parent

try:
    import cloudpickle
except ImportError:
    cloudpickle = None

try:
    import numpy
except ImportError:
    numpy = None

# What the package depends on; older ones can't load every class that a script defines.
by_value = unittest.skipIf(
    cloudpickle is None or int(cloudpickle.__version__.split(".")[0]) < 3,
    "cloudpickle 3 is not installed",
)
with_numpy = unittest.skipIf(numpy is None, "numpy is not installed")


class Case(unittest.TestCase):
    """A test that shows where it hangs, and ends."""

    # After which it hangs.
    patience = LIMIT_SECONDS * 2
    maxDiff = None

    def setUp(self):
        faulthandler.dump_traceback_later(self.patience, exit=True, file=sys.__stderr__)
        self.addCleanup(faulthandler.cancel_dump_traceback_later)

    def until(self, condition, what="the condition"):
        """Waits until the condition holds, and gives what it told."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not (told := condition()):
            if time.monotonic() > deadline:
                self.fail(f"{what} did not come within {LIMIT_SECONDS} s")
            time.sleep(0.01)
        return told

    def folder(self):
        """A folder of this test's own."""
        folder = tempfile.TemporaryDirectory(prefix="pipeline-test-")
        self.addCleanup(folder.cleanup)
        return Path(folder.name)

    def script(self, source, *arguments):
        """Runs a program of Python to its end."""
        path = self.folder() / "script.py"
        path.write_text(source)
        return subprocess.run(
            [sys.executable, path, *arguments],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )

    def began(self, source, *arguments):
        """Starts a program of Python, which ends with the test at the latest."""
        path = self.folder() / "script.py"
        path.write_text(source)
        process = subprocess.Popen(
            [sys.executable, path, *arguments],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_hear_ctrl_c,
        )
        self.addCleanup(_end, process)
        return process

    def no_workers_of(self, pid):
        """Waits until no worker of this process is left."""
        self.until(lambda: not workers_of(pid), f"the end of the workers of {pid}")


class PoolCase(Case):
    """Tests that share one pool."""

    workers = 2

    @classmethod
    def setUpClass(cls):
        import pipeline_zmq as pl

        cls.pool = pl.Pool(cls.workers)

    @classmethod
    def tearDownClass(cls):
        cls.pool.terminate()


def outcomes(results, kind):
    """All that an iterator gives: results, and in the places of others the errors of this kind."""
    told = []
    while True:
        try:
            told.append(next(results))
        except StopIteration:
            return told
        except kind as error:
            told.append(error)


def environment():
    """The environment of programs that are run apart: they find what this one finds."""
    paths = [path for path in sys.path if path and os.path.isdir(path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _hear_ctrl_c():
    """Also where these tests run in the background of a shell, which has it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _end(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def free_ports():
    """A port that is free, and the next one too, as far as can be known."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
    raise OSError("no two ports in a row are free")


def workers_of(pid):
    """The processes that this one has started as workers of a pool."""
    mark = f"PIPELINE_PARENT={pid}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != pid:
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0") and _runs(folder):
                    found.append(int(folder.name))
            except OSError:
                pass  # it has just ended, or is somebody else's
    return found


def _runs(folder):
    return (folder / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
