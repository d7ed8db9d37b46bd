# Many units at once; see python_many.rs for the protocol. Stands behind harness.py.

import asyncio
import collections
import contextvars
import queue
import threading
import time

UNIT = contextvars.ContextVar("pipeline_unit")
THREADS_MAX = 64
# A line of answers holds so many at most, and no others beside a large one.
ANSWERS_MAX = 512
LARGE_CHARS = 1 << 20
# A loop that does not turn for so long is told of.
BLOCKED_SECONDS = 1.0
# Results that are one output, as most are.
PLAIN = frozenset([int, float, str, bool, dict, list])
GLOBAL_NAMES = ("PIPELINE_UNIT", "PIPELINE_ATTEMPT")


def pipeline_unit():
    """The name and the attempt of the unit that the caller is working on."""
    return UNIT.get()


class Answers:
    """What goes to the worker, from whichever thread."""

    def __init__(self, fd):
        self.fd = fd
        self.lock = threading.Lock()

    def write(self, data):
        with self.lock:
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self.fd, view) :]
            except BrokenPipeError:
                # The worker is gone.
                os._exit(0)

    def tell(self, done):
        for start in range(0, len(done), ANSWERS_MAX):
            self.write(lines_of(done[start : start + ANSWERS_MAX]))


def lines_of(done):
    """One line for all of them, unless one has no form or they are large."""
    try:
        line = encode(done)
        if (len(line) <= LARGE_CHARS or len(done) == 1) and not may_be_too_long(line):
            return line
    except Exception:
        pass
    return b"".join(map(line_of, done))


def line_of(answer):
    unit, outputs = answer
    if isinstance(outputs, str):
        return encode([answer])
    return encode_outputs(outputs, lambda said: [[unit, said]])


class Requests:
    """Lines from the worker, in whichever pieces they come."""

    def __init__(self, fd):
        self.fd = fd
        self.rest = b""
        # What came together with the first line.
        self.ahead = []

    def first(self):
        """The first line; nothing if there is none."""
        while not self.ahead:
            lines = self.read()
            if lines is None:
                return None
            self.ahead.extend(lines)
        return self.ahead.pop(0)

    def read(self):
        """The lines that have come whole; nothing at the end."""
        data = os.read(self.fd, 1 << 20)
        if not data:
            return None
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [json.loads(line) for line in lines]


def is_generator(work):
    """Whether an `async def` has a `yield`."""
    return bool(work.__code__.co_flags & 0x200)


async def gathered(results, outputs_max):
    """The outputs of an async generator."""
    outputs = []
    try:
        async for output in results:
            outputs.append(output)
            if len(outputs) > outputs_max:
                raise OverflowError(f"more than {outputs_max} outputs of one unit (the limit expansion_units_max)")
    finally:
        await results.aclose()
    return outputs


