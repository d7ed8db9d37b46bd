//! The client's part in the protocol, as a state machine.
//!
//! Owns what is sent to the ventilator and to the sink, and what follows from their answers: what is not
//! accepted is submitted again, what has no outcome is asked for again, whoever of the two was lost or
//! started anew. Refuses sockets, files and clocks, and to know who in the program waits.

use std::time::Duration;

use proto::{
    frame::{Frame, Hello, HelloRole, PeerId, Refusal, RunId, Welcome},
    limits::Limits,
    ranges::RangeSet,
    role::{self, Effect, Event, LinkId, Role},
    rules::mesh::{Mesh, MeshEvent},
    service::{Access, Cancelled, Declined, IdRange, Outcomes, Part, RANGES_MAX, Ticketed},
    time::Time,
    unit::UnitId,
};

use crate::{
    fetched::Fetched,
    gather::Gather,
    outcome::{Outcome, Undone},
    submissions::{Keeps, Submissions},
};

pub use crate::submissions::Submission;

/// How long outcomes that the program has taken are gathered before the sink is told.
const FETCHED_AFTER: Duration = Duration::from_millis(20);
/// How often the service is looked for while it is not there.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How long a goodbye is waited for.
const GOODBYE: Duration = Duration::from_secs(2);

/// What the program wants.
#[derive(Debug)]
pub enum Order {
    /// Submit units.
    Submit(Submission),
    /// Wait for the outcomes of these units.
    Await(IdRange),
    /// The program has these outcomes.
    Fetched(Vec<IdRange>),
    /// Show the outputs of this unit as they come, if its stage streams.
    Follow(UnitId),
    /// These units shall not be worked on.
    Cancel(IdRange),
    /// The service is there now.
    Found(Vec<String>),
    /// Say goodbye, once everything is accepted.
    Close,
}

/// What the program learns, or is asked for.
#[derive(Debug, PartialEq)]
pub enum News {
    /// The service answers; it is this run.
    Opened(RunId),
    /// The service refuses this client.
    Refused(Refusal),
    /// Units have tickets.
    Accepted(Ticketed),
    /// Units have none, and will not.
    Declined(Declined),
    /// What became of units.
    Outcomes(Vec<(UnitId, Outcome)>),
    /// Outputs of a unit that is still worked on.
    Part(Part),
    /// Units of which nothing will be told.
    Undone(UnitId, UnitId, Undone),
    /// What became of the wish to cancel.
    Cancelled(Vec<Cancelled>),
    /// Whether a stage has no worker.
    Vacant(bool),
    /// Whether units have to wait, since the service takes no more.
    HeldUp(bool),
    /// Whether both the ventilator and the sink are there.
    Present(bool),
    /// The service was started over: all tickets of before are void.
    StartedOver,
    /// Say which outcomes the program has taken: [`Order::Fetched`].
    Collect,
    /// Look where the service is now: [`Order::Found`].
    Look,
}

type Turn<'a> = role::Turn<'a, Effect<News>>;

/// See the module.
pub struct Client {
    mesh: Mesh,
    endpoints: Vec<String>,
    ventilator: LinkId,
    sink: Option<LinkId>,
    sink_at: Vec<String>,
    submissions: Submissions,
    gather: Gather,
    // Units without an outcome that the program waits for.
    awaited: RangeSet,
    cancels: Vec<IdRange>,
    // Units without an outcome whose outputs the program wants as they come.
    followed: RangeSet,
    fetched: Fetched,
    // Outcomes were told since the program was asked what it has taken.
    collect_at: Option<Time>,
    look_at: Option<Time>,
    vacant: bool,
    held_up: bool,
    present: bool,
    closing: Option<Time>,
    goodbyes: u32,
    exit: bool,
}

