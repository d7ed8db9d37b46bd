"""The executor: futures of `concurrent.futures`, and what is more."""

from __future__ import annotations

import concurrent.futures
import gc
import os
import signal
import threading
import unittest
import weakref

import functions
import pipeline_zmq as pl
from support import LIMIT_SECONDS, Case


class Executors(Case):
    def test_it_is_an_executor_with_real_futures(self):
        with pl.Executor(2) as executor:
            self.assertIsInstance(executor, concurrent.futures.Executor)
            futures = [executor.submit(functions.square, n) for n in range(1_000)]
            self.assertIsInstance(futures[0], concurrent.futures.Future)
            done, waiting = concurrent.futures.wait(futures, LIMIT_SECONDS)
            self.assertEqual((len(done), len(waiting)), (1_000, 0))
            self.assertEqual([future.result() for future in futures], [n * n for n in range(1_000)])
            told = {future.result() for future in concurrent.futures.as_completed(futures)}
            self.assertEqual(told, {n * n for n in range(1_000)})

    def test_map_takes_iterables_that_never_end(self):
        import itertools

        with pl.Executor(2) as executor:
            results = executor.map(pow, itertools.count(), itertools.repeat(2))
            self.assertEqual([next(results) for _ in range(5)], [0, 1, 4, 9, 16])
            # An executor that ends finishes what was begun, and this has no end.
            results.close()

    def test_map_ends_in_time(self):
        folder = self.folder()
        with pl.Executor(1) as executor:
            results = executor.map(functions.wait_for, [str(folder / "go")], timeout=0.1)
            with self.assertRaises(concurrent.futures.TimeoutError):
                next(results)
            (folder / "go").touch()

    def test_what_goes_wrong_is_the_futures(self):
        with pl.Executor(1) as executor:
            for kind, future in [
                (ValueError, executor.submit(int, "a")),
                (TypeError, executor.submit(17)),
                (Exception, executor.submit(functions.identity, threading.Lock())),
                (Exception, executor.submit(functions.unpicklable)),
                (SystemExit, executor.submit(functions.leave)),
            ]:
                self.assertIsInstance(future.exception(LIMIT_SECONDS), kind)
            self.assertEqual(executor.submit(functions.square, 3).result(LIMIT_SECONDS), 9)

    def test_a_worker_that_dies_breaks_nothing(self):
        mark = str(self.folder() / "mark")
        with pl.Executor(1, crash_limit=1) as executor:
            crashed = executor.submit(functions.die, 1)
            self.assertIsInstance(crashed.exception(LIMIT_SECONDS), pl.Crashed)
            self.assertEqual(executor.submit(functions.square, 3).result(LIMIT_SECONDS), 9)
        with pl.Executor(1) as executor:
            self.assertEqual(executor.submit(functions.die_once, mark, 5).result(LIMIT_SECONDS), 5)

    def test_all_who_wait_for_one_call_are_told(self):
        gate = self.folder() / "open"
        with pl.Executor(1) as executor:
            future = executor.submit(functions.wait_for, gate, "here")
            behind = [executor.submit(functions.square, n) for n in range(100)]
            told = []
            future.add_done_callback(lambda future: told.append("callback"))
            waiters = [
                threading.Thread(target=lambda: told.append(future.result())),
                threading.Thread(target=lambda: told.append(future.exception())),
                threading.Thread(target=lambda: told.append(len(concurrent.futures.wait([future]).done))),
                threading.Thread(target=lambda: told.append(behind[50].result())),
            ]
            for waiter in waiters:
                waiter.start()
            # One that waited in vain has not taken what comes later.
            with self.assertRaises(concurrent.futures.TimeoutError):
                future.result(0.01)
            gate.touch()
            for waiter in waiters:
                waiter.join(LIMIT_SECONDS)
            self.assertEqual([future.result() for future in behind], [n * n for n in range(100)])
        self.assertEqual(sorted(map(str, told)), ["1", "2500", "None", "callback", "here"])

    def test_one_that_is_cancelled_is_not_waited_for_any_longer(self):
        gate = self.folder() / "open"
        with pl.Executor(1) as executor:
            future = executor.submit(functions.wait_for, gate)
            raised = []

            def wait():
                try:
                    future.result()
                except concurrent.futures.CancelledError as error:
                    raised.append(error)

            waiter = threading.Thread(target=wait)
            waiter.start()
            self.assertTrue(future.cancel())
            waiter.join(LIMIT_SECONDS)
            gate.touch()
            self.assertEqual(executor.submit(functions.square, 3).result(), 9)
        self.assertEqual(len(raised), 1)

    def test_one_that_is_broken_says_so_as_executors_do(self):
        with pl.Executor(1, initializer=functions.broken_init) as executor:
            error = executor.submit(functions.square, 3).exception(LIMIT_SECONDS)
            self.assertIsInstance(error, concurrent.futures.BrokenExecutor)
            self.assertIsInstance(error, pl.Broken)
            self.assertIn("no model here", str(error))
            with self.assertRaises(concurrent.futures.BrokenExecutor):
                executor.submit(functions.square, 3)

    def test_arguments_of_process_pool_executors_are_taken(self):
        import multiprocessing

        context = multiprocessing.get_context("spawn")
        with pl.Executor(1, context, functions.set_state, ("a", 5), max_tasks_per_child=100) as executor:
            self.assertEqual(executor.submit(functions.get_state, "a").result(LIMIT_SECONDS), 5)

    def test_what_a_manager_has_can_be_handed_over(self):
        import multiprocessing

        with multiprocessing.Manager() as manager, pl.Executor(1) as executor:
            shared = manager.list([1])
            self.assertIsNone(executor.submit(shared.append, 2).result(LIMIT_SECONDS))
            self.assertEqual(list(shared), [1, 2])

    def test_submit_waits_while_too_many_are_pending(self):
        folder = self.folder()
        with pl.Executor(1, max_pending=3) as executor:
            first = [executor.submit(functions.begin_and_wait, str(folder), n) for n in range(3)]
            fourth = []
            thread = threading.Thread(target=lambda: fourth.append(executor.submit(functions.square, 3)))
            thread.start()
            self.until(lambda: (folder / "began-0").exists(), "the first call")
            self.assertEqual(fourth, [])
            (folder / "go").touch()
            thread.join(LIMIT_SECONDS)
            self.assertEqual(fourth[0].result(LIMIT_SECONDS), 9)
            self.assertEqual([future.result() for future in first], [0, 1, 2])

    def test_a_callback_that_would_wait_for_itself_is_told_so(self):
        told = []
        with pl.Executor(1, max_pending=1) as executor:
            go = self.folder() / "go"

            def follow(_future):
                # The place of the one that is done is free; of two more one would wait.
                for _ in range(2):
                    try:
                        executor.submit(functions.wait_for, str(go))
                    except RuntimeError as error:
                        told.append(str(error))

            executor.submit(functions.square, 3).add_done_callback(follow)
            self.until(lambda: told, "the error")
            go.touch()
        self.assertIn("wait for itself", told[0])

    def test_a_pool_that_is_given_stays(self):
        with pl.Pool(1) as pool:
            with pool.executor() as executor:
                future = executor.submit(functions.square, 3)
            self.assertEqual(future.result(0), 9)
            with self.assertRaises(RuntimeError):
                executor.submit(functions.square, 3)
            self.assertEqual(pool.apply(functions.square, (2,)), 4)

    def test_one_that_is_forgotten_finishes_its_calls(self):
        executor = pl.Executor(1)
        futures = [executor.submit(functions.slow, n, 0.01) for n in range(20)]
        results = executor.map(functions.square, range(50))
        del executor
        gc.collect()
        self.assertEqual([future.result(LIMIT_SECONDS) for future in futures], list(range(20)))
        self.assertEqual(list(results), [n * n for n in range(50)])
        del results, futures
        self.no_workers_of(os.getpid())

    def test_nothing_keeps_a_function_that_nobody_has(self):
        with pl.Pool(1) as pool:
            counter = functions.Counter(3)
            gone = weakref.ref(counter)
            self.assertEqual(pool.map(counter.add, [1, 2]), [4, 5])
            self.assertEqual(pool.apply(counter.add, (1,)), 4)
            self.assertEqual(pool.map(counter, [2]), [6])
            del counter
            self.until(lambda: gc.collect() is not None and gone() is None, "the end of the object")
            self.assertEqual(pool.map(functions.square, [3]), [9])

    def test_a_program_that_ends_waits_for_its_calls(self):
        target = self.folder() / "written"
        told = self.script(
            f"""
import time
import pipeline_zmq as pl
def work(path):
    time.sleep(0.2)
    open(path, "w").close()
executor = pl.Executor(1)
executor.submit(work, {str(target)!r})
"""
            if pl_by_value
            else f"""
import pathlib
import pipeline_zmq as pl
executor = pl.Executor(1)
executor.submit(pathlib.Path.touch, pathlib.Path({str(target)!r}))
"""
        )
        self.assertEqual((told.returncode, told.stderr), (0, ""))
        self.assertTrue(target.exists())


