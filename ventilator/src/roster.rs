//! The workers of all stages.
//!
//! Owns who is there, in which stage, and what each one says of itself; tells the workers of a stage
//! who those of the next one are. Refuses to decide who is admitted, and to know of units.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use proto::{
    frame::{Contact, Frame, Hello, PASSED_MAX, Passed, PeerId, Running, StageTally, WorkerTally},
    limits::CONCURRENCY_CEILING,
    role::{Effect, LinkId},
    rules::mesh::{Loss, Mesh},
    time::Time,
};

/// A worker that was admitted.
#[derive(Debug)]
pub(crate) struct Member {
    /// The index of its stage.
    pub stage: u32,
    // How many units it has open at once.
    open: u32,
    contact: Contact,
    figures: WorkerTally,
    // Units that a function works on, and since when on the oldest.
    running: Option<(u64, Time)>,
}

impl Member {
    /// Its human-readable name.
    pub fn name(&self) -> &str {
        &self.contact.name
    }
}

/// The workers of all stages, those that were there included.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    members: BTreeMap<LinkId, Member>,
    // Whose session is over although nothing says that they are dead, and why it is.
    astray: BTreeMap<PeerId, Loss>,
    former: Vec<WorkerTally>,
    // What passed of late, and the number of the next.
    passed: VecDeque<Passed>,
    next_passed: u64,
}

/// Whether the workers of one stage send to those of another: the one place that knows that stages
/// are a line.
fn is_before(stage: u32, next: u32) -> bool {
    stage.checked_add(1) == Some(next)
}

impl Roster {
    /// A worker is admitted to a stage.
    pub fn admit(&mut self, link: LinkId, peer: PeerId, stage: u32, hello: Hello) {
        let Hello { name, host, endpoints, .. } = hello;
        self.astray.remove(&peer);
        let figures = WorkerTally { name: name.clone(), stage, ..Default::default() };
        let contact = Contact { peer, name, host, endpoints };
        self.members.insert(link, Member { stage, open: 1, contact, figures, running: None });
    }

    /// A worker has so many units open at once.
    pub fn opens(&mut self, link: LinkId, units: u32) {
        if let Some(member) = self.members.get_mut(&link) {
            member.open = units.clamp(1, CONCURRENCY_CEILING);
        }
    }

    /// How many units all of them have open, but for those that have one at a time.
    pub fn open(&self) -> u32 {
        let several = self.members.values().filter(|member| member.open > 1);
        several.fold(0, |sum, member| sum.saturating_add(member.open))
    }

    /// How many are there.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether none is there, and none is expected to come back.
    pub fn is_gone(&self) -> bool {
        self.members.is_empty() && self.astray.is_empty()
    }

    /// Whether nobody is left who is heard: those who are there are quiet, and those who may come
    /// back fell silent.
    pub fn is_unheard(&self, is_quiet: impl Fn(LinkId) -> bool) -> bool {
        self.members.keys().all(|link| is_quiet(*link))
            && self.astray.values().all(|loss| *loss == Loss::Silent)
    }

    /// Whether a stage has a worker.
    pub fn has_stage(&self, stage: u32) -> bool {
        self.members.values().any(|member| member.stage == stage)
    }

    /// Whether someone whose session is over may come back.
    pub fn has_astray(&self) -> bool {
        !self.astray.is_empty()
    }

    /// A worker.
    pub fn get(&self, link: LinkId) -> Option<&Member> {
        self.members.get(&link)
    }

