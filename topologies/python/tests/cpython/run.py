"""Runs CPython's own tests of pools and executors against those of this package.

    python run.py [WORD...]

The tests are those of the interpreter that runs this (`libpython3.11-testsuite` on Debian); WORDs choose those
whose names have one of them. A table tells each test: passed, differs (fails, with a reason that is told in
`expected.py`), not applicable (not run, with its reason), or FAILED. The exit code is 1 if any has failed, or
passes although it is expected to differ; and 77 if there are no such tests here.
"""

from __future__ import annotations

import faulthandler
import sys
import unittest
import warnings

from expected import DIFFERENT, NOT_APPLICABLE

NOT_THERE = 77
# A test that lasts longer hangs.
LIMIT_SECONDS = 180


def main(words):
    try:
        from cases import ALL
    except ImportError as error:
        print(f"not there: {error}")
        return NOT_THERE
    outcomes = {}
    for case in ALL:
        names = unittest.defaultTestLoader.getTestCaseNames(case)
        chosen = [
            name for name in names if not words or any(word in f"{case.__name__}.{name}" for word in words)
        ]
        run(case, chosen, outcomes)
    for name, (kind, reason) in sorted(outcomes.items()):
        print(f"{name:<70} {kind}{': ' if reason else ''}{reason}")
    kinds = [kind for kind, _ in outcomes.values()]
    for kind in sorted(set(kinds)):
        print(f"{kinds.count(kind):>5} {kind}")
    return int("FAILED" in kinds or "passes, and is expected to differ" in kinds)


def run(case, names, outcomes):
    """Runs tests of one class, as unittest does, and notes what becomes of each."""
    suite = unittest.TestSuite()
    for name in names:
        full = f"{case.__name__}.{name}"
        reason = reason_of(NOT_APPLICABLE, full)
        if reason is not None:
            outcomes[full] = ("not applicable", reason)
        else:
            suite.addTest(case(name))
    suite.run(Noted(outcomes))


def reason_of(reasons, full):
    return reasons.get(full, reasons.get(full.partition(".")[2]))


class Noted(unittest.TestResult):
    def __init__(self, outcomes):
        super().__init__()
        self.outcomes = outcomes

    def startTest(self, test):
        super().startTest(test)
        print(f"... {name_of(test)}", file=sys.stderr, flush=True)
        faulthandler.dump_traceback_later(LIMIT_SECONDS, exit=True)

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)

    def addSuccess(self, test):
        known = reason_of(DIFFERENT, name_of(test))
        self.note(test, "passed" if known is None else "passes, and is expected to differ", "")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note(test, "not applicable", reason)

    def addError(self, test, error):
        super().addError(test, error)
        reason = reason_of(DIFFERENT, name_of(test))
        if reason is not None:
            self.note(test, "differs", reason)
            return
        print(self._exc_info_to_string(error, test), file=sys.stderr, flush=True)
        self.note(test, "FAILED", f"{error[0].__name__}: {str(error[1]).splitlines()[:1]}")

    addFailure = addError

    def note(self, test, kind, reason):
        self.outcomes[name_of(test)] = (kind, reason)


def name_of(test):
    # What fails outside of a test is told as its class.
    method = getattr(test, "_testMethodName", None)
    return f"{type(test).__name__}.{method}" if method else str(test)


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    sys.exit(main(sys.argv[1:]))
