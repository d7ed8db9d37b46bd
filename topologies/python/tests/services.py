"""What tests of services share: a case that starts them, and connects to them."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pipeline_zmq as pl
from support import LIMIT_SECONDS, TESTS, Case, environment

TOPOLOGY = """
{top}
[source]
kind = "service"
accept = "memory"
{source}
[[stage]]
name = "serve"
call = "functions:{function}"
interpreter = "{python}"
workers = {workers}
retries = 1
backoff = "1ms"
crash_limit = 2
"""

_numbers = itertools.count(1)


class ServiceCase(Case):
    """Tests of services; those of one class share one of each kind, unless they ask for their own."""

    @classmethod
    def setUpClass(cls):
        cls._shared = {}

    def shared(self, function="serve"):
        """The name of a service that goes on until the last test of this class."""
        if function not in self._shared:
            self._shared[function] = self.up(function, cleanup=self.addClassCleanup)
        return self._shared[function]

    def up(self, function="serve", *, workers=1, top="", source="", cleanup=None):
        """Starts a service, which ends with the test unless another cleanup is meant; its name."""
        cleanup = cleanup or self.addCleanup
        folder = tempfile.TemporaryDirectory(prefix="pipeline-test-")
        cleanup(folder.cleanup)
        path = Path(folder.name) / "service.toml"
        text = topology(function, workers=workers, top=top, source=source)
        path.write_text(text)
        return self.up_file(path, cleanup)

    def up_file(self, path, cleanup=None):
        """Starts a service of this topology, under a name that no other run has; that name."""
        name = f"test-{os.getpid()}-{next(_numbers)}"
        self.began_service(path, name, cleanup or self.addCleanup)
        return name

    def began_service(self, path, name, cleanup):
        """Starts the service of that name, and waits for it; its launcher."""
        told = open(path.with_suffix(".log"), "a+")  # noqa: SIM115 - the cleanup closes it
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline_zmq", "up", str(path), "--set", f"name={name}"],
            env={**environment(), "PYTHONPATH": f"{environment()['PYTHONPATH']}:{TESTS}"},
            cwd=path.parent,
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
            preexec_fn=_end_with_sigterm,
        )
        cleanup(told.close)
        cleanup(_down, process)

        def is_up():
            if process.poll() is not None:
                told.seek(0)
                self.fail(f"the service ended with {process.returncode}: {told.read()}")
            with contextlib.suppress(pl.NoService):
                pl.connect(name).close()
                return True

        self.until(is_up, "the service")
        return process

    def connect(self, name, **options):
        service = pl.connect(name, **options)
        self.addCleanup(service.close)
        return service

    def service(self, function="serve", **options):
        """A connection to a service whose workers are there: of this test's own, if it is to be a special one."""
        service = self.connect(self.up(function, **options) if options else self.shared(function))
        service.call(0, LIMIT_SECONDS, wait_for_workers=True)
        return service


def topology(function, *, workers=1, top="", source=""):
    """A service whose one stage has this function."""
    return TOPOLOGY.format(function=function, python=sys.executable, workers=workers, top=top, source=source)


def service_is_there(name):
    """Whether a service of this name is listed."""
    try:
        pl.connect(name, timeout=0).close()
    except pl.NoService as error:
        return "no service is called" not in str(error)
    return True


def _end_with_sigterm():
    """Also where these tests run in the background of a shell, which has signals ignored."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.SIG_DFL)


def _down(process):
    process.terminate()
    try:
        process.wait(LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