    /// All workers, in order.
    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        self.links_from(0)
    }

    /// All workers in order, from a link on.
    pub fn links_from(&self, first: LinkId) -> impl Iterator<Item = LinkId> {
        self.members.range(first..).map(|(link, _)| *link)
    }

    /// The workers of a stage, in order.
    pub fn links_of(&self, stage: u32) -> impl Iterator<Item = LinkId> {
        let members = self.members.iter().filter(move |(_, member)| member.stage == stage);
        members.map(|(link, _)| *link)
    }

    /// A worker says how it gets on.
    pub fn figures(&mut self, link: LinkId, mut figures: WorkerTally) {
        let Some(member) = self.members.get_mut(&link) else { return };
        let (name, stage) = (member.contact.name.clone(), member.stage);
        let sample = figures.sample.take();
        member.figures = WorkerTally { name: name.clone(), ..figures };
        if let Some(sample) = sample.filter(|sample| sample.is_bounded()) {
            let number = self.next_passed;
            self.next_passed += 1;
            self.passed.push_back(Passed { number, stage, worker: name, sample: *sample });
            if self.passed.len() > PASSED_MAX {
                self.passed.pop_front();
            }
        }
    }

    /// What passed of late, the oldest first.
    pub fn passed(&self) -> impl Iterator<Item = &Passed> {
        self.passed.iter()
    }

    /// What those have done that are there.
    pub fn present(&self) -> impl Iterator<Item = WorkerTally> {
        self.members.values().map(|member| member.figures.clone())
    }

    /// What each of so many stages has done.
    pub fn stages(&self, count: usize) -> Vec<StageTally> {
        let mut stages = vec![StageTally::default(); count];
        let present = self.members.values().map(|member| (&member.figures, 1));
        for (figures, here) in present.chain(self.former.iter().map(|figures| (figures, 0))) {
            if let Some(stage) = stages.get_mut(figures.stage as usize) {
                stage.workers += here;
                stage.add(figures);
            }
        }
        stages
    }

    /// A worker says what it works on.
    pub fn running(&mut self, link: LinkId, now: Time, running: Option<Running>) {
        if let Some(member) = self.members.get_mut(&link) {
            let since = |ms| now.before(Duration::from_millis(ms));
            member.running = running.map(|running| (running.units, since(running.longest_ms)));
        }
    }

    /// How many units are worked on, and the longest for how long; none if there are none.
    pub fn all_running(&self, now: Time) -> Option<Running> {
        let running = self.members.values().filter_map(|member| member.running);
        let oldest = running.clone().map(|(_, since)| since).min()?;
        let units = running.map(|(units, _)| units).sum();
        Some(Running { units, longest_ms: now.since(oldest).as_millis() as u64 })
    }

    /// What all of them say.
    pub fn tallies(&self) -> Vec<WorkerTally> {
        self.present().chain(self.former.iter().cloned()).collect()
    }

    /// A worker has said goodbye. One that has said nothing of itself before was never ready for
    /// anything: another worker of the same name comes in its place.
    pub fn left(&mut self, link: LinkId) -> Option<Member> {
        let member = self.members.remove(&link)?;
        if member.figures.present_ns > 0 {
            self.former.push(member.figures.clone());
        }
        Some(member)
    }

    /// A worker's session has ended. Unless its lane says that it is gone it may come back, and is
    /// waited for at the end; `peers_max` bounds how many are.
    pub fn lost(&mut self, link: LinkId, loss: Loss, peers_max: u32) -> Option<Member> {
        let member = self.members.remove(&link)?;
        self.former.push(member.figures.clone());
        if loss != Loss::Disconnected && self.astray.len() < peers_max as usize {
            self.astray.insert(member.contact.peer, loss);
        }
        Some(member)
    }

    /// Tells the workers before `stage` who is in it.
    pub fn tell<Q>(&self, stage: u32, mesh: &mut Mesh, out: &mut Vec<Effect<Q>>) {
        self.tell_but(None, stage, mesh, out);
    }

    /// A worker takes no more. Those that have a lane to it see its own Leaving; new ones must not
    /// learn of it.
    pub fn tell_leaving<Q>(&self, link: LinkId, mesh: &mut Mesh, out: &mut Vec<Effect<Q>>) {
        if let Some(member) = self.members.get(&link) {
            self.tell_but(Some(member.contact.peer), member.stage, mesh, out);
        }
    }

    /// Tells a worker who is in the stages after its own.
    pub fn introduce<Q>(
        &self,
        link: LinkId,
        stages: u32,
        mesh: &mut Mesh,
        out: &mut Vec<Effect<Q>>,
    ) {
        let Some(member) = self.members.get(&link) else { return };
        for next in (0..stages).filter(|next| is_before(member.stage, *next)) {
            mesh.send(link, Frame::Roster(self.contacts(next, None)), out);
        }
    }

    fn tell_but<Q>(
        &self,
        but: Option<PeerId>,
        stage: u32,
        mesh: &mut Mesh,
        out: &mut Vec<Effect<Q>>,
    ) {
        let before = self.members.iter().filter(|(_, member)| is_before(member.stage, stage));
        for (link, _) in before {
            mesh.send(*link, Frame::Roster(self.contacts(stage, but)), out);
        }
    }

    fn contacts(&self, stage: u32, but: Option<PeerId>) -> Vec<Contact> {
        let members = self.members.values().filter(|member| member.stage == stage);
        let contacts = members.map(|member| &member.contact);
        contacts.filter(|contact| Some(contact.peer) != but).cloned().collect()
    }
}
