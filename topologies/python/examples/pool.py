"""A program for `multiprocessing.Pool`, as it is, with another import.

python pool.py [pipeline_zmq|multiprocessing]
"""

import sys
from importlib import import_module


def word_count(line):
    return len(line.split())


def power(base, exponent):
    return base**exponent


def main(package="pipeline_zmq"):
    Pool = import_module(package).Pool
    with Pool(processes=2) as pool:
        lines = [f"a line with {'many ' * (n % 7)}words" for n in range(10_000)]
        print(sum(pool.imap_unordered(word_count, lines, chunksize=100)))
        print(pool.starmap(power, [(2, n) for n in range(8)]))
        calls = [pool.apply_async(power, (n, 2)) for n in range(5)]
        print([call.get(timeout=60) for call in calls])
        print(pool.map(str.upper, ["a", "b"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
