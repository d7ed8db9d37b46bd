//! Scripts: what a worker hears, and what it does.

use proto::{
    diary,
    frame::{Code, Commit, Credit, Done, Envelope, Failed, ParcelId, Work},
    plan::{Function, Stage},
    role::Role as _,
    units::Units,
};

use super::*;
use crate::parcels::FULL_PATIENCE;

const VENTILATOR: PeerId = 50;
const SINK: PeerId = 60;
const RECEIVER: PeerId = 70;

/// A worker of the only stage that may keep next to nothing.
struct Script {
    now: Time,
    worker: WorkerRole,
    out: Effects,
    session: u32,
    seq: u64,
    // What the ventilator heard before the worker met the sink.
    first: Vec<Frame>,
    // The same with the sink.
    sink: (u32, u64),
}

impl Script {
    fn new() -> Self {
        Self::with(1, Limits { window_bytes_max: 3, ..Limits::default() })
    }

    /// One whose function has so many units open at once.
    fn with(open: u32, limits: Limits) -> Self {
        Self::before(None, open, limits)
    }

    /// One whose outputs are for that stage, and what it is told of that.
    fn before(next: Option<(Stage, Chronicle)>, open: u32, limits: Limits) -> Self {
        let role = HelloRole::Worker { stage: None, own: true };
        let (name, host) = ("w".into(), "h".into());
        let hello = Hello { role, name, endpoints: vec![], host, pid: 1 };
        let (mut worker, out) = WorkerRole::new(1, hello, vec!["v".into()]);
        let (next, chronicle) = next.unzip();
        if chronicle == Some(Chronicle::Written) {
            worker.keep_diary();
        }
        let mut script = Self {
            now: Time::from_ms(1),
            worker,
            out,
            session: 0,
            seq: 0,
            first: vec![],
            sink: (0, 0),
        };
        script.meets_the_ventilator(next, limits);
        script.event(Event::Reply(Reply::Loaded { open }));
        script.meets_the_sink();
        script
    }

    fn meets_the_ventilator(&mut self, next: Option<Stage>, limits: Limits) {
        let link = self.worker.home.link;
        self.event(Event::LaneUp { link, inbox: vec![] });
        self.session = self.out.drain(..).fold(0, |session, effect| match effect {
            Effect::Send { link: to, envelope } if to == link => envelope.session,
            _ => session,
        });
        self.seq = 0;
        self.hears(Frame::Welcome(Box::new(Welcome::Plan(Box::new(Plan {
            stage_index: 0,
            stages: 1 + next.is_some() as u32,
            stage: Stage::new("s", Function::Own),
            next,
            sink: vec!["s".into()],
            limits,
            carries_input: false,
        })))));
    }

    fn meets_the_sink(&mut self) {
        let link = self.worker.membership.as_ref().unwrap().downstream.sink();
        self.event(Event::LaneUp { link, inbox: vec![] });
        let home = self.worker.home.link;
        let mut session = 0;
        for effect in self.out.drain(..) {
            match effect {
                Effect::Send { link: to, envelope } if to == link => session = envelope.session,
                Effect::Send { link: to, envelope } if to == home => {
                    self.first.push(envelope.frame)
                }
                _ => {}
            }
        }
        self.sink = (session, 0);
        self.hears_sink(Frame::Welcome(Box::new(Welcome::Peer)));
        self.hears_sink(Frame::Credit(Credit { units: 99, bytes: 999 }));
    }

    fn hears_sink(&mut self, frame: Frame) {
        let (session, seq) = self.sink;
        self.sink.1 += 1;
        let from = SINK;
        self.event(Event::Frame(Envelope { version: 1, run: 7, from, session, seq, frame }));
    }

