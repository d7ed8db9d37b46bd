"""Services, from their callers' side: what goes and comes, what is raised, and how a caller leaves."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import os
import signal
import tempfile
import threading
import unittest
import unittest.mock
from pathlib import Path

import pipeline_zmq as pl
from services import ServiceCase, service_is_there, topology
from support import LIMIT_SECONDS, free_ports


class Outcomes(ServiceCase):
    def test_values_go_and_come_as_they_are(self):
        service = self.service()
        deep = {"a": [1, None, True, 2.5, "ü", {"b": [[]]}], "": -(1 << 63)}
        for value in (None, 0, -1, (1 << 64) - 1, 1.5, "text", deep):
            self.assertEqual(service.call(value), value)

    def test_bytes_reach_a_worker_as_bytes(self):
        service = self.service("kind")
        self.assertEqual(service.call(b"\0" * 100_000), ["bytes", 100_000])

    def test_what_is_not_plain_says_its_type_and_its_place(self):
        service = self.service("kind")
        for value, told in {
            (): "value is a tuple",
            "s": r"value\['a'\]\[1\] is a set",
            1: r"value\[0\] is a int of more than 64 bits",
            2: r"the key 3 of value is a int",
            3: "value is a test_services.Odd",
        }.items():
            made = {"s": {"a": [1, {2}]}, 1: [1 << 64], 2: {3: 4}, 3: Odd()}.get(value, value)
            with self.subTest(told), self.assertRaisesRegex(TypeError, told):
                service.submit(made)
        itself = []
        itself.append(itself)
        for submit in (service.submit, service.call, lambda value: list(service.map([value]))):
            with self.assertRaisesRegex(TypeError, "in itself"):
                submit(itself)

    def test_with_the_other_codec_anything_travels_to_workers_of_this_package(self):
        service = self.connect(self.shared("kind"), codec="auto")
        self.assertEqual(service.call((1, 2), wait_for_workers=True), ["tuple", 2])
        self.assertEqual(service.call({1, 2, 3}), ["set", 3])

    def test_several_values_are_a_list_and_none_is_none(self):
        service = self.service()
        self.assertEqual(service.call(["many", 1, "two", [3]]), [1, "two", [3]])
        self.assertIsNone(service.call(["none"]))
        self.assertIsNone(service.call(["many"]))

    def test_outputs_of_a_stage_that_streams_come_while_it_goes_on(self):
        with tempfile.TemporaryDirectory(prefix="pipeline-test-") as folder:
            path = Path(folder, "service.toml")
            path.write_text(topology("counted") + "stream = true\n")
            service = self.connect(self.up_file(path))
            outputs = service.stream([folder, 4], LIMIT_SECONDS, wait_for_workers=True)
            self.assertEqual(next(outputs), 0)
            with self.assertRaises(TimeoutError):
                next(service.submit([folder, 2]).stream(0))
            for number in (1, 2, 3):
                Path(folder, str(number)).touch()
                self.assertEqual(next(outputs), number)
            self.assertEqual(list(outputs), [])
            ticket = service.submit([folder, 3])
            self.assertEqual((list(ticket.stream()), ticket.get(), list(ticket.stream())), ([0, 1, 2],) * 3)
            with self.assertRaisesRegex(pl.UnitError, "nothing to count"):
                list(service.stream([folder, 0]))

    def test_outputs_of_any_other_stage_come_with_the_outcome(self):
        service = self.service()
        self.assertEqual(list(service.stream(["many", 1, "two", [3]])), [1, "two", [3]])
        self.assertEqual((list(service.stream(7)), list(service.stream(["none"]))), ([7], []))

    def test_a_unit_that_failed_raises_and_tells_its_story(self):
        service = self.service()
        with self.assertRaises(pl.UnitError) as raised:
            service.call(["raise", "no\n  way"])
        error = raised.exception
        self.assertEqual(str(error), "ValueError: no\n  way")
        self.assertEqual((error.stage, error.attempts, error.input), (0, 2, ["raise", "no\n  way"]))
        self.assertEqual((type(error.unit), error.type_name), (int, "ValueError"))
        self.assertIn("in serve", error.traceback)
        self.assertIn("in serve", str(error.__cause__))
        with self.assertRaises(pl.Crashed):
            service.call(["die"])
        self.assertEqual(service.call(5, wait_for_workers=True), 5)


class Odd:
    pass


class Tickets(ServiceCase):
    def test_a_ticket_tells_when_and_what(self):
        service = self.service()
        go = self.folder() / "go"
        ticket = service.submit(["wait", str(go)])
        self.assertEqual((ticket.ready(), ticket.wait(0)), (False, False))
        with self.assertRaises(TimeoutError):
            ticket.get(0.01)
        go.touch()
        self.assertTrue(ticket.wait(LIMIT_SECONDS))
        self.assertTrue(ticket.ready())
        self.assertEqual(ticket.get(), ticket.value)
        self.assertEqual(repr(ticket), f"<Ticket {ticket}>")
        self.assertEqual(str(ticket).partition("/")[2], str(ticket.id))

    def test_its_text_gives_the_outcome_to_another_client_once(self):
        name = self.shared()
        text = str(self.connect(name).submit(5, wait_for_workers=True))
        other = self.connect(name)
        self.assertEqual(other.ticket(text).get(LIMIT_SECONDS), 5)

        def is_gone():
            try:
                self.connect(name).ticket(text).get(LIMIT_SECONDS)
            except pl.Expired:
                return True

        self.until(is_gone, "the outcome's end")
        with self.assertRaisesRegex(pl.Expired, "another run"):
            other.ticket("0123456789abcdef/1")
        with self.assertRaisesRegex(ValueError, "no ticket"):
            other.ticket("nonsense")

    def test_a_cancelled_unit_is_dead_unless_it_has_begun(self):
        service = self.service()
        go = self.folder() / "go"
        begun = service.submit(["wait", str(go)])
        behind = service.submit_many(range(20_000))
        self.assertEqual(behind[-1].cancel(LIMIT_SECONDS), "cancelled")
        with self.assertRaisesRegex(pl.UnitError, "cancelled"):
            behind[-1].get(LIMIT_SECONDS)
        go.touch()
        begun.get(LIMIT_SECONDS)
        self.assertEqual(begun.cancel(LIMIT_SECONDS), "over")
        self.assertEqual([ticket.get() for ticket in behind[:-1]], list(range(19_999)))

    def test_units_of_one_key_are_one_as_long_as_it_is_not_done(self):
        service = self.service()
        go = self.folder() / "go"
        tickets = [service.submit(["wait", str(go)], unique="one") for _ in range(3)]
        self.assertEqual(len({ticket.id for ticket in tickets}), 1)
        go.touch()
        self.assertEqual(len({str(ticket.get(LIMIT_SECONDS)) for ticket in tickets}), 1)
        self.until(lambda: service.submit(5, unique="one").id != tickets[0].id, "a unit of its own")

    def test_what_waits_longer_than_it_may_is_dead(self):
        service = self.service()
        with self.assertRaises(pl.UnitError):
            service.submit(5, delay=600, ttl=0.001).get(LIMIT_SECONDS)
        self.assertEqual(service.submit(6, delay=0.001, ttl=LIMIT_SECONDS, priority=9).get(), 6)
        for wrong in ({"priority": 10}, {"priority": -1}, {"delay": -1}, {"ttl": float("nan")}):
            with self.assertRaises(ValueError):
                service.submit(5, **wrong)

    def test_a_client_that_comes_back_by_its_name_submits_nothing_twice(self):
        name = self.shared()
        texts = []
        for _ in range(2):
            with pl.connect(name, client="back") as service:
                texts.append([str(ticket) for ticket in service.submit_many(range(5), wait_for_workers=True)])
        self.assertEqual(texts[0], texts[1])


class Refusals(ServiceCase):
    def test_a_service_that_is_not_there_is_named(self):
        with self.assertRaisesRegex(pl.NoService, "no service is called `nobody-has-this-name`"):
            pl.connect("nobody-has-this-name")
        with self.assertRaisesRegex(pl.NoService, "no service answers"):
            pl.connect(f"ipc://{self.folder()}/none", timeout=0.05)
        with self.assertRaises(ValueError):
            pl.connect("nonsense://")

    def test_without_workers_nothing_is_submitted_unless_they_are_waited_for(self):
        # The user's own key, which the first that needs it makes.
        with unittest.mock.patch.dict(os.environ, XDG_CONFIG_HOME=str(self.folder())):
            name = self.up(top=f'bind = "tcp://127.0.0.1:{free_ports()}"', workers=0)
            service = self.connect(name)
        tickets = []

        def is_told():
            # A stage that has just begun has none yet, and is given a while.
            try:
                tickets.append(service.submit(5))
            except pl.NoWorkers:
                return True

        self.until(is_told, "the word that there are no workers")
        for submit in (service.call, lambda value: list(service.map([value]))):
            with self.assertRaises(pl.NoWorkers):
                submit(5)
        tickets.append(service.submit(5, wait_for_workers=True))
        with self.assertRaises(TimeoutError):
            service.call(5, 0.01, wait_for_workers=True)
        self.assertFalse(any(ticket.wait(0) for ticket in tickets))

    def test_a_full_queue_refuses_whoever_does_not_wait(self):
        service = self.service(source="queue_units_max = 10")
        go = self.folder() / "go"
        tickets = []

        with self.assertRaises(pl.Full):
            # More than the queue, the workers and what is under way can hold.
            for _ in range(200_000):
                tickets.append(service.submit(["wait", str(go)], block=False))
        go.touch()
        self.assertIsNone(tickets[-1].get(LIMIT_SECONDS))

    def test_what_nobody_has_begun_is_cancelled_with_its_client_if_it_says_so(self):
        shared = self.shared()
        go = self.folder() / "go"
        with self.connect(shared, on_disconnect="cancel") as leaving:
            tickets = [leaving.submit(["wait", str(go)], wait_for_workers=True) for _ in range(100)]
            texts = [str(ticket) for ticket in tickets]
        staying = self.connect(shared)
        # What has begun goes on until it may end.
        with self.assertRaisesRegex(pl.UnitError, "cancelled"):
            staying.ticket(texts[-1]).get(LIMIT_SECONDS)
        go.touch()
        cancelled = 1
        for text in texts[:-1]:
            try:
                staying.ticket(text).get(LIMIT_SECONDS)
            except pl.UnitError as error:
                cancelled += "cancelled" in str(error)
        self.assertGreater(cancelled, 50)
        with self.assertRaisesRegex(ValueError, "'detach' or 'cancel'"):
            pl.connect("nothing", on_disconnect="forget")

    def test_a_closed_connection_takes_nothing_and_keeps_what_has_come(self):
        service = self.service()
        go = self.folder() / "go"
        done = service.submit(5)
        done.wait()
        with service:
            open_ticket = service.submit(["wait", str(go)])
            text = str(open_ticket)
        self.assertEqual(done.get(), 5)
        with self.assertRaises(pl.NoService):
            open_ticket.get(LIMIT_SECONDS)
        with self.assertRaisesRegex(ValueError, "closed"):
            service.submit(6)
        service.close()
        go.touch()
        # For others it is there.
        self.assertIsNone(self.service().ticket(text).get(LIMIT_SECONDS))


class Many(ServiceCase):
    def test_map_gives_everything_in_order(self):
        service = self.service()
        self.assertEqual(list(service.map(range(50_000))), list(range(50_000)))
        self.assertEqual(list(service.map([])), [])
        self.assertEqual([ticket.get() for ticket in service.submit_many(range(9_000))], list(range(9_000)))

    def test_map_reads_no_further_than_its_window(self):
        service = self.service()
        read = []
        endless = (read.append(n) or n for n in itertools.count())
        taken = list(itertools.islice(service.map(endless, window=10), 100))
        self.assertEqual(taken, list(range(100)))
        self.assertLessEqual(len(read), 120)

    def test_what_has_come_does_not_wait_for_values_that_have_not(self):
        service = self.service()
        read = []

        def slow():
            for number in range(3):
                read.append(number)
                yield number
                # There is one worker: what was submitted before has come before.
                for _ in range(50):
                    service.call(number)

        seen = [(value, len(read)) for value in service.map(slow())]
        self.assertEqual([value for value, _ in seen], [0, 1, 2])
        self.assertEqual(seen[0], (0, 2))

    def test_map_raises_at_the_place_of_what_failed_and_goes_on_behind_it(self):
        service = self.service()
        results = service.map([1, ["raise", "no"], 3])
        self.assertEqual(next(results), 1)
        with self.assertRaisesRegex(pl.UnitError, "no"):
            next(results)
        self.assertEqual(list(results), [3])

    def test_what_reading_the_values_raises_comes_behind_what_was_read(self):
        def values():
            yield from range(1_000)
            raise LookupError("mine")

        results = self.service().map(values())
        self.assertEqual(list(itertools.islice(results, 1_000)), list(range(1_000)))
        with self.assertRaisesRegex(LookupError, "mine"):
            next(results)
        self.assertEqual(list(results), [])

    def test_many_threads_share_a_connection(self):
        service = self.service()
        with concurrent.futures.ThreadPoolExecutor(16) as threads:
            self.assertEqual(list(threads.map(service.call, range(500))), list(range(500)))

    def test_figures_tell_what_was_done(self):
        service = self.service(workers=1)
        list(service.map(range(100)))
        self.until(lambda: service.stats()["done"] == 101, "the figures")
        self.assertEqual(service.stats()["queued"], 0)


class Waiting(ServiceCase):
    def test_tickets_can_be_awaited(self):
        service = self.service()
        go = self.folder() / "go"

        async def all_of_them():
            tickets = [service.submit(n) for n in range(2_000)]
            values = await asyncio.gather(*tickets)
            again = [await ticket for ticket in tickets[:10]]
            both = service.submit(7)
            twice = await asyncio.gather(both, both)
            with self.assertRaisesRegex(pl.UnitError, "no"):
                await service.submit(["raise", "no"])
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(service.submit(["wait", str(go)]), 0.01)
            go.touch()
            await service.submit(5)
            return values, again, twice

        values, again, twice = asyncio.run(all_of_them())
        self.assertEqual((values, again, twice), (list(range(2_000)), list(range(10)), [7, 7]))

    def test_tickets_are_futures(self):
        service = self.service()
        futures = [service.submit(n).future() for n in range(1_000)]
        done = concurrent.futures.as_completed(futures, LIMIT_SECONDS)
        self.assertEqual(sorted(future.result() for future in done), list(range(1_000)))
        with self.assertRaisesRegex(pl.UnitError, "no"):
            service.submit(["raise", "no"]).future().result(LIMIT_SECONDS)
        go = self.folder() / "go"
        given_up = service.submit(["wait", str(go)]).future()
        self.assertTrue(given_up.cancel())
        go.touch()
        self.assertEqual(service.submit(5).future().result(LIMIT_SECONDS), 5)

    def test_whoever_waits_lets_other_threads_run(self):
        service = self.service()
        go = self.folder() / "go"
        ran = threading.Thread(target=go.touch)
        ticket = service.submit(["wait", str(go)])
        ran.start()
        ticket.get(LIMIT_SECONDS)


WAITS = {
    "get": "service.submit(['wait', go]).get()",
    "wait": "service.submit(['wait', go]).wait()",
    "call": "service.call(['wait', go])",
    "map": "list(service.map([['wait', go]]))",
    "connect": "pl.connect('ipc://' + go, timeout=600)",
}
WAITING = """
import sys
import pipeline_zmq as pl
name, go = sys.argv[1:]
try:
    service = pl.connect(name)
    service.call(0)
    print("ready", flush=True)
    {body}
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


