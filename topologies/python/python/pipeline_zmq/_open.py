"""Many units open at once: coroutines in one event loop on the main thread, other functions in threads.

As many coroutines as there may be units open work through one queue; what they come to is told together, once
a turn of the loop. A loop that does not turn is told of, with the unit and the stack that blocks it.
"""

from __future__ import annotations

import asyncio
import collections
import queue
import sys
import threading
import time
import traceback

from . import _worker
from ._unit import _current
from ._worker import is_async

# A loop that does not turn for so long is told of.
_BLOCKED_SECONDS = 1.0
# How often a loop looks whether its thread is wanted for something else.
_LOOK_SECONDS = 0.25


def serve(units) -> None:
    """Works on units until no more come."""
    asyncio.run(_Loop(units).run())


class _Loop:
    def __init__(self, units):
        self.units = units
        self.items = collections.deque()
        self.waiters = collections.deque()
        self.consumers = []
        self.threads = _Threads(units)
        self.open = {}
        self.done = []
        self.beat = time.monotonic()

    async def run(self):
        self.loop = asyncio.get_running_loop()
        self.ended = self.loop.create_future()
        self.loop.add_reader(self.units.fileno(), self.arrived)
        self.turn()
        watcher = threading.Thread(target=self.watch, args=(threading.get_ident(),), daemon=True)
        watcher.start()
        self.arrived()
        await self.ended
        self.loop.remove_reader(self.units.fileno())

    def arrived(self):
        if self.units.is_over():
            return self.ended.done() or self.ended.set_result(None)
        for item in self.units.take():
            if is_async(item[3]):
                self.items.append(item)
            else:
                self.threads.put(item)
        self.call_consumers()

    def call_consumers(self):
        wanted = len(self.items)
        while wanted and self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                wanted -= 1
        while wanted and len(self.consumers) < _worker._open_max:
            self.consumers.append(self.loop.create_task(self.consume()))
            wanted -= 1

    async def consume(self):
        task = asyncio.current_task()
        items, is_open = self.items, self.open
        while True:
            while not items:
                waiter = self.loop.create_future()
                self.waiters.append(waiter)
                await waiter
            slot, unit, single, function, item = items.popleft()
            _current.set(unit)
            is_open[slot] = (task, unit)
            try:
                # Told of after this loop has begun, and before any unit.
                if _worker._timeout is None:
                    ended = (slot, await single(function, item), None)
                else:
                    ended = (slot, await self.in_time(single(function, item)), None)
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - it is the unit's
                if self.ended.done():
                    raise
                ended = (slot, None, error)
                while hasattr(task, "uncancel") and task.cancelling():
                    task.uncancel()
            del is_open[slot]
            if not self.done:
                # All that end in this turn are told together.
                self.loop.call_soon(self.tell)
            self.done.append(ended)

    async def in_time(self, coroutine):
        try:
            return await asyncio.wait_for(coroutine, _worker._timeout)
        except asyncio.TimeoutError:
            raise TimeoutError(f"the function took longer than {_worker._timeout:g} s") from None

    def tell(self):
        done, self.done = self.done, []
        self.units.tell(done)

    def turn(self):
        self.beat = time.monotonic()
        if self.units.is_over() and not self.ended.done():
            self.ended.set_result(None)
        self.loop.call_later(_LOOK_SECONDS, self.turn)

    def watch(self, main):
        """Tells of a loop that does not turn, once each time."""
        told = None
        while not self.ended.done():
            slept = time.monotonic()
            time.sleep(_BLOCKED_SECONDS / 4)
            now, beat = time.monotonic(), self.beat
            # A process that was stopped as a whole is not a loop that is blocked.
            was_stopped = now - slept > _BLOCKED_SECONDS
            if was_stopped or now - beat < _BLOCKED_SECONDS + _LOOK_SECONDS or told == beat:
                continue
            told = beat
            frame = sys._current_frames().get(main)
            if frame is None:
                continue
            task = asyncio.current_task(self.loop)
            names = [unit[1] for known, unit in list(self.open.values()) if known is task]
            stack = traceback.extract_stack(frame)
            own = [place for place, line in enumerate(stack) if line.filename == __file__]
            lines = "".join(traceback.format_list(stack[own[-1] + 1 if own else 0 :]))
            who = f" by unit {names[0]}" if names else ""
            sys.stderr.write(
                f"the event loop has been blocked for {now - beat:.1f} s{who};"
                f" a call that waits has to be awaited:\n{lines}"
            )


class _Threads:
    """Units in threads, each of which works on one after the other."""

    def __init__(self, units):
        self.units = units
        self.items = queue.SimpleQueue()
        self.count = 0

    def put(self, item):
        self.items.put(item)
        if self.count < _worker._open_max:
            self.count += 1
            threading.Thread(target=self.consume, name=f"unit-{self.count}", daemon=True).start()

    def consume(self):
        while True:
            slot, unit, single, function, item = self.items.get()
            _current.set(unit)
            try:
                ended = (slot, single(function, item), None)
            except BaseException as error:  # noqa: BLE001 - it is the unit's
                ended = (slot, None, error)
            self.units.tell([ended])