    /// What it has said, to the ventilator and to the sink.
    fn said(&mut self) -> [Vec<Frame>; 2] {
        let home = self.worker.home.link;
        let sent = self.out.drain(..).filter_map(|effect| match effect {
            Effect::Send { link, envelope } => Some((link, envelope.frame)),
            _ => None,
        });
        let (home, sink): (Vec<_>, Vec<_>) = sent.partition(|(link, _)| *link == home);
        [home, sink].map(|said| said.into_iter().map(|(_, frame)| frame).collect())
    }

    fn event(&mut self, event: Event<Reply>) {
        self.worker.handle(self.now, event, &mut self.out);
    }

    fn hears(&mut self, frame: Frame) {
        let Self { session, seq, .. } = *self;
        self.seq += 1;
        let from = VENTILATOR;
        self.event(Event::Frame(Envelope { version: 1, run: 7, from, session, seq, frame }));
    }

    fn hears_work(&mut self, parcel: ParcelId, unit: u64) {
        let units = Units::from_source(unit, vec![1, 2, 3], vec![3]);
        self.hears(Frame::Work(Work { parcel, attempt: 1, units }));
    }

    /// Which units it has begun to execute, and which parcels it has given back.
    fn did(&mut self) -> (Vec<u64>, Vec<ParcelId>) {
        let (mut begun, mut returned) = (vec![], vec![]);
        for effect in self.out.drain(..) {
            match effect {
                Effect::Request(Request::Execute { units, .. }) => {
                    begun.push(units.spans()[0].first);
                }
                Effect::Send { envelope, .. } => {
                    if let Frame::Returned { parcel, .. } = envelope.frame {
                        returned.push(parcel);
                    }
                }
                _ => {}
            }
        }
        (begun, returned)
    }

    fn finishes(&mut self, ticket: Ticket, unit: u64) {
        let units = Units::from_source(unit, vec![1, 2, 3], vec![3]);
        let product = Product { units, ..Product::default() };
        self.event(Event::Reply(Reply::Product {
            ticket,
            product,
            finished: Some(Busy::alone(1)),
        }));
    }
}

#[test]
fn a_worker_without_room_executes_what_the_others_may_wait_for() {
    let mut script = Script::new();
    script.hears_work(0, 5);
    script.hears_work(1, 6);
    script.finishes(0, 5);
    assert_eq!(script.did(), (vec![5], vec![]));
    script.hears_work(2, 0);
    assert_eq!(script.did(), (vec![0], vec![]), "unit 0 is the oldest that is not committed");
}

#[test]
fn a_worker_without_room_gives_back_what_it_cannot_begin() {
    let mut script = Script::new();
    script.hears_work(0, 5);
    script.hears_work(1, 6);
    script.finishes(0, 5);
    assert_eq!(script.did(), (vec![5], vec![]));
    script.now = script.now + FULL_PATIENCE;
    script.event(Event::Tick);
    assert_eq!(script.did(), (vec![], vec![1]));
    // With room again, whatever comes is begun.
    let commit = Commit { above: vec![(5, 6)], ..Commit::default() };
    script.hears(Frame::Commit(commit));
    script.hears_work(2, 6);
    assert_eq!(script.did(), (vec![6], vec![]));
}

impl Script {
    /// What it says to the ventilator since it was asked last, but for heartbeats.
    fn says(&mut self) -> Vec<Frame> {
        let home = self.worker.home.link;
        let sends = self.out.drain(..).filter_map(|effect| match effect {
            Effect::Send { link, envelope } if link == home => Some(envelope.frame),
            _ => None,
        });
        sends.filter(|frame| *frame != Frame::Beat).collect()
    }

    /// A parcel of three units.
    fn hears_three(&mut self, parcel: ParcelId) {
        let units = Units::from_source(parcel * 3, vec![1, 2, 3], vec![1, 2, 3]);
        self.hears(Frame::Work(Work { parcel, attempt: 1, units }));
    }

    /// So many units of a parcel have finished, and it has ended if that is said.
    fn worked(&mut self, ticket: Ticket, units: u32, finished: Option<Busy>) {
        let product = Product { worked: units, ..Product::default() };
        self.event(Event::Reply(Reply::Several(vec![Reply::Product {
            ticket,
            product,
            finished,
        }])));
    }
}

