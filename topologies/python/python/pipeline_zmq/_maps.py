"""The short forms: a pool for one call."""

from __future__ import annotations


def _starred(fn, iterables):
    """How a call of several iterables goes through a pool."""
    from ._worker import ONE, STAR

    if not iterables:
        raise TypeError("at least one iterable is needed")
    return (ONE, iterables[0]) if len(iterables) == 1 else (STAR, zip(*iterables))


def map(fn, *iterables, workers=None, **pool):  # noqa: A001
    """The results of ``fn`` for the items of the iterables, in their order.

    Like the built-in ``map``, on ``workers`` processes (as many as there are processors unless given), as a
    list. Other keywords are those of :class:`Pool`.

    >>> map(pow, [2, 3], [10, 2], workers=1)
    [1024, 9]

    Raises:
        What ``fn`` raised for the first item for which it did; :class:`Crashed`, :class:`Broken`.
    """
    from ._pool import Pool

    manner, items = _starred(fn, iterables)
    with Pool(workers, **pool) as own:
        return own._whole(fn, manner, items, None, None).get()


def imap(fn, *iterables, workers=None, ordered=True, **pool):
    """Like :func:`map`, as an iterator: items are read as results are taken.

    >>> sum(imap(abs, range(-1000, 0), workers=1))
    500500
    """
    from ._pool import Pool

    manner, items = _starred(fn, iterables)
    own = Pool(workers, **pool)
    try:
        results = own._stream(fn, manner, items, ordered=ordered)
    except BaseException:
        own.terminate()
        raise
    return _taken(own, results)


def imap_unordered(fn, *iterables, workers=None, **pool):
    """Like :func:`imap`, in the order in which results come.

    >>> sorted(imap_unordered(abs, [-3, -2, -1], workers=1))
    [1, 2, 3]
    """
    return imap(fn, *iterables, workers=workers, ordered=False, **pool)


def _taken(own, results):
    """Gives the results of a pool of their own, which ends with them."""
    try:
        yield from results
    except BaseException:
        # Also when nobody takes the rest.
        own.terminate()
        raise
    own.close()
    own.join()
