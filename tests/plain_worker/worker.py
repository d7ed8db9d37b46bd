"""A worker in plain Python, written from `proto/PROTOCOL.md` alone, with nothing but `pyzmq` and `msgpack`.

Owns the proof that the document is enough for a worker that survives what befalls a run: sessions that break, credit,
units that are called back or expanded, results that are kept until they are committed, keys, and both ways to leave.
Refuses to be quick, and stages that are not the last one: their outputs would go to workers.
"""
import argparse, os, platform, random, signal, time, traceback  # noqa: E401

import msgpack, zmq  # noqa: E401
from talk import Parcel, Ranges, Session, forever, now, plus, push
from zmq.auth.thread import ThreadAuthenticator


def spin(us):
    until = time.perf_counter_ns() + 1000 * us
    while time.perf_counter_ns() < until:
        pass
    return [us]


FUNCTIONS = {"square": lambda n: [n * n], "halves": lambda word: [word[: len(word) // 2], word[len(word) // 2 :]], "spin": spin}
SLICE = 64  # units between two looks at the sockets, and in one frame of results
PATIENCE = 60.0  # seconds without a ventilator until the worker leaves by itself


class Worker:
    def __init__(self, args):
        self.args, self.context, self.authenticator, self.run = args, zmq.Context(), None, 0
        self.peer, self.number = random.getrandbits(64), random.getrandbits(31)
        self.host = f"{platform.node()}-{open('/proc/sys/kernel/random/boot_id').read()[:8]}"
        self.sink, self.senders, self.plan, self.heartbeat, self.liveness = None, {}, None, 0.5, 5.0
        self.parcels, self.kept, self.next, self.committed = [], [], 0, Ranges()
        self.executed = self.outputs = self.busy_ns = 0
        self.joined = self.looked = self.swept = now()
        self.leaving, self.run_ends, self.left, self.ended = False, False, forever, False
        self.inbox = self.context.socket(zmq.PULL)
        self.inbox.setsockopt(zmq.RCVHWM, 0)
        self.endpoint = args.bind
        if args.bind.startswith("tcp:"):
            self.bind_with_key()
        else:
            os.umask(0o177)
            self.inbox.bind(args.bind)
        self.dial_ventilator()

    def bind_with_key(self):
        words = [line.encode().split() for line in open(self.args.key) if line.strip()]
        self.keys = dict(words[:2])
        self.admitted = {key for name, key in words if name != b"secret"}
        self.authenticator = ThreadAuthenticator(self.context)
        self.authenticator.start()
        self.authenticator.configure_curve_callback("pipeline", self)
        self.inbox.curve_server, self.inbox.curve_secretkey = 1, self.keys[b"secret"]
        self.inbox.setsockopt(zmq.ZAP_DOMAIN, b"pipeline")
        self.inbox.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        self.endpoint += f":{self.inbox.bind_to_random_port(self.args.bind, 20000, 32768)}"

    def callback(self, _domain, key):
        return key in self.admitted  # Z85, as in the file

    # Sessions: who dialled says Hello again when one is over, who was dialled forgets.

    def dial(self, endpoint):
        self.number += 1
        role = {"Worker": [self.args.stage, self.args.run is not None]}
        return Session(self, endpoint, self.number, [role, self.args.name, [self.endpoint], self.host, os.getpid()])

    def dial_ventilator(self):
        self.ventilator = self.dial(self.args.ventilator)

    def dial_sink(self):
        self.sink = self.dial(self.best(self.plan[4], self.args.ventilator.startswith("ipc:")))

    def best(self, endpoints, is_near):
        """The endpoint to dial: of ipc on the same machine, else of tcp; `*` is the ventilator's machine."""
        known = [one for kind in ("ipc:", "tcp:")[not is_near :] for one in endpoints if one.startswith(kind)]
        return known[0].replace("*", self.args.ventilator.removeprefix("tcp://").rpartition(":")[0], 1)

    def sessions(self):
        return [session for session in (self.ventilator, self.sink, *self.senders.values()) if session]

    def over(self, session):
        session.close()
        self.parcels = [parcel for parcel in self.parcels if parcel.session is not session]
        if session is self.ventilator:
            self.dial_ventilator()
        elif session is self.sink:
            self.dial_sink()
        else:
            self.senders.pop(session.peer, None)

    def lane_event(self, session, event):
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            session.is_up, session.is_open = True, session.peer is not None
            session.say("Welcome" if session.is_open else "Hello", session.opening)
            if session.is_open:
                self.grant(session)
        elif event == zmq.EVENT_DISCONNECTED:
            self.over(session)
        elif "HANDSHAKE_FAILED" in event.name:
            session.remade = now() + 0.5

    def greeted(self, peer, number, role, _name, endpoints, host, _pid):
        """A worker of the stage before says Hello."""
        known = self.senders.get(peer)
        if "Worker" in role and self.plan and (not known or number > known.number):
            if known:
                self.over(known)
            self.senders[peer] = Session(self, self.best(endpoints, host == self.host), number, "Peer", peer)

    def answered(self, session, run, peer, welcome):
        session.peer, session.is_open = peer, True
        if session is self.sink:
            self.next = 0  # all that is kept is sent again
            return
        if run != self.run:  # what was kept belongs to no run
            self.parcels, self.kept, self.next, self.committed, self.run = [], [], 0, Ranges(), run
        self.plan = welcome["Plan"]
        limits, function = self.plan[5], self.args.run if self.plan[2][1] == "own" else self.plan[2][1].get("run")
        if self.plan[3] is not None or function not in FUNCTIONS:
            raise SystemExit(f"this worker is for last stages that run one of {', '.join(FUNCTIONS)}")
        self.function, self.full, self.intake = FUNCTIONS[function], limits[1], limits[6:8]
        self.heartbeat, self.liveness = limits[9] / 1000, limits[10] / 1000
        if self.leaving:
            session.say("Leaving")
        self.grant(session)
        if self.sink is None:
            self.dial_sink()

    def grant(self, session, is_due=True):
        """A heartbeat, which tells senders of work how much they may have sent; before it is due if that has grown."""
        senders = list(self.senders.values()) if self.plan[0] else [self.ventilator]
        if session not in senders:
            return session.say("Beat") if is_due else None
        share = [one // len(senders) for one in self.intake]
        credit = [max(pair) for pair in zip(plus(session.processed, share), session.told)]
        if is_due or any(new >= told + part // 4 for new, told, part in zip(credit, session.told, share)):
            session.told = credit
            session.say("Credit", credit)

    # Frames

    def frame(self, parts):
        try:
            [part] = parts
            version, run, peer, number, seq, body = msgpack.unpackb(part, strict_map_key=False)
            name, content = next(iter(body.items())) if isinstance(body, dict) else (body, None)
        except (ValueError, TypeError):
            return  # the gap that it leaves ends the session
        session = next((one for one in self.sessions() if one.number == number and one.peer in (None, peer)), None)
        if name == "Welcome":
            if session and session.is_up and not session.is_open:
                self.answered(session, run, peer, content)
        elif name == "Refused":
            if session and "Full" not in content:
                raise SystemExit(f"refused: {content}")
        elif run == self.run and name == "Hello":
            self.greeted(peer, number, *content)
        elif run == self.run and name == "Stop" and not session and peer == self.ventilator.peer:
            self.farewell()
        elif run == self.run and session and session.is_open and seq >= session.expected:
            if seq == session.expected:
                session.heard, session.expected = now(), seq + 1
                return self.hear(session, name, content)
            if session not in (self.ventilator, self.sink):
                session.say("Reset")
            self.over(session)

    def hear(self, session, name, content):
        if name == "Credit":
            session.granted = [max(pair) for pair in zip(session.granted, content)]
        elif name == "Commit":
            for start, end in [(0, content[0]), *content[1]]:
                self.committed.add(start, end)
        elif name == "Work":
            self.parcels.append(Parcel(session, *content))
            if self.leaving:
                self.give_back(self.parcels[-1], 0)
        elif name == "Retract":
            for parcel in [one for one in self.parcels if one.session is session and one.number == content]:
                keep = parcel.begun and (parcel.begun + parcel.keep) // 2
                if keep == parcel.keep:  # all of it is begun
                    session.say("Returned", [parcel.number, keep])
                self.give_back(parcel, keep)
        elif name == "Leaving":
            self.run_ends = True
            self.leave()
        elif name == "Stop" or name == "Bye" and session is self.sink and self.run_ends:
            self.farewell()
        elif name == "Bye" and session is self.ventilator:
            self.ended = True
        elif name == "Reset" or name == "Bye" and session is not self.sink:
            self.over(session)

    # Work

    def give_back(self, parcel, keep):
        if keep < parcel.keep:
            parcel.keep = keep
            parcel.session.say("Returned", [parcel.number, keep])
            if parcel.begun == keep:
                self.finish(parcel)

    def finish(self, parcel):
        self.parcels.remove(parcel)
        parcel.session.processed = plus(parcel.session.processed, parcel.weight)
        if parcel.keep:
            parcel.session.say("Done", [parcel.number, parcel.busy_ns, parcel.failed])
        self.grant(parcel.session, is_due=False)

    def call(self, value):
        if self.plan[6]:  # the values carry what the source gave
            return [msgpack.packb([value[0], output]) for output in self.function(value[1])]
        return [msgpack.packb(output) for output in self.function(value)]

    def work(self):
        parcel, spans, values, filtered = self.parcels[0], [], [], []
        is_full = sum(weight[1] for _, weight, _ in self.kept) >= self.full
        if is_full and not parcel.begun and not self.committed.cover(0, min(span[0] for span in parcel.spans) - 1):
            return self.give_back(parcel, 0) if now() - parcel.came > 0.1 else None
        began, before = time.perf_counter_ns(), parcel.begun
        while parcel.begun < min(before + SLICE, parcel.keep):
            root, path, value = next(parcel.units)
            parcel.begun += 1
            try:
                outputs, execution = self.call(value), random.getrandbits(64)
            except Exception:
                parcel.failed.append([parcel.begun - 1, traceback.format_exc(limit=-1)])
                continue
            values += outputs
            for place in range(len(outputs)):
                push(spans, root, path + [[execution, place, len(outputs)]] if len(outputs) > 1 else path)
            if not outputs:
                push(filtered, root, path)
        busy_ns = time.perf_counter_ns() - began
        parcel.busy_ns, self.busy_ns = parcel.busy_ns + busy_ns, self.busy_ns + busy_ns
        self.executed, self.outputs = self.executed + parcel.begun - before, self.outputs + len(values)
        if spans or filtered:
            self.keep(parcel, spans, b"".join(values), filtered, busy_ns // 1000)
        if parcel.begun == parcel.keep:
            self.finish(parcel)

    def keep(self, parcel, spans, payload, filtered, busy_us):
        """One frame of results, its weight as credit counts it, and the units that have to be committed."""
        count = sum(span[1] for span in spans + filtered)
        body = [parcel.number, self.plan[0], parcel.attempt, [spans, payload], filtered, [], [[count, busy_us // count]]]
        roots = [(root, root if path else root + units - 1) for root, units, path in spans + filtered]
        entries = sum(512 if path else 32 for _, _, path in spans + filtered)
        self.kept.append((body, [count, len(payload) + entries], roots))

    def flush(self):
        sink = self.sink
        while sink and sink.is_open and self.next < len(self.kept) and sink.sent[1] < sink.granted[1]:
            body, weight, _ = self.kept[self.next]
            if sink.sent[0] + weight[0] > sink.granted[0]:
                break
            sink.sent, self.next = plus(sink.sent, weight), self.next + 1
            sink.say("Results", body)

    def forget(self):
        keep = [not all(self.committed.cover(*root) for root in roots) for _, _, roots in self.kept]
        self.kept, self.next = [one for one, stays in zip(self.kept, keep) if stays], sum(keep[: self.next])
        self.swept = now()

    # Leaving

    def leave(self):
        """Takes no more, and gives back what is not begun."""
        for session in [self.ventilator, *self.senders.values()]:
            if session.is_open and not self.leaving and not self.run_ends:
                session.say("Leaving")
        self.leaving = True
        for parcel in list(self.parcels):
            self.give_back(parcel, parcel.begun)

    def leave_when_done(self):
        if not self.parcels and not self.kept:
            self.farewell()
        elif not self.parcels and self.run_ends and self.next == len(self.kept):
            self.bye(self.sink)  # it answers when all of it is recorded

    def bye(self, session):
        if session and session.is_open and not session.byes:
            session.byes = 1
            session.say("Bye")

    def farewell(self):
        if self.left == forever and self.ventilator.is_open:
            self.left = now()
            self.bye(self.sink)
            work = [self.args.name, self.plan[0], self.executed, self.outputs, self.busy_ns]
            self.ventilator.say("Figures", [*work, int((now() - self.joined) * 1e9), [0] * 9, self.busy_ns])
            self.bye(self.ventilator)

    # Time

    def keep_time(self):
        slept, self.looked = now() - self.looked, now()
        for session in self.sessions():
            session.heard += slept if slept > 1.5 else 0  # nobody's silence of that time counts
            is_lost = session.is_open or session in self.senders.values()
            is_lost = is_lost and now() - session.heard > self.liveness or slept > self.liveness
            if is_lost or now() > session.remade:
                self.over(session)
            elif session.is_open and now() - session.said > self.heartbeat / 2:
                self.grant(session)
            elif session.is_up and now() - session.said > self.liveness / 2:
                session.say("Hello", session.opening)
        if now() - self.swept > 0.05:
            self.forget()
        is_alone = not self.ventilator.is_open and now() - self.ventilator.heard > PATIENCE
        self.ended |= is_alone or now() - self.left > 2.0

    def look(self):
        lanes = {session.monitor: session for session in self.sessions()}
        poller = zmq.Poller()
        for socket in (self.inbox, *lanes):
            poller.register(socket, zmq.POLLIN)
        for socket, _ in poller.poll(0 if self.parcels else 20):
            if socket in lanes and not socket.closed:
                self.lane_event(lanes[socket], lanes[socket].event())
        while not self.ended and self.inbox.poll(0):
            self.frame(self.inbox.recv_multipart())

    def go(self):
        signals = []  # a handler may come in the middle of a frame, so it only notes
        signal.signal(signal.SIGTERM, lambda *_: signals.append(True))
        while not self.ended:
            if signals and not self.leaving:
                self.leave()
            self.look()
            self.keep_time()
            if self.parcels:
                self.work()
            self.flush()
            if self.leaving:
                self.leave_when_done()
        if self.authenticator:
            self.authenticator.stop()
        self.context.destroy(linger=100)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A worker in plain Python")
    for flag in ("--ventilator", "--bind", "--stage", "--run", "--key", "--name"):
        parser.add_argument(flag, default="plain" if flag == "--name" else None)
    Worker(parser.parse_args()).go()