#[test]
fn a_worker_of_many_says_so_before_it_grants_credit() {
    let limits = Limits { intake_units_max: 4, ..Limits::default() };
    let said = Script::with(4, limits).first;
    let told = said.iter().position(|frame| *frame == Frame::Concurrency(4));
    let credit = said.iter().find_map(|frame| match frame {
        Frame::Credit(credit) => Some(credit.units),
        _ => None,
    });
    assert!(told < said.iter().position(|frame| matches!(frame, Frame::Credit(_))), "{said:?}");
    assert_eq!((told.is_some(), credit), (true, Some(8)), "twice as many as may be open");
    assert!(!Script::new().first.iter().any(|frame| matches!(frame, Frame::Concurrency(_))));
}

#[test]
fn parcels_are_begun_until_twice_as_many_units_are_there_as_may_be_open() {
    let mut script = Script::with(4, Limits::default());
    for parcel in 0..5 {
        script.hears_three(parcel);
    }
    assert_eq!(script.did(), (vec![0, 3, 6], vec![]));
    script.worked(1, 2, None);
    assert_eq!(script.did(), (vec![9], vec![]));
}

#[test]
fn credit_comes_back_with_the_units_and_done_with_the_last_of_a_parcel() {
    let limits = Limits { intake_units_max: 8, ..Limits::default() };
    let mut script = Script::with(4, limits);
    script.hears_three(0);
    script.hears_three(1);
    script.says();
    script.worked(0, 2, None);
    assert!(matches!(script.says()[..], [Frame::Credit(Credit { units: 10, .. })]));
    script.worked(1, 3, Some(Busy::alone(7)));
    let said = script.says();
    assert!(matches!(&said[0], Frame::Done(Done { parcel: 1, busy_ns: 7, .. })), "{said:?}");
}

#[test]
fn a_worker_that_leaves_waits_half_a_minute_for_what_it_has_open() {
    let mut script = Script::with(4, Limits::default());
    script.hears_three(0);
    script.event(Event::Drain);
    script.says();
    script.event(Event::Reply(Reply::Truncated { ticket: 0, keep: 2 }));
    assert!(matches!(script.says()[..], [Frame::Returned { parcel: 0, keep: 2 }]));
    for _ in 0..29 {
        script.now = script.now + Duration::from_secs(1);
        script.hears(Frame::Beat);
    }
    assert!(!script.says().contains(&Frame::Bye));
    script.now = script.now + Duration::from_secs(1);
    script.hears(Frame::Beat);
    assert!(script.says().contains(&Frame::Bye));
}

#[test]
fn a_worker_of_a_run_that_ends_finishes_what_it_works_on_and_gives_back_the_rest() {
    let mut script = Script::new();
    script.hears_work(0, 5);
    script.hears_work(1, 6);
    assert_eq!(script.did(), (vec![5], vec![]));
    script.now = Time::from_ms(4_001);
    script.hears(Frame::Leaving);
    let [home, _] = script.said();
    assert!(home.contains(&Frame::Returned { parcel: 1, keep: 0 }), "{home:?}");
    let running = |said: &[Frame]| match said {
        [.., Frame::Report(report)] => report.running,
        other => panic!("{other:?}"),
    };
    assert_eq!(running(&home), Some(Running { units: 1, longest_ms: 4_000 }));
    script.hears_work(2, 7);
    let [home, _] = script.said();
    assert_eq!(home, [Frame::Returned { parcel: 2, keep: 0 }], "it takes nothing more");

    script.finishes(0, 5);
    let [home, sink] = script.said();
    assert!(matches!(&sink[..], [Frame::Results(_), Frame::Bye]), "{sink:?}");
    assert!(!home.contains(&Frame::Bye), "the sink may not have it: {home:?}");
    script.hears_sink(Frame::Bye);
    let [home, _] = script.said();
    assert_eq!(home.last(), Some(&Frame::Bye));
}

