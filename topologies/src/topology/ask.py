"""Asked of an interpreter: what Python source, or a module, defines. Imports nothing of the user's.

Reads one object of JSON from standard input, and prints one as its last line.
"""

import sys

# What lies in the current folder may be called like something of Python's own.
if sys.path and sys.path[0] == "":
    del sys.path[0]

import ast
import importlib.util
import json

# What calls these may define names that nobody can see.
OPAQUE = {"exec", "globals", "vars", "locals", "setattr"}


def defined(statements, names):
    """Adds what these statements define at their own level; whether that is all."""
    known = True
    for node in statements:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            known &= node.name != "__getattr__" and within(node, names)
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                names.add((alias.asname or alias.name).partition(".")[0])
                known &= alias.name != "*"
            continue
        for field, value in ast.iter_fields(node):
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, ast.stmt):
                    known &= defined([inner], names)
                elif isinstance(inner, (ast.ExceptHandler, getattr(ast, "match_case", ast.ExceptHandler))):
                    known &= defined(inner.body, names)
                elif isinstance(inner, ast.AST):
                    known &= assigned(inner, names)
    return known


def within(node, names):
    """Adds what a function or a class says of names outside of it; whether that is all that it can define."""
    known = True
    for inner in ast.walk(node):
        if isinstance(inner, ast.Global):
            names.update(inner.names)
        known &= not isinstance(inner, ast.Name) or inner.id not in ("exec", "globals")
    return known


def assigned(expression, names):
    """Adds the names that an expression stores; whether that is all that it can define."""
    known = True
    for node in ast.walk(expression):
        if isinstance(node, ast.Name):
            known &= node.id not in OPAQUE
            if isinstance(node.ctx, ast.Store):
                names.add(node.id)
    return known


def read(source):
    """The names that source defines at its top level, or why it cannot be compiled."""
    try:
        # Some mistakes are found only behind the tree.
        compile(source, "<python>", "exec", dont_inherit=True)
        names = set()
        known = defined(ast.parse(source).body, names)
    except SyntaxError as error:
        ends = [getattr(error, "end_lineno", None), getattr(error, "end_offset", None)]
        return {"mistake": error.msg, "from": [error.lineno, error.offset], "to": ends}
    except (ValueError, RecursionError, MemoryError) as error:
        return {"mistake": str(error) or type(error).__name__}
    return {"names": sorted(names), "known": known}


def find(name, path):
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None


def find_module(name, path):
    """The spec of a module without a look into what is around it, or the name of what is missing."""
    spec, parts = None, name.split(".")
    for count in range(1, len(parts) + 1):
        if spec is not None and path is None:
            return None, ".".join(parts[:count])
        spec = find(".".join(parts[:count]), path)
        if spec is None:
            return None, ".".join(parts[:count])
        path = spec.submodule_search_locations
        if path is not None:
            # A folder without `__init__.py` asks what it is in, which nobody has imported.
            package = type(sys)(".".join(parts[:count]))
            package.__path__ = path
            sys.modules.setdefault(package.__name__, package)
    return spec, None


def look_up(name, folder):
    """What a module defines that is looked for in this folder first, where nothing is imported from."""
    path = [folder, *sys.path]
    spec, missing = find_module(name, path)
    if missing:
        return {"missing": missing}
    # A folder is a module without anything in it.
    is_folder = spec.origin is None and spec.submodule_search_locations is not None
    answer = {"names": [], "known": is_folder, "package": find_module("pipeline_zmq", path)[0] is not None}
    if spec.has_location and spec.origin and spec.origin.endswith(".py"):
        with open(spec.origin, "rb") as file:
            source = importlib.util.decode_source(file.read())
        answer.update(read(source), file=spec.origin)
        if "mistake" in answer:
            answer["text"] = source
    return answer


def main():
    question = json.loads(sys.stdin.buffer.read())
    answer = read(question["source"]) if "source" in question else look_up(question["module"], question["folder"])
    answer["version"] = "{}.{}".format(*sys.version_info)
    print("\n" + json.dumps(answer))


main()
