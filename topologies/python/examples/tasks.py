"""What the workers of tasks.toml do: functions by their names, ordinary ones, which know nothing of a queue."""

import pipeline_zmq as pl


def add(a, b):
    """What Celery's first example does."""
    return a + b


def report(user):
    """Works at the third attempt, as something does that asks a server which has just been started."""
    attempt = pl.unit().attempt
    if attempt < 3:
        raise ConnectionError(f"the server is not up yet (attempt {attempt})")
    return f"report for {user}, at attempt {attempt}"


def refuse(reason):
    """Fails however often it is tried."""
    raise ValueError(reason)


TASKS = {task.__name__: task for task in (add, report, refuse)}


def run(job):
    """The stage's function: ``{"task": name, "args": [...]}``."""
    return TASKS[job["task"]](*job["args"])