#[test]
fn a_worker_of_a_run_that_ends_tells_a_sink_that_was_lost_again() {
    let mut script = Script::new();
    script.hears_work(0, 5);
    script.finishes(0, 5);
    script.hears(Frame::Leaving);
    let [home, sink] = script.said();
    assert!(matches!(&sink[..], [Frame::Results(_), Frame::Bye]), "{sink:?}");
    assert!(!home.contains(&Frame::Bye));
    let link = script.worker.membership.as_ref().unwrap().downstream.sink();
    script.event(Event::LaneDown { link });
    script.out.clear();
    script.meets_the_sink();
    let [home, sink] = script.said();
    assert!(matches!(&sink[..], [Frame::Results(_), Frame::Bye]), "{sink:?}");
    assert!(!home.contains(&Frame::Bye));
    script.hears_sink(Frame::Bye);
    assert_eq!(script.said()[0].last(), Some(&Frame::Bye));
}

#[test]
fn a_worker_with_nothing_to_hand_over_leaves_at_once() {
    let mut script = Script::new();
    script.hears(Frame::Leaving);
    assert_eq!(script.said()[0].last(), Some(&Frame::Bye));
}

/// Who is replaced says goodbye like one that leaves, and only then ends.
#[test]
fn a_worker_that_is_replaced_leaves_first_and_ends_with_a_code_of_its_own() {
    let mut script = Script::new();
    script.event(Event::Reply(Reply::Replaced));
    let [to_ventilator, _] = script.said();
    // Nothing of itself, so that it is not counted beside the one that comes.
    assert_eq!(to_ventilator, [Frame::Bye]);
    assert_eq!(script.worker.exit, None);
    script.hears(Frame::Bye);
    assert_eq!(script.worker.exit, Some(exit::REPLACED));
}

/// What would come after it knows nothing of what was asked of it.
#[test]
fn a_worker_that_is_asked_to_leave_is_not_replaced() {
    let orders: [fn(&mut Script); 4] = [
        |script| {
            script.event(Event::Drain);
            script.event(Event::Reply(Reply::Replaced));
        },
        |script| {
            script.event(Event::Reply(Reply::Replaced));
            script.event(Event::Drain);
        },
        |script| {
            script.event(Event::Reply(Reply::Replaced));
            script.hears(Frame::Leaving);
        },
        |script| {
            script.event(Event::Reply(Reply::Replaced));
            script.hears(Frame::Stop);
        },
    ];
    for order in orders {
        let mut script = Script::new();
        order(&mut script);
        script.hears(Frame::Bye);
        assert_eq!(script.worker.exit, Some(exit::LEFT));
    }
}

/// Units name code, so it has to be there before them.
#[test]
fn code_is_handed_on_before_the_units_behind_it() {
    let mut script = Script::with(1, Limits::default());
    let code = Code { id: 3, bytes: Some(vec![1]) };
    script.hears(Frame::Code(Box::new(code.clone())));
    let units = Units::from_source(0, vec![1], vec![1]);
    script.hears(Frame::Work(Work { parcel: 0, attempt: 1, units }));
    let asked = script.out.iter().filter_map(|effect| match effect {
        Effect::Request(Request::Define(code)) => Some(Some((**code).clone())),
        Effect::Request(Request::Execute { .. }) => Some(None),
        _ => None,
    });
    assert_eq!(asked.collect::<Vec<_>>(), [Some(code), None]);
}

