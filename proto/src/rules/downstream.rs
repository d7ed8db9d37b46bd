//! The sender's side of a process: what it has for others, until the sink has committed it.
//!
//! Owns the units for the workers of the stages that come next, the outcomes for the sink, and what
//! is known to be committed; a ventilator has one, and so has every worker, of whatever stage.
//! Refuses to know where units come from, and who its peers are: it is told of links, and says on
//! which of them what is sent. What a frame means is for the role to decide; each meaning is a
//! function here.
//!
//! Each stage that comes next has workers, stocks and parcels of its own; a link belongs to one of
//! them. What does not depend on the stage, as the way to the sink and what is committed, is there
//! once. So nothing here counts on stages being a line.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    frame::{Commit, Credit, Dead, Done, Frame, ParcelId, Results, Work},
    limits::Limits,
    plan::Stage,
    ranges::RangeSet,
    role::{Effect, LinkId, Turn},
    rules::{
        commit::Committed,
        dispatch::{Dispatch, Instruction, Recalled},
        mesh::{Loss, Mesh},
        outbox::Outbox,
    },
    time::Time,
    unit::UnitId,
    units::Units,
};

/// Who wants to know what becomes of units; `()` does not.
pub trait Witness<Q> {
    /// A parcel is sent to a worker.
    fn sent(&mut self, turn: &mut Turn<'_, Effect<Q>>, worker: &str, work: &Work);

    /// A worker says that an attempt of a unit has failed.
    fn failed(&mut self, turn: &mut Turn<'_, Effect<Q>>, worker: &str, failure: Failure<'_>);

    /// A unit has failed for good; the sink is told by itself.
    fn dead(&mut self, dead: &Dead);

    /// Units are committed: how long they were under way, and how many of them.
    fn committed(&mut self, latencies: Vec<(Duration, usize)>);
}

/// A unit that failed in one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure<'a> {
    /// Which.
    pub unit: UnitId,
    /// What its worker says.
    pub error: &'a str,
}

impl<Q> Witness<Q> for () {
    fn sent(&mut self, _: &mut Turn<'_, Effect<Q>>, _: &str, _: &Work) {}
    fn failed(&mut self, _: &mut Turn<'_, Effect<Q>>, _: &str, _: Failure<'_>) {}
    fn dead(&mut self, _: &Dead) {}
    fn committed(&mut self, _: Vec<(Duration, usize)>) {}
}

/// What one process has for others.
#[derive(Debug)]
pub struct Downstream<W> {
    sink: LinkId,
    outbox: Outbox,
    committed: Committed,
    // By the stage's index in the plan.
    stages: BTreeMap<u32, Dispatch>,
    // Workers are sent nothing any more.
    closed: bool,
    // Nor for now.
    paused: bool,
    witness: W,
}

impl<W> Downstream<W> {
    /// Nothing yet for the sink at the end of this link, and for no stage.
    pub fn new(sink: LinkId, limits: &Limits, witness: W) -> Self {
        let outbox = Outbox::new(limits);
        let (committed, stages) = (Committed::default(), BTreeMap::new());
        Self { sink, outbox, committed, stages, closed: false, paused: false, witness }
    }

    /// Units will be for the workers of this stage.
    pub fn feed(&mut self, stage_index: u32, stage: &Stage, limits: &Limits) {
        self.stages.insert(stage_index, Dispatch::new(stage_index, stage, limits));
    }

    /// Whether units are for the workers of this stage.
    pub fn feeds(&self, stage_index: u32) -> bool {
        self.stages.contains_key(&stage_index)
    }

    /// Where the sink is.
    pub fn sink(&self) -> LinkId {
        self.sink
    }

    /// What the sink has committed, as far as it is known here.
    pub fn committed(&self) -> &Committed {
        &self.committed
    }

    /// This unit gets on where there is no room, and not the oldest.
    pub fn urge(&mut self, unit: UnitId) {
        self.committed.urge(unit);
    }

    /// The units for each stage that comes next, and who has them.
    pub fn stages(&self) -> impl Iterator<Item = &Dispatch> {
        self.stages.values()
    }

    /// Who is told what becomes of units.
    pub fn witness(&self) -> &W {
        &self.witness
    }

    /// The same, to be told more.
    pub fn witness_mut(&mut self) -> &mut W {
        &mut self.witness
    }

    /// Bytes of values that are kept for workers.
    pub fn unit_bytes(&self) -> usize {
        self.stages().map(Dispatch::bytes).sum()
    }

