"""Calls of a service beside what people use for them: an integer squared by one of two workers, each result checked.

    python tests/rivals/bench.py [--rounds 3] [--only ours,celery] [--programs target/release]

Celery with Redis, Gearman (C client and workers), RabbitMQ (pika), NATS JetStream and RPyC, as PyPI and Debian have them. What
is not installed is SKIPPED. All run in turns on this machine; the median of the rounds counts. Each server is started here, on a
port that is free, with its data in a folder of its own, and ended.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time

HERE = pathlib.Path(__file__).resolve().parent
CALLS = 1_000
PIPELINED = 5_000


class Skipped(Exception):
    """Something that is needed is not here."""


def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def needs(*programs: str, modules: tuple[str, ...] = ()) -> None:
    paths = os.environ["PATH"] + ":/usr/sbin:/usr/lib/rabbitmq/bin"
    os.environ["PATH"] = paths
    missing = [name for name in programs if shutil.which(name) is None]
    missing += [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise Skipped(", ".join(missing))


def until(what: str, condition, limit: float = 40.0):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        with contextlib.suppress(Exception):
            found = condition()
            if found:
                return found
        time.sleep(0.05)
    raise RuntimeError(f"not within {limit} s: {what}")


def listens(at: int) -> bool:
    with socket.create_connection(("127.0.0.1", at), timeout=1):
        return True


class Place:
    """A folder and processes, which go with it."""

    def __init__(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rivals-"))
        self.processes: list[subprocess.Popen] = []

    def start(self, *command: str, **env: str) -> subprocess.Popen:
        log = open(self.folder / f"log-{len(self.processes)}", "wb")
        process = subprocess.Popen(
            command, cwd=self.folder, env=os.environ | env, stdout=log, stderr=log, start_new_session=True
        )
        self.processes.append(process)
        return process

    def write(self, name: str, text: str) -> pathlib.Path:
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return path

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *_) -> None:
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def measured(call, pipelined) -> dict[str, float]:
    """`call(n)` gives n * n; `pipelined(count)` gives the squares of so many."""
    for number in range(50):
        assert call(number) == number * number
    times = []
    for number in range(CALLS):
        start = time.perf_counter()
        square = call(number)
        times.append((time.perf_counter() - start) * 1e6)
        assert square == number * number
    start = time.perf_counter()
    squares = pipelined(PIPELINED)
    seconds = time.perf_counter() - start
    assert squares == [number * number for number in range(PIPELINED)]
    times.sort()
    return {"p50": times[CALLS // 2], "p99": times[CALLS * 99 // 100], "per_s": PIPELINED / seconds}


def ours(accept: str, run: str, programs: pathlib.Path):
    def measure(place: Place) -> dict[str, float]:
        needs(modules=("pipeline_zmq",))
        import pipeline_zmq as pl

        place.write("squares.toml", f"""
            name = "bench-squares-{os.getpid()}"
            source = {{ kind = "service", accept = "{accept}" }}
            [[stage]]
            name = "square"
            {run}
            workers = 2
        """)
        place.start(str(programs / "pipeline"), "up", "squares.toml")
        svc = until("the service is there", lambda: pl.connect(f"bench-squares-{os.getpid()}"))
        until("it has workers", lambda: svc.call(2) == 4)
        with svc:
            return measured(svc.call, lambda count: list(svc.map(range(count))))

    return measure


def celery(place: Place) -> dict[str, float]:
    needs("redis-server", modules=("celery", "redis"))
    at = port()
    place.start("redis-server", "--port", str(at), "--appendonly", "yes", "--appendfsync", "always", "--dir", str(place.folder))
    until("redis listens", lambda: listens(at))
    place.write("tasks.py", f"""
        from celery import Celery
        app = Celery("tasks", broker="redis://127.0.0.1:{at}/0", backend="redis://127.0.0.1:{at}/1")
        app.conf.task_acks_late = True
        @app.task
        def square(number):
            return number * number
    """)
    place.start(sys.executable, "-m", "celery", "-A", "tasks", "worker", "-c", "2", "--loglevel", "error")
    sys.path.insert(0, str(place.folder))
    sys.modules.pop("tasks", None)
    try:
        import tasks

        until("a worker answers", lambda: tasks.square.delay(2).get(timeout=5) == 4)
        def pipelined(count):
            return [result.get(timeout=60) for result in [tasks.square.delay(n) for n in range(count)]]
        return measured(lambda number: tasks.square.delay(number).get(timeout=10), pipelined)
    finally:
        sys.path.pop(0)


def gearman(place: Place) -> dict[str, float]:
    needs("gearmand", "cc")
    for name in ("gearman_client", "gearman_worker"):
        command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", place.folder / name, HERE / f"{name}.c", "-lgearman"]
        if subprocess.run(command, capture_output=True).returncode != 0:
            raise Skipped("libgearman-dev")
    at = port()
    place.start("gearmand", "--port", str(at), "--listen", "127.0.0.1", "--log-file", "none")
    until("gearmand listens", lambda: listens(at))
    for _ in range(2):
        place.start(str(place.folder / "gearman_worker"), str(at))
    command = [place.folder / "gearman_client", str(at), str(CALLS), str(PIPELINED)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.split()
    return dict(zip(("p50", "p99", "per_s"), map(float, told)))


def rabbit(place: Place) -> dict[str, float]:
    needs("rabbitmq-server", modules=("pika",))
    import pika

    at, dist = port(), port()
    node = {
        "RABBITMQ_NODENAME": f"bench{os.getpid()}@localhost", "RABBITMQ_NODE_PORT": str(at),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_DIST_PORT": str(dist), "RABBITMQ_BASE": str(place.folder),
        "RABBITMQ_MNESIA_BASE": str(place.folder / "mnesia"), "RABBITMQ_LOG_BASE": str(place.folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(place.folder / "plugins"), "RABBITMQ_PID_FILE": str(place.folder / "pid"),
        "HOME": str(place.folder),
    }
    place.start("/usr/lib/rabbitmq/bin/rabbitmq-server", **node)
    parameters = pika.ConnectionParameters("127.0.0.1", at)
    connection = until("rabbitmq answers", lambda: pika.BlockingConnection(parameters), 90)
    place.write("worker.py", f"""
        import pika
        channel = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", {at})).channel()
        channel.queue_declare("square", durable=True)
        channel.basic_qos(prefetch_count=100)
        def on(channel, method, properties, body):
            kept = pika.BasicProperties(correlation_id=properties.correlation_id, delivery_mode=2)
            channel.basic_publish("", properties.reply_to, str(int(body) ** 2).encode(), kept)
            channel.basic_ack(method.delivery_tag)
        channel.basic_consume("square", on)
        channel.start_consuming()
    """)
    for _ in range(2):
        place.start(sys.executable, "worker.py")
    channel = connection.channel()
    channel.queue_declare("square", durable=True)
    replies = f"replies-{os.getpid()}"
    channel.queue_declare(replies, durable=True)
    channel.confirm_delivery()
    found: dict[str, int] = {}
    channel.basic_consume(replies, lambda _c, _m, p, body: found.__setitem__(p.correlation_id, int(body)), auto_ack=True)

    def send(number: int, name: str) -> None:
        kept = pika.BasicProperties(reply_to=replies, correlation_id=name, delivery_mode=2)
        channel.basic_publish("", "square", str(number).encode(), kept)

    def call(number: int) -> int:
        name = f"c{number}-{time.perf_counter_ns()}"
        send(number, name)
        while name not in found:
            connection.process_data_events(time_limit=5)
        return found.pop(name)

    def pipelined(count: int) -> list[int]:
        for number in range(count):
            send(number, f"p{number}")
        while len(found) < count:
            connection.process_data_events(time_limit=5)
        return [found.pop(f"p{number}") for number in range(count)]

    until("a worker answers", lambda: call(2) == 4)
    return measured(call, pipelined)


def nats(place: Place) -> dict[str, float]:
    needs("nats-server", modules=("nats",))
    import nats as library

    at = port()
    place.start("nats-server", "-a", "127.0.0.1", "-p", str(at), "-js", "-sd", str(place.folder / "js"))
    until("nats listens", lambda: listens(at))
    place.write("worker.py", f"""
        import asyncio, nats
        async def main():
            nc = await nats.connect("nats://127.0.0.1:{at}")
            js = nc.jetstream()
            sub = await js.pull_subscribe("square", durable="workers")
            while True:
                try:
                    messages = await sub.fetch(100, timeout=1)
                except nats.errors.TimeoutError:
                    continue
                for message in messages:
                    await nc.publish(message.headers["reply"], str(int(message.data) ** 2).encode())
                    await message.ack()
        asyncio.run(main())
    """)
    loop = asyncio.new_event_loop()
    found: dict[str, asyncio.Future] = {}

    async def begin():
        nc = await library.connect(f"nats://127.0.0.1:{at}")
        js = nc.jetstream()
        await js.add_stream(name="squares", subjects=["square"])

        async def on(message):
            found.pop(message.subject).set_result(int(message.data))

        await nc.subscribe("answer.*", cb=on)
        return nc, js

    nc, js = loop.run_until_complete(begin())
    for _ in range(2):
        place.start(sys.executable, "worker.py")

    async def ask(number: int, name: str) -> int:
        found[f"answer.{name}"] = loop.create_future()
        future = found[f"answer.{name}"]
        await js.publish("square", str(number).encode(), headers={"reply": f"answer.{name}"})
        return await future

    async def many(count: int) -> list[int]:
        gate = asyncio.Semaphore(500)

        async def one(number: int) -> int:
            async with gate:
                return await ask(number, f"p{number}")

        return await asyncio.gather(*(one(number) for number in range(count)))

    def call(number: int) -> int:
        return loop.run_until_complete(asyncio.wait_for(ask(number, f"c{time.perf_counter_ns()}"), 10))

    until("a worker answers", lambda: call(2) == 4)
    try:
        return measured(call, lambda count: loop.run_until_complete(many(count)))
    finally:
        loop.run_until_complete(nc.close())


def rpyc(place: Place) -> dict[str, float]:
    needs(modules=("rpyc",))
    import rpyc as library

    at = port()
    place.write("server.py", f"""
        import rpyc
        from rpyc.utils.server import ForkingServer
        class Squares(rpyc.Service):
            def exposed_square(self, number):
                return number * number
        ForkingServer(Squares, hostname="127.0.0.1", port={at}).start()
    """)
    place.start(sys.executable, "server.py")
    until("the server listens", lambda: listens(at))
    connection = library.connect("127.0.0.1", at)
    later = library.async_(connection.root.square)

    def pipelined(count: int) -> list[int]:
        results = [later(number) for number in range(count)]
        for result in results:
            result.wait()
        return [result.value for result in results]

    return measured(connection.root.square, pipelined)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", default="")
    arguments.add_argument("--programs", type=pathlib.Path, default=HERE.parents[1] / "target/release")
    arguments.add_argument("--output", choices=["text", "json"], default="text")
    given = arguments.parse_args()
    programs = given.programs.resolve()
    python = 'python = "def work(value):\\n    return value * value"'
    rivals = {
        "ours, durable": ours("durable", 'run = "square"', programs),
        "ours, memory": ours("memory", 'run = "square"', programs),
        "ours, durable, function in Python": ours("durable", python, programs),
        "Celery, Redis (fsync)": celery,
        "Gearman, in memory (C)": gearman,
        "RabbitMQ, durable (pika)": rabbit,
        "NATS JetStream (nats-py)": nats,
        "RPyC, keeps nothing": rpyc,
    }
    wanted = [word.strip().lower() for word in given.only.split(",") if word.strip()]
    figures: dict[str, list[dict[str, float]]] = {}
    for turn in range(given.rounds):
        for name, measure in rivals.items():
            if wanted and not any(name.lower().startswith(word) for word in wanted):
                continue
            try:
                with Place() as place:
                    figures.setdefault(name, []).append(measure(place))
            except Skipped as missing:
                if turn == 0:
                    print(f"{name}: SKIPPED, not here: {missing}", file=sys.stderr)
    medians = {
        name: {key: statistics.median(one[key] for one in rounds) for key in ("p50", "p99", "per_s")}
        for name, rounds in figures.items()
        if rounds
    }
    if given.output == "json":
        print(json.dumps(medians, indent=2))
        return
    print(f"{'':36}{'p50 µs':>10}{'p99 µs':>10}{'pipelined/s':>14}")
    for name, figure in medians.items():
        print(f"{name:36}{figure['p50']:10,.0f}{figure['p99']:10,.0f}{figure['per_s']:14,.0f}")


if __name__ == "__main__":
    main()
