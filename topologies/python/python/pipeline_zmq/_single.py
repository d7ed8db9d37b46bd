"""Waiting for a call of one item.

Who waits for such a call takes its result past the thread that tells all others: that saves waking two threads,
one after the other. Owns the wait; what becomes of a result is the call's own.
"""

from __future__ import annotations

import os
import time

# How long a wait lasts before a look whether the call ended in another way.
_SLICE_SECONDS = 0.1


def refuse_in_fork(owner: int) -> None:
    """What a fork has of a pool is neither its threads nor its sockets, nor does anybody give back its lock."""
    if os.getpid() != owner:
        raise RuntimeError("this pool is another process's, of which this one is a fork; make one here")


class Single:
    """A call of one item, for a class that has ``done`` and ``_came``.

    The latter tells it its result, and gives the function that it used.
    """

    # Its number among the calls of its pool, and the function that it uses until its result has come.
    _number = None
    _known = None

    def _await(self, pool, timeout) -> bool:
        """Waits until it is done, for so many seconds at most; whether that was possible."""
        number = self._number
        if number is None or pool is None:
            return False
        refuse_in_fork(pool._owner)
        engine, pending = pool._engine, pool._pending
        deadline = None if timeout is None else time.monotonic() + timeout
        rounds = engine.expect(number)
        try:
            while not self.done():
                left = _SLICE_SECONDS if deadline is None else deadline - time.monotonic()
                rounds, result = engine.wait_for(number, rounds, left)
                if result is not None:
                    known = self._came(result[0])
                    pending.pop(number, None)
                    if known is not None:
                        known.let_go(1)
                elif left <= 0:
                    break
            return True
        finally:
            # Ctrl-C may have come between its result and the word of it.
            engine.leave(number, self.done())