    /// Bytes of outcomes that are kept for the sink.
    pub fn outcome_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// Whether the sink has been sent all outcomes that there are, in this session.
    pub fn is_told(&self) -> bool {
        self.outbox.is_sent()
    }

    /// Whether everything is committed.
    pub fn is_empty(&self) -> bool {
        self.outbox.is_empty() && self.stages().all(Dispatch::is_empty)
    }

    /// When something becomes possible by the passing of time alone.
    pub fn deadline(&self) -> Option<Time> {
        self.stages().filter(|_| self.is_open()).filter_map(Dispatch::deadline).min()
    }

    /// Takes units in for the workers of a stage.
    pub fn add(&mut self, stage_index: u32, units: Units) {
        if let Some(stage) = self.stages.get_mut(&stage_index) {
            stage.add(units);
        }
    }

    /// Takes outcomes in for the sink.
    pub fn push(&mut self, results: Results) {
        self.outbox.push(results);
    }

    /// No further units will be added but those that come back.
    pub fn ending(&mut self) {
        self.stages.values_mut().for_each(Dispatch::ending);
    }

    /// Workers are sent nothing from now on; what they have may still be finished. Outcomes go to the
    /// sink as before.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Workers are sent nothing as long as it is so; what they have they finish, and what comes back
    /// waits. Outcomes go to the sink as before.
    pub fn pause(&mut self, on: bool) {
        self.paused = on;
    }

    fn is_open(&self) -> bool {
        !self.closed && !self.paused
    }

    /// A session with the sink begins: what is not committed is sent again.
    pub fn sink_opened(&mut self) {
        self.outbox.opened();
    }

    /// The session with the sink has ended.
    pub fn sink_lost(&mut self) {
        self.outbox.broken();
    }

    /// Whether the sink takes so many bytes now that are no outcomes; they are to be sent then.
    pub fn spend(&mut self, bytes: usize) -> bool {
        self.outbox.spend(bytes)
    }

    /// The sink grants credit.
    pub fn sink_granted(&mut self, credit: Credit) {
        self.outbox.granted(credit);
    }

    /// What is committed; whether that is news. What has been added needs not be kept any more.
    pub fn commit<Q>(&mut self, turn: &Turn<'_, Effect<Q>>, commit: &Commit) -> bool
    where
        W: Witness<Q>,
    {
        let news = self.committed.apply(commit);
        let (set, grown) = (self.committed.set(), self.committed.news());
        for stage in self.stages.values_mut() {
            stage.committed(turn.now, set, grown);
            self.witness.committed(stage.take_latencies());
        }
        if news {
            self.outbox.committed(set);
        }
        news
    }

    /// The session of a worker of this stage begins.
    pub fn join(&mut self, stage_index: u32, link: LinkId, name: &str) {
        if let Some(stage) = self.stages.get_mut(&stage_index) {
            stage.join(link, name);
        }
    }

    /// A worker grants credit.
    pub fn granted(&mut self, link: LinkId, credit: Credit) {
        if let Some(stage) = self.stage_of(link) {
            stage.granted(link, credit);
        }
    }

    /// A worker has so many units open at once.
    pub fn opens(&mut self, link: LinkId, units: u32) {
        if let Some(stage) = self.stage_of(link) {
            stage.opens(link, units);
        }
    }

    /// A worker takes no more.
    pub fn leaving(&mut self, link: LinkId) {
        if let Some(stage) = self.stage_of(link) {
            stage.leaving(link);
        }
    }

    /// A worker has given units back that it had not begun.
    pub fn returned(&mut self, link: LinkId, parcel: ParcelId, keep: u32) {
        let Self { stages, committed, .. } = self;
        if let Some(stage) = stage_of(stages, link) {
            stage.returned(link, parcel, keep, committed.set());
        }
    }

    /// These units for a stage shall not be worked on, as far as no worker has begun them. What comes of it
    /// is told by [`settle`](Self::settle).
    pub fn recall(&mut self, stage_index: u32, units: &RangeSet) {
        if let Some(stage) = self.stages.get_mut(&stage_index) {
            stage.recall(units, self.committed.set());
        }
    }

    /// What has become known of units for that stage that shall not be worked on.
    pub fn settle<Q>(
        &mut self,
        turn: &mut Turn<'_, Effect<Q>>,
        mesh: &mut Mesh,
        stage_index: u32,
    ) -> Recalled
    where
        W: Witness<Q>,
    {
        let mut orders = Vec::new();
        let stage = self.stages.get_mut(&stage_index);
        let told = stage.map(|stage| stage.settle(&mut orders)).unwrap_or_default();
        self.carry_out(turn, mesh, orders);
        told
    }

    /// A worker may be stopped, or only late: others are given its units too.
    pub fn quiet(&mut self, link: LinkId, since: Time) {
        let Self { stages, committed, .. } = self;
        if let Some(stage) = stage_of(stages, link) {
            stage.quiet(link, since, committed.set());
        }
    }

    fn stage_of(&mut self, link: LinkId) -> Option<&mut Dispatch> {
        stage_of(&mut self.stages, link)
    }

    /// A worker that was quiet is heard.
    pub fn back<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, mesh: &mut Mesh, link: LinkId)
    where
        W: Witness<Q>,
    {
        let Self { stages, committed, .. } = self;
        let mut orders = Vec::new();
        if let Some(stage) = stage_of(stages, link) {
            stage.back(link, committed.set(), &mut orders);
        }
        self.carry_out(turn, mesh, orders);
    }