impl Client {
    /// A client of the service whose ventilator listens at one of these endpoints.
    pub fn new(me: PeerId, hello: Hello, endpoints: Vec<String>) -> (Self, Vec<Effect<News>>) {
        let keeps = match &hello.role {
            HelloRole::Client { client, .. } if !client.is_empty() => Keeps::Always,
            HelloRole::Client { cancels: true, .. } => Keeps::UntilOver,
            _ => Keeps::UntilAnswered,
        };
        let submissions = Submissions::keeping(keeps);
        let mut mesh = Mesh::new(me, hello, &Limits::default());
        let mut out = Vec::new();
        let ventilator = mesh.dial(endpoints.clone(), None, &mut out);
        let client = Self {
            mesh,
            endpoints,
            ventilator,
            sink: None,
            sink_at: Vec::new(),
            submissions,
            gather: Gather::default(),
            awaited: RangeSet::new(),
            cancels: Vec::new(),
            followed: RangeSet::new(),
            fetched: Fetched::default(),
            collect_at: None,
            look_at: None,
            vacant: false,
            held_up: true,
            present: false,
            closing: None,
            goodbyes: 0,
            exit: false,
        };
        (client, out)
    }

    fn ordered(&mut self, turn: &mut Turn<'_>, order: Order) {
        match order {
            Order::Submit(submission) => self.submissions.push(submission),
            Order::Await((start, end)) => {
                // Whether there is such a unit, only the ventilator knows.
                if self.mesh.is_open(self.ventilator) {
                    let range = vec![(start, end)];
                    self.mesh.send(self.ventilator, Frame::Await(range), turn.out);
                }
                self.wait_for(turn, start, end);
            }
            Order::Fetched(ranges) => self.fetched(turn, &ranges),
            Order::Follow(unit) => self.follow(turn, unit),
            Order::Cancel(range) => {
                self.mesh.send(self.ventilator, Frame::Cancel(vec![range]), turn.out);
                self.cancels.push(range);
            }
            Order::Found(endpoints) if endpoints != self.endpoints => {
                self.mesh.hang_up(self.ventilator, turn.out);
                self.ventilator = self.mesh.dial(endpoints.clone(), None, turn.out);
                self.endpoints = endpoints;
            }
            Order::Found(_) => {}
            Order::Close => self.closing = Some(turn.now),
        }
    }

    fn wait_for(&mut self, turn: &mut Turn<'_>, start: UnitId, end: UnitId) {
        self.awaited.insert(start..end);
        if let Some(sink) = self.sink {
            self.mesh.send(sink, Frame::Await(vec![(start, end)]), turn.out);
        }
    }

    /// Of what has an outcome nothing more comes.
    fn follow(&mut self, turn: &mut Turn<'_>, unit: UnitId) {
        if self.awaited.contains(unit) {
            self.followed.insert(unit..unit + 1);
            if let Some(sink) = self.sink {
                self.mesh.send(sink, Frame::Follow(unit), turn.out);
            }
        }
    }

    fn fetched(&mut self, turn: &mut Turn<'_>, ranges: &[IdRange]) {
        match self.sink.filter(|sink| self.mesh.is_open(*sink)) {
            Some(sink) => {
                self.fetched.told(turn.now, ranges);
                self.tell_fetched(turn, sink, ranges);
            }
            None => self.fetched.keep(ranges),
        }
    }

    fn tell_fetched(&mut self, turn: &mut Turn<'_>, sink: LinkId, ranges: &[IdRange]) {
        for part in ranges.chunks(RANGES_MAX) {
            self.mesh.send(sink, Frame::Fetched(part.to_vec()), turn.out);
        }
    }

    fn mesh_event(&mut self, turn: &mut Turn<'_>, event: MeshEvent) {
        match event {
            MeshEvent::Opened { link, welcome, run } => self.opened(turn, link, *welcome, run),
            MeshEvent::Refused { refusal, .. } => turn.request(News::Refused(refusal)),
            MeshEvent::Broken { link, .. } if link == self.ventilator => {
                self.look_at = Some(turn.now + LOOK_INTERVAL);
            }
            MeshEvent::Broken { link, .. } if Some(link) == self.sink => self.fetched.lost(),
            MeshEvent::Frame { link, frame } => self.heard(turn, link, frame),
            MeshEvent::Asked { link, .. } => self.mesh.refuse(link, Refusal::OtherRun, turn.out),
            _ => {}
        }
    }

