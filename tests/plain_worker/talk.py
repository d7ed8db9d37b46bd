"""What `worker.py` says and hears, and what it counts: sessions over lanes, spans of units, ranges that are committed.

Owns forms and numbers; what to say when is the worker's.
"""
import bisect, time  # noqa: E401

import msgpack, zmq  # noqa: E401
from zmq.utils.monitor import recv_monitor_message

LANE = {zmq.SNDHWM: 0, zmq.IMMEDIATE: 1, zmq.LINGER: 1000, zmq.RECONNECT_IVL: 50, zmq.RECONNECT_IVL_MAX: 1000}
now, forever = time.monotonic, float("inf")


class Ranges:
    """Units that are committed, as disjoint ranges; it only grows."""
    def __init__(self):
        self.starts, self.ends = [0], [0]

    def add(self, start, end):
        first, beyond = bisect.bisect_left(self.ends, start), bisect.bisect_right(self.starts, end)
        if first < beyond:
            start, end = min(start, self.starts[first]), max(end, self.ends[beyond - 1])
        self.starts[first:beyond], self.ends[first:beyond] = [start], [end]

    def cover(self, first, last):
        place = bisect.bisect_right(self.starts, first)
        return place > 0 and last < self.ends[place - 1]


def plus(pair, other):
    return [one + two for one, two in zip(pair, other)]


def onward(path, count):
    """The path of the output that comes `count` after the one at `path`, from the same execution."""
    return path and path[:-1] + [[path[-1][0], path[-1][1] + count, path[-1][2]]]


def push(spans, root, path):
    """Appends a unit to spans; one that continues the last span becomes part of it."""
    first, count, last = spans[-1] if spans else (-1, 0, [])
    if spans and root == (first if last else first + count) and path == onward(last, count):
        spans[-1][1] += 1
    else:
        spans.append([root, 1, path])


class Session:
    """One conversation with a peer, over a lane of its own; `opening` is said first, once the lane is up."""
    def __init__(self, worker, endpoint, number, opening, peer=None):
        self.worker, self.number, self.opening, self.peer = worker, number, opening, peer
        self.seq, self.expected, self.is_up, self.is_open = 0, 1, False, False
        self.heard, self.said, self.remade, self.byes = now(), now(), forever, 0
        self.granted = self.sent = self.processed = self.told = [0, 0]  # units and bytes
        self.socket = worker.context.socket(zmq.PUSH)
        for option, value in {**LANE, zmq.TCP_KEEPALIVE: 1}.items():
            self.socket.setsockopt(option, value)
        if endpoint.startswith("tcp:"):
            self.socket.curve_publickey = self.socket.curve_serverkey = worker.keys[b"public"]
            self.socket.curve_secretkey = worker.keys[b"secret"]
        self.monitor = self.socket.get_monitor_socket()
        self.socket.connect(endpoint)

    def say(self, name, content=None):
        seq, body = 0 if name == "Hello" else self.seq, name if content is None else {name: content}
        self.seq, self.said = seq + 1, now()  # a Hello is repeated with the same numbers
        try:
            frame = [1, self.worker.run, self.worker.peer, self.number, seq, body]
            self.socket.send(msgpack.packb(frame), zmq.NOBLOCK)
        except zmq.Again:
            pass  # the lane has broken; its monitor says so next

    def event(self):
        return zmq.Event(recv_monitor_message(self.monitor)["event"])

    def close(self):
        self.socket.disable_monitor()
        self.monitor.close(0)
        self.socket.close()


class Parcel:
    def __init__(self, session, number, attempt, units):
        self.session, self.number, self.attempt, (self.spans, payload) = session, number, attempt, units
        self.values = msgpack.Unpacker(strict_map_key=False, max_buffer_size=len(payload) + 1)
        self.values.feed(payload)
        self.keep = sum(span[1] for span in self.spans)
        self.weight, self.begun, self.busy_ns, self.failed, self.came = [self.keep, len(payload)], 0, 0, [], now()
        self.units = self.each()

    def each(self):
        for first, count, path in self.spans:
            for place in range(count):
                yield first if path else first + place, onward(path, place), self.values.unpack()
