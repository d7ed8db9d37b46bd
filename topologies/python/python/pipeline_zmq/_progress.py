"""How far a call is, by ``tqdm`` where that is installed."""

from __future__ import annotations

import threading
import time

_LOOK_SECONDS = 0.1


def show(feed, iterable, function) -> None:
    """Shows how many results of a call have come, until it is over."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return
    try:
        total = len(iterable)
    except TypeError:
        total = None
    name = getattr(function, "__name__", None)
    bar = tqdm(total=total, desc=name if name and name.isidentifier() else None)
    threading.Thread(target=_follow, args=(feed, bar), name="pipeline-progress", daemon=True).start()


def _follow(feed, bar):
    try:
        while True:
            came, total = feed.progress()
            bar.update(came - bar.n)
            if total is not None and came >= total:
                return
            time.sleep(_LOOK_SECONDS)
    finally:
        bar.close()