class Asyncio(Case):
    def test_results_can_be_awaited(self):
        import asyncio

        async def main():
            with pl.Pool(2) as pool:
                self.assertEqual(await pool.apply_async(functions.square, (3,)), 9)
                self.assertEqual(await pool.amap(functions.square, range(100)), [n * n for n in range(100)])
                told = [result async for result in pool.aimap(functions.square, range(100))]
                self.assertEqual(told, [n * n for n in range(100)])
                many = await asyncio.gather(*(pool.apply_async(functions.square, (n,)) for n in range(200)))
                self.assertEqual(many, [n * n for n in range(200)])
                with self.assertRaises(KeyError):
                    await pool.apply_async(functions.fail_at, (1, 1))
                with self.assertRaises(ZeroDivisionError):
                    async for _ in pool.aimap((1).__truediv__, [1, 0]):
                        pass

        asyncio.run(main())

    def test_the_loop_goes_on_meanwhile(self):
        import asyncio

        folder = self.folder()

        async def main():
            with pl.Pool(1) as pool:
                call = pool.apply_async(functions.begin_and_wait, (str(folder), 5))
                turns = 0
                while not (folder / "began-5").exists():
                    await asyncio.sleep(0.01)
                    turns += 1
                (folder / "go").touch()
                return await call

        self.assertEqual(asyncio.run(main()), 5)

    def test_an_executor_serves_a_loop(self):
        import asyncio

        async def main():
            with pl.Executor(1) as executor:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(executor, functions.square, 7)

        self.assertEqual(asyncio.run(main()), 49)

    def test_coroutines_are_waited_for_in_workers(self):
        with pl.Pool(1) as pool:
            self.assertEqual(pool.map(coroutine, range(5)), [0, 2, 4, 6, 8])
        with pl.Pool(1, concurrency=50) as pool:
            folder = self.folder()
            # All of them are open at once: each waits for the last.
            items = [(str(folder), n, 50) for n in range(50)]
            self.assertEqual(pool.starmap(meet, items), list(range(50)))
            self.assertEqual(pool.map(functions.square, range(100)), [n * n for n in range(100)])