class Programs(ServiceCase):
    def test_ctrl_c_ends_every_wait(self):
        service = self.service()
        for name, body in WAITS.items():
            with self.subTest(name):
                # The one worker waits until its turn is over, so each of them waits for the first.
                go = self.folder() / "go"
                process = self.began(WAITING.format(body=body), service._name, str(go))
                self.assertEqual(process.stdout.readline(), "ready\n")
                process.send_signal(signal.SIGINT)
                told = process.communicate(timeout=LIMIT_SECONDS)
                go.touch()
                self.assertEqual(service.call(1, LIMIT_SECONDS), 1)
                self.assertEqual((process.returncode, *told), (0, "interrupted\n", ""))

    def test_what_a_program_has_submitted_is_accepted_before_it_ends(self):
        service = self.service(workers=1)
        told = self.script(
            """
import sys, threading
import pipeline_zmq as pl
service = pl.connect(sys.argv[1])
# Something goes on having the connection to the very end.
threading.Thread(target=lambda _: threading.Event().wait(), args=[service], daemon=True).start()
service.submit_many(range(100_000))
""",
            service._name,
        )
        self.assertEqual((told.returncode, told.stdout, told.stderr), (0, "", ""))
        self.until(lambda: service.stats()["done"] == 100_001, "what it has submitted")

    def test_tickets_outlive_a_service_that_is_killed_and_started_again(self):
        path, go = self.folder() / "service.toml", self.folder() / "go"
        name = f"again-{os.getpid()}"
        path.write_text(topology("serve").replace('accept = "memory"', 'accept = "durable"'))
        launcher = self.began_service(path, name, self.addCleanup)
        service = self.connect(name)
        tickets = [
            service.submit(["wait", str(go)], wait_for_workers=True),
            *service.submit_many(range(1_000)),
        ]
        texts = [str(ticket) for ticket in tickets]
        launcher.kill()
        launcher.wait()
        self.until(lambda: not service_is_there(name), "its end")
        self.began_service(path, name, self.addCleanup)
        go.touch()
        self.assertEqual([ticket.get(LIMIT_SECONDS) for ticket in tickets[1:]], list(range(1_000)))
        self.assertIsNone(self.connect(name).ticket(texts[0]).get(LIMIT_SECONDS))

    def test_a_fork_has_no_connection_and_may_make_its_own(self):
        service = self.service()
        told = self.script(
            """
import os, sys
import pipeline_zmq as pl
service = pl.connect(sys.argv[1])
ticket = service.submit(1)
assert ticket.future().result() == 1
child = os.fork()
if child == 0:
    for refused in (lambda: service.call(2), ticket.get):
        try:
            refused()
        except RuntimeError as error:
            assert "fork" in str(error)
        else:
            os._exit(1)
    del ticket
    own = pl.connect(sys.argv[1])
    assert own.submit(3).future().result() == 3
    sys.exit(5)
assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 5
assert service.call(4) == 4
print("done")
""",
            service._name,
        )
        self.assertEqual((told.stderr, told.stdout), ("", "done\n"))


if __name__ == "__main__":
    unittest.main()
