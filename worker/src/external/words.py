"""What a function prints, line by line, with the unit that printed it.

Owns the streams that stand in the place of `sys.stdout` and `sys.stderr`, the same for the harnesses and for workers of
the Python package, and the last of what each open unit has printed. Refuses what is written past them, by
descriptor: that has no mark. The form of a mark is in `proto/src/lines`.
"""

import io
import os
import sys
import threading

LINE_BYTES_MAX = 64 << 10
LAST_BYTES_MAX = 4 << 10
# Units whose last words are kept.
LAST_UNITS_MAX = 4096


def marked(stream, unit, line):
    """A line for whoever reads marks."""
    return b"\x1e" + stream + unit + b"\x1f" + line + b"\n"


def by_hand(stream, unit, line):
    """A line for a person."""
    text = line.decode("utf-8", "replace")
    if os.isatty(2):
        text = "".join(c if c == "\t" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return (f"[unit {unit.decode()}]: {text}\n" if unit else f"{text}\n").encode()


class Words:
    """The lines of this process; `unit_of` gives the name of the unit at hand, or nothing."""

    def __init__(self, unit_of, form=marked):
        self.unit_of, self.form = unit_of, form
        # A signal may come in between.
        self.lock = threading.RLock()
        self.begun = {}
        self.last = {}
        for name, stream in (("stdout", b"o"), ("stderr", b"e")):
            raw = Stream(self, stream)
            text = io.TextIOWrapper(raw, "utf-8", "backslashreplace", newline="\n", write_through=True)
            setattr(sys, name, text)

    def take(self, stream, data):
        unit = (self.unit_of() or "").encode()
        with self.lock:
            *lines, rest = (self.begun.pop((stream, unit), b"") + data).split(b"\n")
            if len(rest) > LINE_BYTES_MAX:
                lines.append(rest)
            elif rest:
                self.begun[stream, unit] = rest
            self.put(stream, unit, lines)

    def put(self, stream, unit, lines):
        if not lines:
            return
        data = b"".join(self.form(stream, unit, line) for line in lines)
        if unit:
            if unit not in self.last and len(self.last) >= LAST_UNITS_MAX:
                del self.last[next(iter(self.last))]
            said = self.last.get(unit, b"") + b"\n".join(lines) + b"\n"
            self.last[unit] = said[-LAST_BYTES_MAX:]
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(2, view) :]
        except OSError:
            # Nobody is left to read it.
            pass

    def end(self, unit=None):
        """Ends lines that a unit, or any, has begun; gives the last of what it had printed."""
        name = (unit or "").encode()
        with self.lock:
            for key in [key for key in self.begun if unit is None or key[1] == name]:
                self.put(*key, [self.begun.pop(key)])
            return self.last.pop(name, b"").decode("utf-8", "replace").strip()


class Stream(io.RawIOBase):
    """What is below `sys.stdout`."""

    def __init__(self, words, stream):
        self.words, self.stream = words, stream

    def writable(self):
        return True

    def fileno(self):
        return 1 if self.stream == b"o" else 2

    def write(self, data):
        data = bytes(data)
        self.words.take(self.stream, data)
        return len(data)


def with_words(error, words):
    """An error's text with the last of what its unit had printed."""
    return f"{error}\n\nIt had written:\n{words}" if words else error