    fn opened(&mut self, turn: &mut Turn<'_>, link: LinkId, welcome: Welcome, run: RunId) {
        match welcome {
            Welcome::Access(access) if link == self.ventilator => self.admitted(turn, *access, run),
            Welcome::Peer if Some(link) == self.sink && run == self.mesh.run() => {
                self.tell_awaited(turn, link);
                for unit in self.followed.iter().flatten() {
                    self.mesh.send(link, Frame::Follow(unit), turn.out);
                }
                let fetched = self.fetched.again(turn.now);
                self.tell_fetched(turn, link, &fetched);
            }
            _ => {}
        }
    }

    /// A session begins with whoever has to know what is waited for.
    fn tell_awaited(&mut self, turn: &mut Turn<'_>, link: LinkId) {
        let ranges: Vec<_> = self.awaited.iter().map(|range| (range.start, range.end)).collect();
        for part in ranges.chunks(RANGES_MAX) {
            self.mesh.send(link, Frame::Await(part.to_vec()), turn.out);
        }
    }

    /// The ventilator has answered: this is the run, and there is its sink.
    fn admitted(&mut self, turn: &mut Turn<'_>, access: Access, run: RunId) {
        let before = self.mesh.run();
        self.mesh.join(run);
        self.mesh.adopt(&access.limits);
        self.look_at = None;
        if before != 0 && before != run {
            (self.awaited, self.gather) = (RangeSet::new(), Gather::default());
            self.followed = RangeSet::new();
            self.fetched = Fetched::default();
            self.submissions.over(0..UnitId::MAX);
            turn.request(News::StartedOver);
        }
        turn.request(News::Opened(run));
        self.vacant(turn, access.vacant);
        self.submissions.opened();
        self.tell_awaited(turn, self.ventilator);
        for range in std::mem::take(&mut self.cancels) {
            self.mesh.send(self.ventilator, Frame::Cancel(vec![range]), turn.out);
            self.cancels.push(range);
        }
        if self.sink.is_none() || self.sink_at != access.sink || before != run {
            if let Some(sink) = self.sink {
                self.mesh.hang_up(sink, turn.out);
            }
            self.sink = Some(self.mesh.dial(access.sink.clone(), None, turn.out));
            self.sink_at = access.sink;
        }
    }

    fn heard(&mut self, turn: &mut Turn<'_>, link: LinkId, frame: Frame) {
        let is_ventilator = link == self.ventilator;
        match frame {
            Frame::Credit(credit) if is_ventilator => self.submissions.granted(credit),
            Frame::Accepted(told) if is_ventilator => {
                for ticketed in told {
                    self.accepted(turn, ticketed);
                }
            }
            Frame::Declined(declined) if is_ventilator => {
                self.submissions.answered(declined.number, declined.count);
                turn.request(News::Declined(declined));
            }
            Frame::Cancelled(told) if is_ventilator => {
                let is_told = |(start, end): &IdRange| {
                    told.iter().any(|each| (*start..*end).contains(&each.ticket))
                };
                self.cancels.retain(|range| !is_told(range));
                turn.request(News::Cancelled(told));
            }
            Frame::Vacant(vacant) if is_ventilator => self.vacant(turn, vacant),
            Frame::Outcomes(outcomes) if is_ventilator => self.undone(turn, &outcomes),
            Frame::Outcomes(outcomes) if Some(link) == self.sink => {
                self.undone(turn, &outcomes);
                let mut told = self.gather.take(*outcomes);
                told.retain(|(unit, _)| self.awaited.contains(*unit));
                for (unit, _) in &told {
                    self.submissions.over(*unit..unit + 1);
                    self.awaited.remove(*unit..unit + 1);
                    self.followed.remove(*unit..unit + 1);
                }
                if !told.is_empty() {
                    self.collect_at.get_or_insert(turn.now + FETCHED_AFTER);
                    turn.request(News::Outcomes(told));
                }
            }
            Frame::Part(part) if Some(link) == self.sink && self.followed.contains(part.unit) => {
                turn.request(News::Part(part));
            }
            Frame::Bye => self.goodbyes += 1,
            _ => {}
        }
    }

