"""Tests of CPython that say something else of pools than this package does, each with its reason.

A name is that of the class and the test, or of the test alone.
"""

# Not run: they are about something that is not there.
NOT_APPLICABLE = {}

# Run, and expected to fail.
DIFFERENT = {}
