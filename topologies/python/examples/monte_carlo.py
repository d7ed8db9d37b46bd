"""Pi by throwing points at a square, with numpy; on all processors.

    python monte_carlo.py [BATCHES [POINTS]]

Each batch has a seed of its own, so that the result is the same whoever works on it, and however often.
"""

import sys

import numpy as np
import pipeline_zmq as pl


def hits(seed, points):
    """How many points of a batch are within the circle."""
    numbers = np.random.default_rng(seed)
    x, y = numbers.random(points), numbers.random(points)
    return int(np.count_nonzero(x * x + y * y <= 1.0))


def main(batches=200, points=500_000):
    total = 0
    within = 0
    # In the order in which they come: a sum does not mind.
    for count in pl.imap_unordered(lambda seed: hits(seed, points), range(batches)):
        within += count
        total += points
    print(f"pi is about {4 * within / total:.5f} after {total:,} points")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
