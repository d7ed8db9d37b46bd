"""A call that is not waited for: is it ready, and what is its value? RPyC's async_ without a connection to lose.

    pipeline up async_call.toml &
    python async_call.py [SERVICE]

A ticket is RPyC's AsyncResult: ``ready()``, ``wait(timeout)``, ``value``. Other than there, it has a text by which any
process can ask for the value later.
"""

import asyncio
import sys

import pipeline_zmq as pl


async def several(service):
    return await asyncio.gather(*(service.submit(number) for number in (3, 4, 5)))


def main(name="slow-square"):
    with pl.connect(name) as service:
        ticket = service.submit(12, wait_for_workers=True)
        print("ready:", ticket.ready())
        print("value:", ticket.value)  # blocks until it is there
        print("ready:", ticket.ready())

        text = str(service.submit(7))  # "run/number": for a database, another program, tomorrow
        print("by its text:", service.ticket(text).get(timeout=30))

        print("awaited:", asyncio.run(several(service)))


if __name__ == "__main__":
    main(*sys.argv[1:])
