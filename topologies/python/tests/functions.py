"""Functions that workers import by their names."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time


def square(value):
    return value * value


def identity(value):
    return value


def nothing(_value):
    return None


def pair(first, second):
    return (first, second)


def keyed(first, *rest, key=None, **others):
    return (first, rest, key, others)


def pid(_value=None):
    return os.getpid()


def numbers(count):
    yield from range(count)


def fail_at(value, at):
    if value == at:
        raise KeyError(value)
    return value


def slow(value, seconds):
    time.sleep(seconds)
    return value


def die(value):
    os.kill(os.getpid(), signal.SIGKILL)
    return value


def die_at(value):
    if value == 37:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def first_time(mark):
    """Whether nobody has asked this before, in any process."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def die_once(mark, value):
    """Kills its worker the first time."""
    if first_time(mark):
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def add_in_place(array):
    array += 1
    return array


def add_and_die_once(mark, array):
    """Kills its worker the first time, with the array changed."""
    return die_once(mark, add_in_place(array))


def add_and_die_at_tens(item):
    folder, number, array = item
    add_in_place(array)
    return array if number % 10 else die_once(os.path.join(folder, f"{number}"), array)


def leave_once(mark, value):
    """Ends its process in the middle of a call, the first time."""
    if first_time(mark):
        os._exit(3)
    return value


def fail_first(folder, times, value):
    """Raises so many times, then gives the value."""
    for place in range(times):
        try:
            os.close(os.open(os.path.join(folder, f"{value}-{place}"), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        raise OSError(f"attempt {place + 1}")
    return value


def write(path):
    with open(path, "a") as file:
        file.write("x")
    return path


def leave():
    raise SystemExit(5)


def interrupt():
    raise KeyboardInterrupt


def unpicklable():
    return (number for number in range(3))


class Stubborn(Exception):
    """Pickles, and does not come back."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class Told(Exception):
    """Comes back with what it has."""

    def __init__(self, message, code):
        super().__init__(message, code)
        self.code = code


def raise_stubborn():
    raise Stubborn("one", "two")


def raise_told():
    raise Told("told", 17)


def raise_unpicklable():
    error = RuntimeError("holds a lock")
    import threading

    error.lock = threading.Lock()
    raise error


def raise_chained():
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("not found") from error


@dataclasses.dataclass
class Point:
    x: int
    y: float

    def length(self):
        return (self.x**2 + self.y**2) ** 0.5


class Counter:
    """An object whose bound method is the function."""

    def __init__(self, start):
        self.start = start

    def add(self, value):
        return self.start + value

    @classmethod
    def named(cls, value):
        return f"{cls.__name__} {value}"

    @staticmethod
    def doubled(value):
        return 2 * value

    def __call__(self, value):
        return self.start * value


STATE = {}


def set_state(key, value):
    STATE[key] = value


def get_state(key):
    return STATE.get(key)


def forget_cloudpickle():
    """As if it were not installed here."""
    for name in list(sys.modules):
        if name.partition(".")[0] == "cloudpickle":
            sys.modules[name] = None
    sys.modules["cloudpickle"] = sys.modules["cloudpickle.cloudpickle"] = None


def broken_init():
    raise LookupError("no model here")


def wait_for(path, value=None):
    """Waits until a file is there."""
    for _ in range(9_000):
        if os.path.exists(path):
            return value
        time.sleep(0.01)
    raise TimeoutError(path)


def begin_and_wait(folder, value):
    """Says that it has begun, and waits for the file `go`."""
    write(os.path.join(folder, f"began-{value}"))
    return wait_for(os.path.join(folder, "go"), value)


def add_one(value):
    return value + 1


def tell(value):
    print(value, "x" * 200)


def serve(value):
    """What the services of the tests do: a list says what, anything else is told back."""
    if not isinstance(value, list):
        return value
    what, *of = value
    if what == "raise":
        raise ValueError(*of)
    if what == "wait":
        return wait_for(*of)
    if what == "die":
        die(None)
    return iter(of) if what == "many" else None


def counted(value):
    """Numbers one by one, each but the first once there is a file of that name in the folder."""
    folder, count = value
    for number in range(count):
        if number:
            wait_for(os.path.join(folder, str(number)))
        yield number
    if count == 0:
        raise ValueError("nothing to count")


def kind(value):
    """The name of a value's type, and its length."""
    return [type(value).__name__, len(value) if hasattr(value, "__len__") else None]