/// A run that has ended meanwhile tells nobody who is not part of it.
#[test]
fn a_worker_that_takes_anothers_place_waits_for_no_ventilator_that_is_gone() {
    for (inherits, code) in [(true, Some(exit::LEFT)), (false, None)] {
        let role = HelloRole::Worker { stage: None, own: false };
        let (name, host) = ("w".into(), "h".into());
        let hello = Hello { role, name, endpoints: vec![], host, pid: 1 };
        let (mut worker, mut out) = WorkerRole::new(1, hello, vec!["v".into()]);
        if inherits {
            worker.inherit();
        }
        for seconds in 0..=INHERITED.as_secs() {
            assert_eq!(worker.exit, None);
            worker.handle(Time::from_ms(1_000 * seconds + 1), Event::Tick, &mut out);
        }
        assert_eq!(worker.exit, code);
    }
}

/// A worker of the next stage, which is sent units.
struct Receiver {
    link: LinkId,
    session: u32,
    seq: u64,
}

impl Script {
    fn meets_a_receiver(&mut self) -> Receiver {
        let (name, host) = ("next-1".into(), "h".into());
        let contact = Contact { peer: RECEIVER, name, host, endpoints: vec!["n".into()] };
        self.hears(Frame::Roster(vec![contact]));
        let link = self.worker.membership.as_ref().unwrap().receivers.links().next().unwrap();
        self.event(Event::LaneUp { link, inbox: vec![] });
        let session = self.out.drain(..).fold(0, |session, effect| match effect {
            Effect::Send { link: to, envelope } if to == link => envelope.session,
            _ => session,
        });
        let mut receiver = Receiver { link, session, seq: 0 };
        self.hears_of(&mut receiver, Frame::Welcome(Box::new(Welcome::Peer)));
        self.hears_of(&mut receiver, Frame::Credit(Credit { units: 9, bytes: 99 }));
        receiver
    }

    fn hears_of(&mut self, receiver: &mut Receiver, frame: Frame) {
        let Receiver { session, seq, .. } = *receiver;
        receiver.seq += 1;
        let from = RECEIVER;
        self.event(Event::Frame(Envelope { version: 1, run: 7, from, session, seq, frame }));
    }

    /// What it has noted since it was asked last, and the parcel that it has sent.
    fn noted(&mut self) -> (Vec<diary::Event>, Option<ParcelId>) {
        let (mut notes, mut sent) = (vec![], None);
        for effect in self.out.drain(..) {
            match effect {
                Effect::Request(Request::Note(event)) => notes.push(event),
                Effect::Send { envelope: Envelope { frame: Frame::Work(work), .. }, .. } => {
                    sent = Some(work.parcel);
                }
                _ => {}
            }
        }
        (notes, sent)
    }
}

#[test]
fn what_becomes_of_a_unit_that_is_sent_on_is_noted_if_a_diary_is_kept() {
    for chronicle in [Chronicle::Written, Chronicle::Unwritten] {
        let next = Stage { backoff_ms: 0, ..Stage::new("next", Function::Own) };
        let mut script = Script::before(Some((next, chronicle)), 1, Limits::default());
        let keeps = chronicle == Chronicle::Written;
        let mut receiver = script.meets_a_receiver();
        script.hears_work(0, 5);
        script.finishes(0, 5);
        let (notes, parcel) = script.noted();
        let (first, count, worker) = (5, 1, "next-1".to_owned());
        let sent = |attempt| diary::Event::Sent { first, count, worker: worker.clone(), attempt };
        let kept = |events: Vec<diary::Event>| if keeps { events } else { vec![] };
        assert_eq!(notes, kept(vec![sent(1)]));

        let parcel = parcel.expect("a parcel for the next stage");
        let error = "no such page".to_owned();
        let failed = vec![Failed { index: 0, error: error.clone() }];
        script.hears_of(&mut receiver, Frame::Done(Done { parcel, busy_ns: 1, failed }));
        script.event(Event::Tick);
        let failed = diary::Event::Failed { unit: 5, worker: worker.clone(), error };
        assert_eq!(script.noted().0, kept(vec![failed, sent(2)]));

        script.event(Event::LaneDown { link: receiver.link });
        let loss = "disconnected".to_owned();
        assert_eq!(script.noted().0, kept(vec![diary::Event::Lost { worker, loss }]));
    }
}