class Loop:
    """Units in one event loop: as many coroutines as units may be open work through one queue."""

    def __init__(self, work, concurrency, outputs_max, requests, answers, words):
        self.work, self.concurrency, self.outputs_max = work, concurrency, outputs_max
        self.requests, self.answers, self.words = requests, answers, words
        self.items = collections.deque()
        self.waiters = collections.deque()
        self.consumers = []
        self.open = {}
        self.done = []
        self.beat = time.monotonic()

    async def run(self):
        self.loop = asyncio.get_running_loop()
        self.ended = self.loop.create_future()
        self.loop.add_reader(self.requests.fd, self.readable)
        self.take(self.requests.ahead)
        self.turn()
        threading.Thread(target=self.watch, args=(threading.get_ident(),), daemon=True).start()
        await self.ended

    def readable(self):
        lines = self.requests.read()
        if lines is None:
            self.loop.remove_reader(self.requests.fd)
            # What is open is of no interest to anybody.
            return self.ended.done() or self.ended.set_result(None)
        self.take(lines)

    def take(self, lines):
        for line in lines:
            if isinstance(line, dict):
                self.cancel(line["cancel"])
            else:
                self.items.extend(line)
        self.call_consumers()

    def call_consumers(self):
        wanted = len(self.items)
        while wanted and self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                wanted -= 1
        while wanted and len(self.consumers) < self.concurrency:
            self.consumers.append(self.loop.create_task(self.consume()))
            wanted -= 1

    def cancel(self, unit):
        if unit in self.open:
            self.open[unit][0].cancel()
        else:
            self.items = collections.deque(item for item in self.items if item[0] != unit)

    async def consume(self):
        task = asyncio.current_task()
        work, is_open, outputs_max = self.work, self.open, self.outputs_max
        generates = is_generator(work)
        while True:
            while not self.items:
                waiter = self.loop.create_future()
                self.waiters.append(waiter)
                await waiter
            unit, name, attempt, value = self.items.popleft()
            UNIT.set((name, attempt))
            is_open[unit] = (task, name)
            try:
                if generates:
                    outputs = await gathered(work(value), outputs_max)
                else:
                    result = await work(value)
                    outputs = [result] if type(result) in PLAIN else outputs_of(result, outputs_max)
            except GeneratorExit:
                raise
            except BaseException as error:
                if self.ended.done():
                    raise
                outputs = with_words(remote(error, 1), self.words.end(name))
                while hasattr(task, "uncancel") and task.cancelling():
                    task.uncancel()
            del is_open[unit]
            self.words.end(name)
            if not self.done:
                # All that finish in this turn are told together.
                self.loop.call_soon(self.tell)
            self.done.append([unit, outputs])

    def tell(self):
        done, self.done = self.done, []
        self.answers.tell(done)

    def turn(self):
        self.beat = time.monotonic()
        self.loop.call_later(BLOCKED_SECONDS / 4, self.turn)

    def watch(self, main):
        """Tells of a loop that does not turn, once each time."""
        told = None
        while True:
            slept = time.monotonic()
            time.sleep(BLOCKED_SECONDS / 4)
            now, beat = time.monotonic(), self.beat
            # A process that was stopped as a whole is not a loop that is blocked.
            was_stopped = now - slept > BLOCKED_SECONDS
            if was_stopped or now - beat < BLOCKED_SECONDS or told == beat:
                continue
            told = beat
            frame = sys._current_frames().get(main)
            if frame is None:
                continue
            task = asyncio.current_task(self.loop)
            names = [name for known, name in list(self.open.values()) if known is task]
            stack = traceback.extract_stack(frame)
            # What leads to the source is asyncio's and this harness's.
            own = [place for place, line in enumerate(stack) if line.filename == sys.modules[MODULE].__file__]
            stack = "".join(traceback.format_list(stack[own[0] if own else 0 :]))
            blocked = {"blocked": now - beat, "unit": names[0] if names else "", "stack": stack.rstrip()[-4000:]}
            self.answers.write(json.dumps(blocked).encode() + b"\n")


class Threads:
    """Units in threads, each of which works on one after the other."""

    def __init__(self, work, concurrency, outputs_max, requests, answers, words):
        self.work, self.concurrency, self.outputs_max = work, concurrency, outputs_max
        self.requests, self.answers, self.words = requests, answers, words
        self.items = queue.SimpleQueue()
        self.done = queue.SimpleQueue()

    def run(self):
        threading.Thread(target=self.tell, daemon=True).start()
        threads = 0
        lines = self.requests.ahead
        while lines is not None:
            for line in lines:
                # A thread cannot be told to let go of its unit.
                for item in line if isinstance(line, list) else ():
                    self.items.put(item)
                    if threads < self.concurrency:
                        threads += 1
                        threading.Thread(target=self.consume, daemon=True).start()
            lines = self.requests.read()

    def consume(self):
        while True:
            unit, name, attempt, value = self.items.get()
            UNIT.set((name, attempt))
            try:
                outputs = outputs_of(self.work(value), self.outputs_max)
            except BaseException as error:
                outputs = with_words(remote(error, 1), self.words.end(name))
            self.words.end(name)
            self.done.put([unit, outputs])

    def tell(self):
        while True:
            done = [self.done.get()]
            while len(done) < ANSWERS_MAX and not self.done.empty():
                done.append(self.done.get())
            self.answers.tell(done)


def many():
    requests, answers = Requests(os.dup(0)), Answers(os.dup(1))
    keep_apart()
    words = Words(lambda: UNIT.get(("",))[0])
    opening = requests.first()
    if opening is None:
        return
    try:
        source = opening["source"]
        for name in GLOBAL_NAMES:
            if name in source:
                raise NameError(f"{name} is the name of one unit, and many are open at once: call pipeline_unit(), which gives (unit, attempt)")
        space = load(source, opening["path"], pipeline_unit)
    except BaseException as error:
        answers.write(encode(with_words(remote(error, 2), words.end(""))))
        return
    concurrency, work = opening["concurrency"], space["work"]
    if is_async(work):
        answers.write(encode(concurrency))
        return asyncio.run(Loop(work, concurrency, opening["outputs_max"], requests, answers, words).run())
    concurrency = min(concurrency, int(space.get("PIPELINE_THREADS_MAX", THREADS_MAX)))
    answers.write(encode(concurrency))
    Threads(work, concurrency, opening["outputs_max"], requests, answers, words).run()
    # Threads go on for as long as they like, and nobody waits for them.
    os._exit(0)
