//! A worker that is written from `proto/PROTOCOL.md` alone: the steps of its section on that, over a
//! ZeroMQ and a MessagePack library, without a line of this project.
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

use std::process;
use std::time::{Duration, Instant};

use rmpv::Value;
use tests::hand::Hand;
use tests::place::Transport;

const TIMEOUT: Duration = Duration::from_secs(30);
const BEAT_INTERVAL: Duration = Duration::from_millis(400);

/// One lane, and the session on it.
struct Lane {
    socket: zmq::Socket,
    session: u64,
    seq: u64,
}

/// The worker.
struct Worker {
    inbox: zmq::Socket,
    endpoint: String,
    from: u64,
    run: u64,
    ventilator: Lane,
    sink: Option<Lane>,
    taken: u64,
    last_beat: Instant,
}

fn array(values: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(values.into_iter().collect())
}

fn body(name: &str, content: Value) -> Value {
    Value::Map(vec![(name.into(), content)])
}

/// The name and the content of a body, and of whatever else has that form.
fn open(body: &Value) -> (&str, &Value) {
    match body {
        Value::Map(entries) => (entries[0].0.as_str().unwrap(), &entries[0].1),
        name => (name.as_str().unwrap(), &Value::Nil),
    }
}

fn host() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap();
    let boot = read("/proc/sys/kernel/random/boot_id");
    format!("{}-{}", read("/proc/sys/kernel/hostname").trim(), &boot[..8])
}

impl Lane {
    fn dial(context: &zmq::Context, endpoint: &str, session: u64) -> Self {
        let socket = context.socket(zmq::PUSH).unwrap();
        socket.connect(endpoint).unwrap();
        Self { socket, session, seq: 0 }
    }

    fn send(&mut self, run: u64, from: u64, body: Value) {
        let frame =
            array([1.into(), run.into(), from.into(), self.session.into(), self.seq.into(), body]);
        self.seq += 1;
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &frame).unwrap();
        self.socket.send(bytes, 0).unwrap();
    }
}

impl Worker {
    fn new(context: &zmq::Context, endpoint: String, ventilator: &str) -> Self {
        let inbox = context.socket(zmq::PULL).unwrap();
        inbox.set_rcvhwm(0).unwrap();
        inbox.bind(&endpoint).unwrap();
        let from = u64::from(process::id()) << 32 | 0x5eed;
        let ventilator = Lane::dial(context, ventilator, 77);
        let last_beat = Instant::now();
        Self { inbox, endpoint, from, run: 0, ventilator, sink: None, taken: 0, last_beat }
    }

    fn hello(&self) -> Value {
        let role = body("Worker", array([Value::Nil, true.into()]));
        let endpoints = array([self.endpoint.as_str().into()]);
        body("Hello", array([role, "tiny".into(), endpoints, host().into(), process::id().into()]))
    }

    /// The next frame: its session and its body. Heartbeats are sent meanwhile.
    fn next(&mut self) -> (u64, u64, Value) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            assert!(Instant::now() < deadline, "nothing comes any more");
            if self.last_beat.elapsed() >= BEAT_INTERVAL && self.run != 0 {
                self.last_beat = Instant::now();
                let (run, from) = (self.run, self.from);
                for lane in [Some(&mut self.ventilator), self.sink.as_mut()].into_iter().flatten() {
                    lane.send(run, from, "Beat".into());
                }
            }
            if self.inbox.poll(zmq::POLLIN, 50).unwrap() > 0 {
                let bytes = self.inbox.recv_bytes(0).unwrap();
                let frame = rmpv::decode::read_value(&mut &bytes[..]).unwrap();
                let field = |index: usize| frame[index].as_u64().unwrap();
                return (field(3), field(1), frame[5].clone());
            }
        }
    }

    /// Waits for the answer to Hello in this session.
    fn welcome(&mut self, session: u64) -> Value {
        loop {
            let (of, run, body) = self.next();
            if of == session {
                let (name, content) = open(&body);
                assert_eq!(name, "Welcome", "{body}");
                self.run = run;
                return content.clone();
            }
        }
    }

    fn join(&mut self, context: &zmq::Context) -> u64 {
        let hello = self.hello();
        self.ventilator.send(0, self.from, hello.clone());
        let welcome = self.welcome(77);
        let (name, plan) = open(&welcome);
        assert_eq!(name, "Plan");
        let mut sink = Lane::dial(context, plan[4][0].as_str().unwrap(), 78);
        sink.send(self.run, self.from, hello);
        self.sink = Some(sink);
        assert_eq!(self.welcome(78), "Peer".into());
        self.grant();
        plan[0].as_u64().unwrap()
    }

    fn grant(&mut self) {
        let credit = array([(self.taken + 5_000).into(), (1u64 << 40).into()]);
        self.ventilator.send(self.run, self.from, body("Credit", credit));
    }

    /// Doubles each number of a parcel. Of spans without expansions the outputs have the spans of
    /// the inputs.
    fn work(&mut self, stage: u64, work: &Value) {
        let (spans, payload) = (&work[2][0], work[2][1].as_slice().unwrap());
        let (mut rest, mut doubled, mut count) = (payload, Vec::new(), 0u32);
        while !rest.is_empty() {
            let value = rmpv::decode::read_value(&mut rest).unwrap().as_u64().unwrap();
            rmpv::encode::write_value(&mut doubled, &(2 * value).into()).unwrap();
            count += 1;
        }
        let units = array([spans.clone(), Value::Binary(doubled)]);
        let timing = array([array([count.into(), 1.into()])]);
        let (parcel, attempt) = (work[0].clone(), work[1].clone());
        let results = [parcel.clone(), stage.into(), attempt, units, array([]), array([]), timing];
        let done = array([parcel, u64::from(count).into(), array([])]);
        let (run, from) = (self.run, self.from);
        self.sink.as_mut().unwrap().send(run, from, body("Results", array(results)));
        self.ventilator.send(run, from, body("Done", done));
        self.taken += u64::from(count);
        self.grant();
    }

    fn run(&mut self, stage: u64) {
        loop {
            let (session, _, body) = self.next();
            match (session, open(&body)) {
                (77, ("Work", work)) => self.work(stage, work),
                (77, ("Stop", _)) => {
                    let (run, from) = (self.run, self.from);
                    self.sink.as_mut().unwrap().send(run, from, "Bye".into());
                    self.ventilator.send(run, from, "Bye".into());
                }
                (77, ("Bye", _)) => return,
                (_, ("Reset" | "Refused", why)) => panic!("{body}: {why}"),
                _ => {}
            }
        }
    }
}

#[test]
fn a_worker_written_from_the_document_alone_does_the_units_and_leaves_in_peace() {
    let hand = Hand::over(Transport::Ipc);
    let mut sink = hand.sink(&[]);
    let mut ventilator = hand.ventilator("range:1..10000", &[]);
    let context = zmq::Context::new();
    let endpoint = format!("ipc://{}", hand.place.path("tiny").display());
    let mut worker = Worker::new(&context, endpoint, hand.ventilator_endpoint());
    let stage = worker.join(&context);
    worker.run(stage);
    ventilator.ends_well();
    sink.ends_well();
    let expected: String = (1..=10_000).map(|number| format!("{}\n", 2 * number)).collect();
    assert_eq!(std::fs::read_to_string(hand.output()).unwrap(), expected);
    let outcome = hand.outcome();
    assert_eq!(outcome.count("units_in"), 10_000);
    assert_eq!(outcome.count("duplicates_discarded"), 0);
}
