"""A stage's Python source as a module.

Owns how source is run once, and what may be its function: the same for the harnesses, which `python3 -c` is
given behind this, and for workers of the Python package. Refuses to call the function.
"""

import linecache
import os
import sys
import types
from importlib.machinery import ModuleSpec

MODULE = "stage"
# What source is called in tracebacks that is from no file.
UNNAMED = "<python>"
# `async def` and `async def` with `yield`, as `inspect` knows them, which takes long to import.
ASYNCHRONOUS = 0x80 | 0x200
NOBODY_AWAITS = "nobody awaits it here: give the stage a `concurrency` above 1, or make `work` a plain `def`, which may call asyncio.run(...)"


def is_async(work):
    """Whether it is an `async def`."""
    code = getattr(work, "__code__", None)
    return code is not None and bool(code.co_flags & ASYNCHRONOUS)


def load(source, path, pipeline_unit):
    """The namespace of the stage's source, run once.

    It is that of a module like any other, which dataclasses, pickle and others look up by its name. If it is from
    a file, `path`, others beside that can be imported, as by a script; tracebacks name it.
    """
    name = path or UNNAMED
    if path is not None:
        sys.path.insert(0, os.path.dirname(name))
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    module = types.ModuleType(MODULE)
    module.__file__ = name
    module.__spec__ = ModuleSpec(MODULE, None, origin=name)
    module.pipeline_unit = pipeline_unit
    sys.modules[MODULE] = module
    if "multiprocessing" in source or "ProcessPool" in source:
        # Only a fork has this module; from a file it could not be imported.
        import multiprocessing

        multiprocessing.set_start_method("fork", force=True)
    exec(compile(source, name, "exec"), module.__dict__)
    work = module.__dict__.get("work")
    if not callable(work):
        raise NameError("the source defines no function `work(value)`")
    return module.__dict__


def refuse_async(work):
    """Raises if it is an `async def`, where units are worked on one after the other."""
    if is_async(work):
        raise TypeError(f"`work` is an `async def`, and {NOBODY_AWAITS}")
