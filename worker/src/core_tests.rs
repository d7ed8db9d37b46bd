//! Scripts: what a worker hears, and what it does.

use proto::{
    frame::{Commit, Credit, Envelope, ParcelId, Work},
    plan::{Function, Stage},
    role::Role as _,
    units::Units,
};

use super::*;
use crate::parcels::FULL_PATIENCE;

const VENTILATOR: PeerId = 50;
const SINK: PeerId = 60;

/// A worker of the only stage that may keep next to nothing.
struct Script {
    now: Time,
    worker: WorkerRole,
    out: Effects,
    session: u32,
    seq: u64,
}

impl Script {
    fn new() -> Self {
        let role = HelloRole::Worker { stage: None, own: true };
        let (name, host) = ("w".into(), "h".into());
        let hello = Hello { role, name, endpoints: vec![], host, pid: 1 };
        let (worker, out) = WorkerRole::new(1, hello, vec!["v".into()]);
        let mut script = Self { now: Time::from_ms(1), worker, out, session: 0, seq: 0 };
        script.event(Event::LaneUp { link: script.worker.home.link, inbox: vec![] });
        script.session = script.out.drain(..).fold(0, |session, effect| match effect {
            Effect::Send { envelope, .. } => envelope.session,
            _ => session,
        });
        script.hears(Frame::Welcome(Box::new(Welcome::Plan(Box::new(Plan {
            stage_index: 0,
            stages: 1,
            stage: Stage::new("s", Function::Own),
            next: None,
            sink: vec!["s".into()],
            limits: Limits { window_bytes_max: 3, ..Limits::default() },
            carries_input: false,
        })))));
        script.event(Event::Reply(Reply::Loaded { open: 1 }));
        script.meets_the_sink();
        script
    }

    fn meets_the_sink(&mut self) {
        let link = self.worker.membership.as_ref().unwrap().downstream.sink();
        self.event(Event::LaneUp { link, inbox: vec![] });
        let session = self.out.drain(..).fold(0, |session, effect| match effect {
            Effect::Send { link: to, envelope } if to == link => envelope.session,
            _ => session,
        });
        let granted = Frame::Credit(Credit { units: 99, bytes: 999 });
        let welcome = Frame::Welcome(Box::new(Welcome::Peer));
        for (seq, frame) in (0..).zip([welcome, granted]) {
            let from = SINK;
            self.event(Event::Frame(Envelope { version: 1, run: 7, from, session, seq, frame }));
        }
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