    /// A worker's session has ended: what it had goes to others.
    pub fn lost<Q>(
        &mut self,
        turn: &mut Turn<'_, Effect<Q>>,
        mesh: &mut Mesh,
        link: LinkId,
        loss: Loss,
    ) where
        W: Witness<Q>,
    {
        let Self { stages, committed, .. } = self;
        let mut orders = Vec::new();
        if let Some(stage) = stage_of(stages, link) {
            stage.lost(&mut Turn::new(turn.now, &mut orders), link, loss, committed.set());
        }
        self.carry_out(turn, mesh, orders);
    }

    /// A worker has executed a parcel.
    pub fn done<Q>(
        &mut self,
        turn: &mut Turn<'_, Effect<Q>>,
        mesh: &mut Mesh,
        link: LinkId,
        done: &Done,
    ) where
        W: Witness<Q>,
    {
        let Self { stages, committed, witness, .. } = self;
        let Some(stage) = stage_of(stages, link) else { return };
        for failed in &done.failed {
            if let Some(unit) = stage.unit_of(link, done.parcel, failed.index) {
                let worker = stage.name_of(link).unwrap_or_default();
                witness.failed(turn, worker, Failure { unit, error: &failed.error });
            }
        }
        let mut orders = Vec::new();
        stage.done(&mut Turn::new(turn.now, &mut orders), link, done, committed.set());
        self.carry_out(turn, mesh, orders);
    }

    /// Sends everything that may be sent now.
    pub fn send<Q>(&mut self, turn: &mut Turn<'_, Effect<Q>>, mesh: &mut Mesh)
    where
        W: Witness<Q>,
    {
        let mut orders = Vec::new();
        let is_open = self.is_open();
        let (set, urgent) = (self.committed.set(), self.committed.urgent());
        for stage in self.stages.values_mut().filter(|_| is_open) {
            stage.dispatch(&mut Turn::new(turn.now, &mut orders), set, urgent);
        }
        self.carry_out(turn, mesh, orders);
        while let Some(results) = self.outbox.take() {
            mesh.send(self.sink, Frame::Results(results), turn.out);
        }
    }

    fn carry_out<Q>(
        &mut self,
        turn: &mut Turn<'_, Effect<Q>>,
        mesh: &mut Mesh,
        orders: Vec<Instruction>,
    ) where
        W: Witness<Q>,
    {
        for order in orders {
            match order {
                Instruction::Send(link, work) => {
                    let name = self.stages().find_map(|stage| stage.name_of(link));
                    let name = name.unwrap_or_default().to_owned();
                    self.witness.sent(turn, &name, &work);
                    mesh.send(link, Frame::Work(work), turn.out);
                }
                Instruction::Retract(link, parcel) => {
                    mesh.send(link, Frame::Retract(parcel), turn.out)
                }
                // A dead unit is an outcome as any other: it competes with a late success.
                Instruction::Dead(dead) => {
                    self.witness.dead(&dead);
                    let (stage, attempt) = (dead.stage, dead.attempts);
                    let dead = vec![dead];
                    self.outbox.push(Results { stage, attempt, dead, ..Results::default() });
                }
            }
        }
    }
}

/// Whose worker it is.
fn stage_of(stages: &mut BTreeMap<u32, Dispatch>, link: LinkId) -> Option<&mut Dispatch> {
    stages.values_mut().find(|stage| stage.name_of(link).is_some())
}

#[cfg(test)]
#[path = "downstream_tests.rs"]
mod tests;
