"""Services, for their callers: units are submitted one by one, and each one's outcome is had at once or later.

Owns what a caller sees of a connection, and how event loops and futures are told. A ticket is ``_native``'s.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref

from . import _native
from ._options import seconds, whole

# How long the end of a program waits for what it has submitted to be accepted.
_PARTING_SECONDS = 5.0
# Lists in lists beyond this depth have no plain form.
_DEPTH_MAX = 64

_services: weakref.WeakSet = weakref.WeakSet()


def connect(
    name,
    *,
    key=None,
    insecure=False,
    client="",
    first=0,
    timeout=5.0,
    codec="plain",
    on_disconnect="detach",
):
    """Connects to a service: a run whose source is its clients (``kind = "service"`` in its topology).

    >>> with connect(squares) as svc:  # a name, as in connect("squares")
    ...     svc.call(7)
    49

    Args:
        name: Its name, if it is one of this user's on this machine or in the table ``[services]`` of
            ``~/.config/pipeline/config.toml``; or an endpoint, as in ``"tcp://host:5557"``.
        key: The key file, for an endpoint of tcp; the user's own unless given.
        insecure: No encryption over tcp; the service must be told the same.
        client: A name by which this program's units are told from those of others, also when it was started
            again: the same values, submitted again in the same order, are the same units then.
        first: With ``client``, the number of the first unit: numbers that were used before stand for the units
            of before.
        timeout: How many seconds the service is waited for.
        codec: ``"plain"``: values are what MessagePack has (None, bool, int, float, str, bytes, list and dict
            with keys of str), which workers of any language read. ``"auto"`` pickles others, which workers of
            this package read.
        on_disconnect: What becomes of units that no worker has begun when this program is gone, or closes the
            connection: with ``"detach"`` they are worked on, and their outcomes kept; with ``"cancel"`` they
            are cancelled.

    Raises:
        NoService: There is none of that name, or it does not answer.
    """
    timeout = seconds("timeout", timeout, zero=True)
    if on_disconnect not in ("detach", "cancel"):
        raise ValueError(f"on_disconnect must be 'detach' or 'cancel', not {on_disconnect!r}")
    way = _Way(None if key is None else os.fspath(key), insecure, client, first, timeout, codec)
    way.cancels = on_disconnect == "cancel"
    service = Service(_native.connect(name, way), name)
    _services.add(service)
    return service


class _Way:
    """How a connection is made, for the compiled part."""

    __slots__ = ("cancels", "client", "codec", "first", "insecure", "key", "timeout")

    def __init__(self, key, insecure, client, first, timeout, codec):
        self.key, self.insecure, self.client = key, insecure, client
        self.first, self.timeout, self.codec = first, timeout, codec
        self.cancels = False


class _Wishes:
    """How units are treated, for the compiled part."""

    __slots__ = ("block", "delay", "once", "priority", "ttl", "unique", "wait_for_workers")

    def __init__(self, unique, priority, delay, ttl, block, wait_for_workers, once=None):
        if whole("priority", priority, least=0) > 9:
            raise ValueError(f"priority must be 0 to 9, not {priority}")
        self.unique, self.priority, self.once = unique, priority, once
        self.delay = 0.0 if delay is None else seconds("delay", delay, zero=True)
        self.ttl = None if ttl is None else seconds("ttl", ttl, zero=True)
        self.block, self.wait_for_workers = bool(block), bool(wait_for_workers)


class Service:
    """A connection to a service, as :func:`connect` gives it. May be used by many threads.

    >>> svc = connect(squares)
    >>> ticket = svc.submit(12)
    >>> ticket.get(timeout=60), ticket.ready(), ticket.value
    (144, True, 144)
    >>> svc.ticket(str(svc.submit(5))).get()
    25
    >>> list(svc.map(range(4)))
    [0, 1, 4, 9]
    >>> [ticket.get() for ticket in svc.submit_many([1, 2])]
    [1, 4]
    >>> svc.call({1, 2})
    Traceback (most recent call last):
    TypeError: value is a set, which is no plain value: ...
    >>> svc.close()
    """

    def __init__(self, connection, name):
        self._connection, self._name = connection, name
        self._is_closed = False

    def submit(
        self,
        value,
        *,
        unique=None,
        once=None,
        priority=0,
        delay=None,
        ttl=None,
        block=True,
        wait_for_workers=False,
    ):
        """Submits a unit; its ticket, without waiting for anything but room in the queue.

        Args:
            value: What the first stage is given.
            unique: As long as a unit with this key is not done, this is the same unit.
            once: A unit that was submitted with this key is the same unit, also when it is done, as long
                as the service keeps outcomes.
            priority: 0 to 9; units of a higher one are sent to workers first.
            delay: Seconds before which it is not sent to a worker.
            ttl: Seconds after which it is dead if it was not sent to a worker.
            block: Whether it is waited for room in the queue.
            wait_for_workers: Whether it is submitted also when a stage has no worker.

        Raises:
            NoWorkers: A stage has no worker.
            Full: The queue is full, and ``block`` is false.
            TypeError: The value has no form that travels; says its type and its place.
        """
        if (
            unique is None
            and once is None
            and not priority
            and delay is None
            and ttl is None
            and block
            and not wait_for_workers
        ):
            return self._open().submit(value)
        wishes = _Wishes(unique, priority, delay, ttl, block, wait_for_workers, once)
        return self._open().submit(value, wishes)

    def submit_many(self, values, *, priority=0, delay=None, ttl=None, block=True, wait_for_workers=False):
        """Submits many units, which costs much less than one by one; a list of their tickets."""
        wishes = _Wishes(None, priority, delay, ttl, block, wait_for_workers)
        return self._open().submit_many(values, wishes)

    def call(self, value, timeout=None, *, unique=None, priority=0, ttl=None, wait_for_workers=False):
        """Submits a unit and waits for its value, for ``timeout`` seconds at most.

        Raises:
            UnitError: It failed for good.
            TimeoutError: It did not come in time. The unit goes on.
        """
        if unique is None and not priority and ttl is None and not wait_for_workers:
            return self._open().call(value, timeout)
        return self._open().call(value, timeout, _Wishes(unique, priority, None, ttl, True, wait_for_workers))

    def map(self, values, *, window=None, priority=0, wait_for_workers=False):
        """An iterator over what comes of the values, in their order.

        They are read and submitted as results are taken, by whoever takes them, ``window`` of them ahead at most.
        Where a unit failed, ``next()`` raises, and the next one goes on behind it.
        """
        if window is not None:
            whole("window", window, least=1)
        wishes = _Wishes(None, priority, None, None, True, wait_for_workers)
        return self._open().map(values, window, wishes)

    def stream(self, value, timeout=None, *, priority=0, ttl=None, wait_for_workers=False):
        """Submits a unit; an iterator over its outputs in their order, each once.

        They come while the unit is still worked on, if its stage has ``stream = true``, else with the outcome.
        A worker that dies meanwhile changes nothing, as long as whoever works on the unit again gives the same
        outputs. Each is waited for ``timeout`` seconds at most.

        Raises:
            UnitError: It failed for good, which the iterator tells where it ends.
            RuntimeError: It was worked on again, and gave other outputs than those that were told.
        """
        return self.submit(value, priority=priority, ttl=ttl, wait_for_workers=wait_for_workers).stream(timeout)

    def ticket(self, text):
        """The ticket of this text, which any client of the service may have.

        Raises:
            Expired: It is of another run than this service's.
            ValueError: It is none.
        """
        return self._open().ticket(str(text))

    def stats(self):
        """What the service has to do, as a dict: ``queued``, ``queued_bytes``, ``oldest_ms``, ``clients``, ``done``,
        ``kept`` and ``kept_bytes``.

        Raises:
            NoService: It is not one of this user's on this machine.
        """
        return self._open().stats()

    def close(self):
        """Says goodbye, once what was submitted is accepted. Outcomes that have come stay with their tickets."""
        if self._is_closed:
            return
        self._is_closed = True
        self._connection.flush(_PARTING_SECONDS)
        self._connection.close()

    def _open(self):
        if self._is_closed:
            raise ValueError("the connection to the service is closed")
        return self._connection

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return f"<Service {self._name!r}{' (closed)' if self._is_closed else ''}>"


def _part():
    """The end of the program: what was submitted is accepted, and nobody is told anything more."""
    pid = os.getpid()
    if _teller is not None and _teller.pid == pid:
        _teller.end()
    for service in list(_services):
        if not service._is_closed and service._connection.is_own():
            service.close()


atexit.register(_part)


class _Teller:
    """The one thread that tells event loops and futures: all that is done at once."""

    def __init__(self):
        self.pid = os.getpid()
        self.tray = _native.Tray()
        self._thread = threading.Thread(target=self._tell, name="pipeline-outcomes", daemon=True)
        self._thread.start()

    def end(self):
        self.tray.close()
        self._thread.join()

    def _tell(self):
        while (done := self.tray.take()) is not None:
            by_loop: dict = {}
            for (loop, future), ticket in done:
                if loop is None:
                    _settle(future, ticket)
                else:
                    by_loop.setdefault(loop, []).append((future, ticket))
            for loop, several in by_loop.items():
                try:
                    loop.call_soon_threadsafe(_settle_all, several)
                except RuntimeError:
                    pass  # it is closed, and with it whoever waited


_teller = None
_teller_lock = threading.Lock()


def _tray():
    global _teller
    with _teller_lock:
        if _teller is None or _teller.pid != os.getpid():
            _teller = _Teller()
        return _teller.tray


def _settle_all(several):
    for future, ticket in several:
        _settle(future, ticket)


def _settle(future, ticket):
    """Gives a future its ticket's outcome, which has come."""
    # A future of a thread that was cancelled says so here, one of a loop says that it is done.
    wanted = getattr(future, "set_running_or_notify_cancel", lambda: not future.done())
    if not wanted():
        return
    try:
        value = ticket.get(0)
    except BaseException as error:  # noqa: BLE001 - whoever waits is told
        future.set_exception(error)
    else:
        future.set_result(value)