    /// Of some units nothing will be told.
    fn undone(&mut self, turn: &mut Turn<'_>, outcomes: &Outcomes) {
        for (start, end, why) in Gather::undone(outcomes) {
            // The ventilator and the sink answer each at its time: there may have been an outcome since.
            for range in self.awaited.within(start..end) {
                self.awaited.remove(range.clone());
                self.followed.remove(range.clone());
                self.submissions.over(range.clone());
                turn.request(News::Undone(range.start, range.end, why));
            }
        }
    }

    fn accepted(&mut self, turn: &mut Turn<'_>, ticketed: Ticketed) {
        let Ticketed { number, count, ticket } = ticketed;
        let awaits = self.submissions.answered(number, count);
        // Who waits has to be known before there is an outcome.
        turn.request(News::Accepted(ticketed));
        if awaits {
            self.submissions.begun(&ticketed);
            self.wait_for(turn, ticket, ticket + count);
        }
    }

    fn vacant(&mut self, turn: &mut Turn<'_>, vacant: bool) {
        if std::mem::replace(&mut self.vacant, vacant) != vacant {
            turn.request(News::Vacant(vacant));
        }
    }

    /// What follows from the state, whatever the event was.
    fn advance(&mut self, turn: &mut Turn<'_>) {
        if self.mesh.is_open(self.ventilator) {
            while let Some(submit) = self.submissions.next() {
                self.mesh.send(self.ventilator, Frame::Submit(Box::new(submit)), turn.out);
            }
        }
        let held_up = self.submissions.is_held_up();
        if std::mem::replace(&mut self.held_up, held_up) != held_up {
            turn.request(News::HeldUp(held_up));
        }
        let present = [Some(self.ventilator), self.sink]
            .into_iter()
            .all(|link| link.is_some_and(|link| self.mesh.is_open(link)));
        if std::mem::replace(&mut self.present, present) != present {
            turn.request(News::Present(present));
        }
        if self.collect_at.is_some_and(|at| at <= turn.now) {
            self.collect_at = None;
            turn.request(News::Collect);
        }
        if self.look_at.is_some_and(|at| at <= turn.now) {
            self.look_at = Some(turn.now + LOOK_INTERVAL);
            turn.request(News::Look);
        }
        self.part(turn);
    }

    /// Leaves once everything is accepted, the sink was told what is fetched, and both have said goodbye, or
    /// after a while.
    fn part(&mut self, turn: &mut Turn<'_>) {
        let Some(since) = self.closing else { return };
        let peers = [Some(self.ventilator), self.sink].into_iter().flatten();
        let open: Vec<LinkId> = peers.filter(|link| self.mesh.is_open(*link)).collect();
        let has_told = self.submissions.is_empty() && !self.fetched.is_untold();
        if self.goodbyes == 0 && has_told {
            // Once: then nothing more is said.
            self.goodbyes = 1;
            for link in &open {
                self.mesh.send(*link, Frame::Bye, turn.out);
            }
        }
        let is_over =
            self.goodbyes > open.len() as u32 || (open.is_empty() && !self.fetched.is_untold());
        if is_over || turn.now.since(since) >= GOODBYE {
            self.exit = true;
            turn.exit(0);
        }
    }
}

impl Role for Client {
    type Request = News;
    type Reply = Order;

    fn handle(&mut self, now: Time, event: Event<Order>, out: &mut Vec<Effect<News>>) {
        if self.exit {
            return;
        }
        let turn = &mut Turn::new(now, out);
        match self.mesh.handle(turn, event) {
            Some(Event::Reply(order)) => self.ordered(turn, order),
            Some(Event::Drain) => self.closing = self.closing.or(Some(now)),
            _ => {}
        }
        if self.look_at.is_none() && !self.mesh.is_open(self.ventilator) {
            self.look_at = Some(now + LOOK_INTERVAL);
        }
        while let Some(event) = self.mesh.poll() {
            self.mesh_event(turn, event);
        }
        self.advance(turn);
    }

    fn deadline(&self) -> Option<Time> {
        let closing = self.closing.map(|since| since + GOODBYE);
        [self.mesh.deadline(), self.collect_at, self.look_at, closing].into_iter().flatten().min()
    }
}
