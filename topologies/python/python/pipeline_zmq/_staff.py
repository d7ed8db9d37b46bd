"""The worker processes of a pool: started, listened to, started again.

Owns one thread that does all of it, which lives as long as the pool: a worker ends when the thread that
started it does. Refuses to know what workers work on.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time

_START = "from pipeline_zmq._worker import main; main()"
# Deaths in a row before it was able to work, after which there is no use in going on.
_DEATHS_MAX = 5
_UNFIT = 69
_TAIL_LINES = 30
# What is told of a line that does not end, at once.
_LINE_BYTES_MAX = 1 << 22


class _Member:
    def __init__(self, name):
        self.name = name
        self.process = None
        self.pidfd = None
        self.shelf = None
        self.deaths = 0
        self.due = None
        self.lines = {}
        self.tail = []


class Staff:
    """So many workers of a pool's engine."""

    def __init__(self, engine, workers, *, folder, env, on_broken):
        self._engine = engine
        self._endpoint = engine.endpoint
        self._folder = folder
        self._env = _environment(env, folder)
        self._on_broken = on_broken
        self._members = [_Member(f"worker-{number + 1}") for number in range(workers)]
        self._leaving = False
        self.restarts = 0
        self._over = threading.Event()
        self._wake_read, self._wake_write = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._owner = os.getpid()
        self._thread = threading.Thread(target=self._run, name="pipeline-staff", daemon=True)
        self._thread.start()

    def pids(self):
        """The name and the process id of each worker that runs."""
        return {m.name: m.process.pid for m in self._members if m.process is not None}

    def leave(self):
        """Who ends is not started again."""
        self._leaving = True
        self._wake()

    def dismiss(self, patience=1.0):
        """There is nothing to do any more: who does not leave by itself is ended."""
        self.leave()
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if self.wait(0.05 if sign == signal.SIGTERM else patience):
                return
            for member in self._members:
                process = member.process
                if process is not None:
                    _kill(process.pid, sign)

    def kill(self):
        """Ends all of them, and what they have started, at once."""
        if os.getpid() != self._owner:
            return
        self.leave()
        for member in self._members:
            process = member.process
            if process is not None:
                _kill(process.pid)

    def wait(self, timeout=None) -> bool:
        """Waits until none runs any more, once they leave."""
        return self._over.wait(timeout)

    def _wake(self):
        try:
            self._wake_write.send(b".")
        except OSError:
            pass

    def _run(self):
        try:
            for member in self._members:
                self._start(member)
            while not self._is_done():
                self._turn()
        except BaseException as error:  # noqa: BLE001 - nobody else would hear of it
            self._on_broken(f"the pool can't look after its workers: {error!r}")
        finally:
            self._over.set()
            self._selector.close()
            self._wake_read.close()
            self._wake_write.close()

    def _is_done(self):
        return self._leaving and all(member.process is None for member in self._members)

    def _turn(self):
        now = time.monotonic()
        due = [m.due for m in self._members if m.due is not None]
        timeout = max(0.0, min(due) - now) if due and not self._leaving else None
        for key, _ in self._selector.select(timeout):
            if self._selector.get_map().get(key.fd) is not key:
                continue  # its process has ended in this same turn, and all it said was read then
            if key.data is None:
                self._wake_read.recv(4096)
            else:
                member, what = key.data
                self._ended(member) if what is None else self._said(member, key.fd, what)
        for member in self._members:
            if member.due is not None and member.due <= time.monotonic() and not self._leaving:
                self._start(member)

    def _start(self, member):
        member.due = None
        command = [sys.executable, "-c", _START, "--ventilator", self._endpoint, "--name", member.name]
        shelves = self._engine.shelves()
        env, handed = self._env, ()
        if shelves is not None:
            *handed, member.shelf = shelves
            told = ",".join("" if number is None else str(number) for number in shelves)
            env = {**env, "PIPELINE_PYTHON_SHELVES": told}
        try:
            process = subprocess.Popen(
                command,
                env=env,
                pass_fds=[number for number in handed if number is not None],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            self._on_broken(f"no worker can be started: {error}")
            self._leaving = True
            return
        member.process, member.tail = process, []
        member.pidfd = os.pidfd_open(process.pid)
        self._selector.register(member.pidfd, selectors.EVENT_READ, (member, None))
        for stream, name in ((process.stdout, "stdout"), (process.stderr, "stderr")):
            os.set_blocking(stream.fileno(), False)
            member.lines[stream.fileno()] = b""
            self._selector.register(stream, selectors.EVENT_READ, (member, name))
        if self._leaving:
            _kill(process.pid)

    def _said(self, member, fd, stream):
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(fd)
            data = b"\n" if member.lines.get(fd) else b""
        lines = (member.lines.get(fd, b"") + data).split(b"\n")
        member.lines[fd] = lines.pop()
        if len(member.lines[fd]) > _LINE_BYTES_MAX:
            lines.append(member.lines[fd])
            member.lines[fd] = b""
        if lines:
            self._tell(member, stream, lines)

    def _tell(self, member, stream, lines):
        prefix = f"{member.name}: " if len(self._members) > 1 else ""
        texts = [line.decode("utf-8", "replace") for line in lines]
        if stream == "stderr":
            member.tail = (member.tail + texts)[-_TAIL_LINES:]
        _write(getattr(sys, stream), "".join(f"{prefix}{text}\n" for text in texts))

    def _ended(self, member):
        process = member.process
        for stream in (process.stdout, process.stderr):
            self._drain(member, stream)
        self._selector.unregister(member.pidfd)
        os.close(member.pidfd)
        code = process.wait()
        member.process = None
        if member.shelf is not None:
            self._engine.retire_shelf(member.shelf)
            member.shelf = None
        if self._leaving:
            return
        self.restarts += 1
        reason = _read(os.path.join(self._folder, f"unfit-{process.pid}"))
        if code == _UNFIT and reason:
            self._leaving = True
            self._on_broken(reason)
            return
        self._again(member, code, _taken(os.path.join(self._folder, f"fit-{process.pid}")))

    def _drain(self, member, stream):
        fd = stream.fileno()
        try:
            while fd in self._selector.get_map():
                before = member.lines.get(fd)
                self._said(member, fd, "stdout" if stream is member.process.stdout else "stderr")
                if member.lines.get(fd) == before:
                    break
        finally:
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
            member.lines.pop(fd, None)
            stream.close()

    def _again(self, member, code, was_fit):
        member.deaths = 1 if was_fit else member.deaths + 1
        if code == 0:
            member.deaths, pause = 0, 0.0
        else:
            pause = 0.05 * 2 ** (member.deaths - 1)
        if member.deaths > _DEATHS_MAX:
            self._leaving = True
            said = "\n".join(member.tail)
            self._on_broken(f"workers can't run: {member.name} {ending(code)} again and again\n{said}")
            return
        member.due = time.monotonic() + pause


def _write(out, text):
    try:
        try:
            out.write(text)
        except UnicodeEncodeError as error:
            # A terminal without such characters.
            out.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        out.flush()
    except (OSError, ValueError, AttributeError):
        pass  # nobody is there to read it


def ending(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _kill(pid, sign=signal.SIGKILL):
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, sign)
        except (ProcessLookupError, PermissionError):
            pass


def _taken(path):
    """Whether there was such a file."""
    try:
        os.unlink(path)
    except OSError:
        return False
    return True


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def _environment(env, folder):
    theirs = dict(os.environ)
    theirs.update(env or {})
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = [os.path.abspath(path) if path == "" else path for path in sys.path]
    theirs["PYTHONPATH"] = os.pathsep.join([*paths, here])
    theirs["PIPELINE_PARENT"] = str(os.getpid())
    theirs["PIPELINE_PYTHON_ARGV0"] = sys.argv[0] if getattr(sys, "argv", None) else ""
    theirs["PIPELINE_PYTHON_FOLDER"] = folder
    theirs.pop("PIPELINE_WORKER_INDEX", None)
    theirs.pop("PIPELINE_DIARY", None)
    return theirs