def future_of(ticket):
    """A future of the ticket's value, for threads."""
    import concurrent.futures

    future: concurrent.futures.Future = concurrent.futures.Future()
    _tray().put((None, future), ticket)
    return future


def awaited(ticket):
    """What ``await`` waits for."""
    import asyncio

    loop = asyncio.get_running_loop()
    future = loop.create_future()
    if ticket.ready():
        _settle(future, ticket)
    else:
        _tray().put((loop, future), ticket)
    return future.__await__()


def without_form(value):
    """What to raise for a value that is not plain: its type, and its place."""
    place, culprit, why = _culprit(value, "value", 0) or ("value", value, "")
    kind = type(culprit)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return TypeError(
        f"{place} is a {name}{why or ', which is no plain value'}: a service is sent None, bool, int, float, str,"
        " bytes, list and dict with keys of str (codec='auto' pickles others, for workers of this package)"
    )


def _culprit(value, place, depth):
    """The first that has no plain form: its place, itself, and why, if its type does not say it; or None."""
    kind = type(value)
    if kind is int:
        return None if -(1 << 63) <= value < 1 << 64 else (place, value, " of more than 64 bits")
    if kind is str:
        return None if _is_whole(value) else (place, value, " with half a character in it")
    if kind in (bool, float, bytes, type(None)):
        return None
    if kind not in (list, dict):
        return place, value, ""
    if depth == _DEPTH_MAX:
        return place, value, f" in {_DEPTH_MAX} others, or in itself"
    if kind is list:
        found = (_culprit(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(value))
        return next(filter(None, found), None)
    for key, item in value.items():
        if type(key) is not str or not _is_whole(key):
            return f"the key {key!r} of {place}", key, ""
        found = _culprit(item, f"{place}[{key!r}]", depth + 1)
        if found:
            return found
    return None


def _is_whole(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