impl Script {
    /// One that has lost its ventilator with so many of three units begun, and has met the next one.
    fn orphaned(open: u32, begun: u32) -> Self {
        let mut script = Self::with(open, Limits::default());
        script.hears_three(0);
        script.event(Event::LaneDown { link: script.worker.home.link });
        script.event(Event::Reply(Reply::Truncated { ticket: 0, keep: begun }));
        script.meets_the_ventilator(None, Limits::default());
        script
    }

    /// The ventilator sends a parcel of the units from that one on; which of them are begun, and what is
    /// said.
    fn is_sent_again(
        &mut self,
        parcel: ParcelId,
        first: u64,
        count: u32,
    ) -> (Vec<u64>, Vec<Frame>) {
        let (values, ends) = ((0..count as u8).collect(), (1..=count).collect());
        let units = Units::from_source(first, values, ends);
        self.out.clear();
        self.hears(Frame::Work(Work { parcel, attempt: 1, units }));
        let begun = self.out.iter().flat_map(|effect| match effect {
            Effect::Request(Request::Execute { units, .. }) => {
                units.iter().map(|(root, _, _)| root).collect()
            }
            _ => vec![],
        });
        (begun.collect(), self.says())
    }
}

/// It may have taken days, and whoever sends it again knows nothing of it.
#[test]
fn a_unit_that_was_worked_on_when_its_ventilator_was_lost_is_not_begun_again() {
    let mut script = Script::orphaned(1, 1);
    script.finishes(0, 0);
    let (begun, said) = script.is_sent_again(7, 0, 4);
    assert_eq!((begun, said), (vec![1, 2, 3], vec![]));
    // What fails, and what goes back, is told by its place in the parcel.
    let failed = |index| Failed { index, error: "no".into() };
    let product = Product { worked: 1, failed: vec![failed(0)], ..Product::default() };
    script.event(Event::Reply(Reply::Truncated { ticket: 1, keep: 2 }));
    let finished = Some(Busy::alone(1));
    script.event(Event::Reply(Reply::Product { ticket: 1, product, finished }));
    let said = script.says();
    let done = Frame::Done(Done { parcel: 7, busy_ns: 1, failed: vec![failed(1)] });
    assert!(said.contains(&Frame::Returned { parcel: 7, keep: 3 }), "{said:?}");
    assert!(said.contains(&done), "{said:?}");

    let (begun, said) = script.is_sent_again(8, 0, 1);
    let done = Frame::Done(Done { parcel: 8, busy_ns: 0, failed: vec![] });
    assert!(begun.is_empty() && said.contains(&done), "{begun:?} {said:?}");
    script.hears(Frame::Commit(Commit { above: vec![(0, 1)], ..Commit::default() }));
    assert_eq!(script.is_sent_again(9, 0, 1).0, [0], "of what is committed nothing is remembered");
}

#[test]
fn a_unit_that_failed_when_its_ventilator_was_lost_is_begun_again() {
    let mut script = Script::orphaned(1, 1);
    let failed = vec![Failed { index: 0, error: "no".into() }];
    let product = Product { worked: 1, failed, ..Product::default() };
    let finished = Some(Busy::alone(1));
    script.event(Event::Reply(Reply::Product { ticket: 0, product, finished }));
    assert_eq!(script.is_sent_again(7, 0, 2).0, [0, 1]);
}

#[test]
fn a_unit_that_is_still_open_is_not_begun_before_it_is_known_what_comes_of_it() {
    let mut script = Script::orphaned(8, 3);
    assert!(script.is_sent_again(7, 1, 1).0.is_empty());
    assert_eq!(script.is_sent_again(8, 3, 1).0, [3], "others do not wait for it");
    script.out.clear();
    script.worked(0, 3, Some(Busy::alone(1)));
    let done = Frame::Done(Done { parcel: 7, busy_ns: 0, failed: vec![] });
    let said = script.says();
    assert!(said.contains(&done), "{said:?}");
}
