"""Submits tasks to tasks.toml, and comes back for what became of them by their tickets.

    pipeline up tasks.toml &
    python tasks_client.py [SERVICE]

Tasks that raise are tried again by the service, as its topology says (``retries``, ``backoff``); what fails for good
raises here, and tells its attempts.
"""

import sys

import pipeline_zmq as pl


def delay(service, task, *args, **terms):
    """Celery's ``task.delay(*args)``: a ticket's text, which is Celery's id of a task."""
    job = {"task": task, "args": list(args)}
    return str(service.submit(job, wait_for_workers=True, **terms))


def main(name="tasks"):
    with pl.connect(name) as service:
        ids = [
            delay(service, "add", 2, 3),
            delay(service, "report", "ada", priority=9),
            delay(service, "refuse", "no such account"),
            # However often it is submitted, it is one task as long as it is not done.
            delay(service, "add", 40, 2, unique="nightly", delay=0.2),
        ]

    # Any process may ask, as long as outcomes are kept (`retain`).
    with pl.connect(name) as service:
        for ticket in map(service.ticket, ids):
            try:
                print("done:", ticket.get(timeout=60))
            except pl.UnitError as error:
                print(f"failed after {error.attempts} attempts: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