class Threads(Case):
    def test_many_threads_may_use_one_pool(self):
        wrong = []
        with pl.Pool(2) as pool:

            def use(start):
                for n in range(start, start + 20):
                    if pool.apply(functions.square, (n,)) != n * n:
                        wrong.append(n)
                told = pool.map(functions.square, range(start, start + 300))
                if told != [n * n for n in range(start, start + 300)]:
                    wrong.append(start)
                told = list(pool.imap(functions.add_one, range(start, start + 300)))
                if told != list(range(start + 1, start + 301)):
                    wrong.append(start)

            threads = [threading.Thread(target=use, args=(1_000 * n,)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(LIMIT_SECONDS)
                self.assertFalse(thread.is_alive())
        self.assertEqual(wrong, [])

    def test_two_pools_at_once(self):
        with pl.Pool(1) as one, pl.Pool(1) as other:
            pairs = zip(one.imap(functions.square, range(500)), other.imap(functions.add_one, range(500)))
            self.assertEqual(list(pairs), [(n * n, n + 1) for n in range(500)])
            self.assertFalse(set(one.workers().values()) & set(other.workers().values()))

    def test_a_worker_may_have_a_pool_of_its_own(self):
        with pl.Pool(1) as pool:
            self.assertEqual(pool.map(nested, [3, 4]), [[0, 1, 4], [0, 1, 4, 9]])

    def test_functions_run_on_the_main_thread_of_their_process(self):
        with pl.Pool(1) as pool:
            self.assertTrue(pool.apply(is_main))
            self.assertEqual(pool.apply(alarmed), "alarm")


class Output(Case):
    def test_what_workers_print_comes_in_whole_lines_with_their_names(self):
        told = self.script(PRINTS, "2")
        lines = told.stdout.splitlines()
        self.assertEqual(lines.count("done"), 1)
        lines.remove("done")
        self.assertEqual(len(lines), 400)
        self.assertEqual(
            {line.partition(": ")[2] for line in lines}, {f"{n} {'x' * 200}" for n in range(400)}
        )
        self.assertLessEqual({line.partition(": ")[0] for line in lines}, {"worker-1", "worker-2"})

    def test_of_a_single_worker_it_comes_as_it_is(self):
        told = self.script(PRINTS, "1")
        self.assertEqual(sorted(told.stdout.splitlines())[:1], [f"0 {'x' * 200}"])

    def test_warnings_and_logs_come_on_standard_error(self):
        told = self.script(
            """
import logging, sys, warnings
import pipeline_zmq as pl
def work(value):
    logging.getLogger("mine").warning("logged %s", value)
    warnings.warn("warned")
    sys.stderr.write("no end of line")
    return value
print(pl.map(work, [1], workers=1))
"""
            if pl_by_value
            else "import sys, pipeline_zmq as pl\npl.map(sys.stderr.write, ['logged 1 warned no end of line'], workers=1)\nprint([1])\n"
        )
        self.assertEqual(told.stdout, "[1]\n")
        for text in ("logged 1", "warned", "no end of line"):
            self.assertIn(text, told.stderr)


def _by_value():
    from support import cloudpickle

    return cloudpickle is not None


pl_by_value = _by_value()

PRINTS = """
import sys
import pipeline_zmq as pl
import functions
pl.map(functions.tell, range(400), workers=int(sys.argv[1]))
print("done")
"""


async def coroutine(value):
    import asyncio

    await asyncio.sleep(0)
    return 2 * value


async def meet(folder, number, count):
    import asyncio

    functions.write(os.path.join(folder, str(number)))
    for _ in range(LIMIT_SECONDS * 100):
        if len(os.listdir(folder)) == count:
            return number
        await asyncio.sleep(0.01)
    raise TimeoutError(f"{len(os.listdir(folder))} have come")


def nested(count):
    return pl.map(functions.square, range(count), workers=1)


def is_main():
    return threading.current_thread() is threading.main_thread()


def alarmed():
    class Alarm(Exception):
        pass

    def ring(*_):
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        while True:
            signal.pause()
    except Alarm:
        return "alarm"
    finally:
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    unittest.main()
