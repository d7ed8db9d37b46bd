"""What a pool is started with: told by its name where it can't be."""

from __future__ import annotations

import math


MOST = (1 << 31) - 1


def whole(name, value, least):
    """A whole number of at least so much.

    Raises:
        TypeError: It is none.
        ValueError: It is less, or more than anybody needs.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
    if value > MOST:
        raise ValueError(f"{name} must be at most {MOST}, not {value}")
    return value


def seconds(name, value, *, zero):
    """A time in seconds, which may be ``zero`` or not.

    Raises:
        TypeError: It is no number.
        ValueError: It is no time.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if math.isnan(value) or value < 0 or (value == 0 and not zero):
        least = "at least 0" if zero else "more than 0"
        raise ValueError(f"{name} must be {least} seconds, not {value!r}")
    return float(value)
