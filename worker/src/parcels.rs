//! Parcels from their arrival to the word that they are done.
//!
//! Owns what senders may send, what waits, what is executed, and what is given back: since the
//! worker leaves, since a sender asks for it, or since there is no room for what would come of it.
//! Refuses to know where outcomes go.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    time::Duration,
};

use proto::{
    frame::{Done, Failed, Frame, ParcelId, Work},
    limits::Limits,
    ranges::RangeSet,
    role::LinkId,
    rules::{credit::Intake, dispatch::PARCELS_PER_PEER, mesh::Mesh},
    time::Time,
    unit::UnitId,
};
use tracing::warn;

use crate::{
    orphans::{Orphans, roots},
    product::Product,
    request::{Busy, Request, Share, Ticket, Turn},
};

/// Outputs that are ready are fetched from a long parcel as often.
const COLLECT_INTERVAL: Duration = Duration::from_millis(25);

/// How long a worker stays over its memory limit before it returns parcels that are not begun.
pub(crate) const FULL_PATIENCE: Duration = Duration::from_millis(100);

/// How long a worker that leaves waits for the units that it has open, if it may have several and was told
/// nothing else: they may wait for something that never comes.
const GRACE: Duration = Duration::from_secs(30);

/// How much room there is for outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Enough to begin whatever comes.
    Free,
    /// What is kept for others takes all the memory that it may.
    Full {
        /// The unit that everything may wait for; none while that is the sink, which has still to
        /// hear of outcomes.
        urgent: Option<UnitId>,
    },
}

#[derive(Debug)]
struct Parcel {
    link: LinkId,
    work: Work,
    // It came without credit, and is not given back to make way.
    pressed: bool,
}

#[derive(Debug)]
struct Executing {
    link: LinkId,
    parcel: ParcelId,
    attempt: u32,
    units: usize,
    bytes: usize,
    // Which they are, if they come from the source, as long as their sender is there.
    roots: Vec<Range<UnitId>>,
    // Where in the parcel those are that the executor has, unless it has all.
    places: Option<Vec<u32>>,
    // Units that are done, and bytes of values, for which credit was given.
    done: usize,
    credited: (usize, usize),
    failed: Vec<Failed>,
    collected: Time,
    // When its last unit came out, or it was begun: since then the function works on the next one.
    since: Time,
    // Units not begun have been given back already.
    truncated: bool,
    // Of a run that is over.
    void: bool,
}

/// What has come of a parcel since it was asked last.
#[derive(Debug)]
pub(crate) struct Yield {
    /// Which try it was.
    pub attempt: u32,
    /// The outputs; what failed is kept for the word to the sender.
    pub product: Product,
    /// If the parcel has ended.
    pub finished: Option<Finished>,
}

/// A parcel that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finished {
    /// Its units.
    pub units: usize,
    /// Those of them that failed.
    pub failed: usize,
    /// How long the function took.
    pub busy: Busy,
}

/// All parcels that are here.
#[derive(Debug)]
pub(crate) struct Parcels {
    loaded: bool,
    // Units that may be open at once.
    open: usize,
    // Since when the worker leaves, and takes no more.
    closed: Option<Time>,
    // For how long what is open is waited for then, if somebody has said.
    grace: Option<Duration>,
    // All that is open is waited for then.
    finishing: bool,
    intake: Intake,
    senders: Vec<LinkId>,
    // Senders that know how many units may be open.
    introduced: BTreeSet<LinkId>,
    queue: VecDeque<Parcel>,
    // What the executor has; one parcel, unless several units may be open at once.
    executing: BTreeMap<Ticket, Executing>,
    orphans: Orphans,
    // Units of theirs that are not done.
    undone: usize,
    // Said once the results are on their way: those somebody waits for.
    done: Vec<(LinkId, Done)>,
    full_since: Option<Time>,
    // Units and bytes by sender that were given back since there was no room, for which credit
    // grows only once there is.
    withheld: BTreeMap<LinkId, (usize, usize)>,
    next_ticket: Ticket,
    next_execution: u64,
}

impl Parcels {
    /// None yet, and nobody may send any; executions are numbered from `first_execution`.
    pub fn new(limits: &Limits, first_execution: u64) -> Self {
        Self {
            loaded: false,
            open: 1,
            closed: None,
            grace: None,
            finishing: false,
            intake: Intake::new(limits.intake_units_max, limits.intake_bytes_max),
            senders: Vec::new(),
            introduced: BTreeSet::new(),
            queue: VecDeque::new(),
            executing: BTreeMap::new(),
            orphans: Orphans::default(),
            undone: 0,
            done: Vec::new(),
            full_since: None,
            withheld: BTreeMap::new(),
            next_ticket: 0,
            next_execution: first_execution,
        }
    }

    /// Units that have come and are not done, and bytes of their values.
    pub fn intake(&self) -> (usize, usize) {
        let queued = self.queue.iter().map(|p| (p.work.units.len(), p.work.units.bytes()));
        let begun = self.executing.values().map(Executing::unprocessed);
        queued.chain(begun).fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
    }

    /// Those who send, in the order in which they came.
    pub fn senders(&self) -> &[LinkId] {
        &self.senders
    }

    /// Whether the worker takes no more.
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// How many units the function works on, and since when on the oldest; none if on nothing that
    /// counts.
    pub fn running(&self) -> Option<(u64, Time)> {
        let executing = self.executing.values().filter(|executing| !executing.void);
        let oldest = executing.map(|executing| executing.since).min()?;
        Some((self.undone.clamp(1, self.open.max(1)) as u64, oldest))
    }

    /// Whether the executor has nothing.
    pub fn is_idle(&self) -> bool {
        self.executing.is_empty()
    }

    /// Another plan holds from now on: its function has still to be made ready, and what the
    /// executor has belongs to no run. It goes on to its next unit; what it makes is thrown away.
    pub fn begin_anew(&mut self, limits: &Limits) {
        self.loaded = false;
        self.intake = Intake::new(limits.intake_units_max, limits.intake_bytes_max);
        self.executing.values_mut().for_each(|executing| executing.void = true);
        self.orphans.clear();
        self.undone = 0;
    }

    /// The function is ready, and has so many units open at once. A worker whose function cannot work
    /// must never be sent anything, so credit is granted from here on.
    pub fn loaded(&mut self, open: u32) {
        self.loaded = true;
        self.open = open.max(1) as usize;
        if self.is_concurrent() {
            self.intake.widen(2 * self.open as u64);
        }
        self.introduced.clear();
        // What the function before it had open, if anything, went with it.
        self.executing.retain(|_, executing| !executing.void);
    }

    /// How many units may be open at once, if several may and the function is ready.
    pub fn open(&self) -> Option<u32> {
        (self.loaded && self.is_concurrent()).then_some(self.open as u32)
    }

    /// A sender was told how many that are.
    pub fn introduced(&mut self, link: LinkId) {
        self.introduced.insert(link);
    }

    fn is_concurrent(&self) -> bool {
        self.open > 1
    }

    /// A sender's session begins.
    pub fn join(&mut self, link: LinkId) {
        self.intake.join(link);
        self.senders.push(link);
    }

    /// A sender that is gone has its units sent to others; those not begun here are dropped. One that is back
    /// sends them again.
    pub fn lose(&mut self, turn: &mut Turn<'_>, link: LinkId) {
        self.senders.retain(|sender| *sender != link);
        self.intake.leave(link);
        self.introduced.remove(&link);
        self.withheld.remove(&link);
        self.queue.retain(|parcel| parcel.link != link);
        let theirs = self.executing.iter_mut().filter(|(_, executing)| executing.link == link);
        for (ticket, executing) in theirs {
            self.orphans.adopt(*ticket, std::mem::take(&mut executing.roots));
            turn.request(Request::Truncate { ticket: *ticket, share: Share::All });
        }
    }

    /// A sender has sent a parcel; from anybody else it is nothing.
    pub fn take(&mut self, turn: &mut Turn<'_>, mesh: &mut Mesh, link: LinkId, work: Work) {
        if !self.senders.contains(&link) {
            return;
        }
        let (units, bytes) = (work.units.len(), work.units.bytes());
        let within = self.intake.received(link, units, bytes);
        let pressed = !within && self.may_press(link, &work);
        if pressed {
            self.intake.received_without(link, units, bytes);
        }
        let parcel = Parcel { link, work, pressed };
        if !within && !pressed {
            warn!("a sender does not keep to its credit; it has to begin anew");
            mesh.overdrawn(turn, link);
        } else if self.is_closed() {
            self.give_back(turn, mesh, parcel);
        } else {
            self.queue.push_back(parcel);
        }
    }

    /// Whether a parcel may come without credit: it is part of one unit, which everything else may
    /// wait for, and there are no more of its kind than a sender may have under way.
    fn may_press(&self, link: LinkId, work: &Work) -> bool {
        let others = self.queue.iter().filter(|known| known.link == link && known.pressed).count();
        others < PARCELS_PER_PEER && work.units.has_one_root()
    }

    fn give_back(&mut self, turn: &mut Turn<'_>, mesh: &mut Mesh, parcel: Parcel) {
        let Parcel { link, work, .. } = parcel;
        self.intake.processed(link, work.units.len(), work.units.bytes());
        mesh.send(link, Frame::Returned { parcel: work.parcel, keep: 0 }, turn.out);
    }

    /// A sender wants back what is not begun of a parcel.
    pub fn retract(
        &mut self,
        turn: &mut Turn<'_>,
        mesh: &mut Mesh,
        link: LinkId,
        parcel: ParcelId,
    ) {
        let here = |known: &Parcel| known.link == link && known.work.parcel == parcel;
        if let Some(index) = self.queue.iter().position(here) {
            if let Some(parcel) = self.queue.remove(index) {
                self.give_back(turn, mesh, parcel);
            }
        } else {
            let begun =
                |executing: &Executing| (executing.link, executing.parcel) == (link, parcel);
            // The newest are called back, mostly.
            if let Some((ticket, _)) = self.executing.iter().rev().find(|(_, known)| begun(known)) {
                turn.request(Request::Truncate { ticket: *ticket, share: Share::Half });
            }
        }
    }

    /// The worker leaves: takes no more, gives back what is not begun.
    pub fn close(&mut self, turn: &mut Turn<'_>, mesh: &mut Mesh) {
        self.closed = Some(turn.now);
        for parcel in std::mem::take(&mut self.queue) {
            self.give_back(turn, mesh, parcel);
        }
        for ticket in self.executing.keys() {
            turn.request(Request::Truncate { ticket: *ticket, share: Share::All });
        }
    }

    /// Whether a worker that leaves has waited long enough for the units that it has open.
    pub fn is_overdue(&self, now: Time) -> bool {
        self.overdue().is_some_and(|due| due <= now)
    }

    fn overdue(&self) -> Option<Time> {
        let waits = !self.executing.is_empty() && !self.finishing;
        Some(self.closed.filter(|_| waits)? + self.patience()?)
    }

    /// A worker that has one unit open finishes it, unless it was told how long that may take.
    fn patience(&self) -> Option<Duration> {
        self.grace.or(self.is_concurrent().then_some(GRACE))
    }

    /// What is open when the worker leaves is waited for no longer than that.
    pub fn grace(&mut self, grace: Duration) {
        self.grace = Some(grace);
    }

    /// The run is asked to end: nobody else does what is open here, so it is waited for.
    pub fn wait_for_all(&mut self) {
        self.finishing = true;
    }

    /// What is still open is not waited for: it is done by others, once this worker has left.
    pub fn abandon(&mut self) {
        let (units, seconds) = (self.undone, self.patience().unwrap_or_default().as_secs_f64());
        warn!(units, seconds, "leaving though units are not done after that time; others do them");
        self.executing.clear();
        self.undone = 0;
    }

    /// The executor has given up all but the first units of a parcel.
    pub fn truncated(&mut self, turn: &mut Turn<'_>, mesh: &mut Mesh, ticket: Ticket, keep: u32) {
        let Some(executing) = self.executing.get_mut(&ticket) else { return };
        let given = executing.left().saturating_sub(keep as usize);
        if !executing.void {
            self.undone = self.undone.saturating_sub(given);
        }
        let keep = executing.keep(keep);
        let given = executing.units.saturating_sub(keep as usize);
        let bytes = (executing.bytes * given).checked_div(executing.units).unwrap_or_default();
        executing.units -= given;
        executing.bytes -= bytes;
        let (link, parcel) = (executing.link, executing.parcel);
        self.intake.processed(link, given, bytes);
        mesh.send(link, Frame::Returned { parcel, keep }, turn.out);
    }

    /// The executor has made something of a parcel, and has ended it after so long in the function, if
    /// it has.
    pub fn produced(
        &mut self,
        now: Time,
        ticket: Ticket,
        mut product: Product,
        busy: Option<Busy>,
    ) -> Option<Yield> {
        let is_concurrent = self.is_concurrent();
        let executing = self.executing.get_mut(&ticket)?;
        if executing.void {
            if busy.is_some() {
                self.executing.remove(&ticket);
            }
            return None;
        }
        executing.collected = now;
        // Of several that are open it is not known which one it was.
        if !product.is_empty() && !is_concurrent {
            executing.since = now;
        }
        executing.note_failed(&mut product.failed);
        let attempt = executing.attempt;
        let worked = (product.worked as usize).min(executing.left() - executing.done);
        executing.done += worked;
        self.undone = self.undone.saturating_sub(worked);
        if is_concurrent {
            // Others may come for them although the parcel lasts.
            let (link, (units, bytes)) = (executing.link, executing.credit());
            self.intake.processed(link, units, bytes);
        }
        let finished = busy.and_then(|busy| self.finish(ticket, busy));
        Some(Yield { attempt, product, finished })
    }

    /// What was executed is done.
    fn finish(&mut self, ticket: Ticket, busy: Busy) -> Option<Finished> {
        let executing = self.executing.remove(&ticket)?;
        let (units, bytes) = executing.unprocessed();
        self.undone = self.undone.saturating_sub(executing.left() - executing.done);
        self.orphans.finished(ticket, executing.units, &executing.failed);
        let Executing { link, parcel, failed, .. } = executing;
        self.intake.processed(link, units, bytes);
        let finished = Finished { units: executing.units, failed: failed.len(), busy };
        self.done.push((link, Done { parcel, busy_ns: busy.wall_ns, failed: in_order(failed) }));
        Some(finished)
    }

    /// Says what is done, and grants what may come next.
    pub fn tell(&mut self, turn: &mut Turn<'_>, mesh: &mut Mesh) {
        for (link, done) in std::mem::take(&mut self.done) {
            mesh.send(link, Frame::Done(done), turn.out);
        }
        let grants = if self.loaded { self.intake.grants() } else { Vec::new() };
        for (link, credit) in grants {
            if self.is_concurrent() && self.introduced.insert(link) {
                mesh.send(link, Frame::Concurrency(self.open as u32), turn.out);
            }
            mesh.grant(link, credit, turn.out);
        }
    }

    /// Starts the next parcels, as many as the executor should have. Without room that is one with
    /// the urgent unit: everything that is kept may wait for it.
    pub fn execute(&mut self, turn: &mut Turn<'_>, mesh: &mut Mesh, room: Room) {
        match room {
            Room::Free => self.has_room(),
            Room::Full { .. } => {
                self.full_since.get_or_insert(turn.now);
            }
        }
        self.look_after(turn, room);
        while self.loaded && self.wants_more() {
            let next = match room {
                Room::Free => self.take_next(),
                Room::Full { urgent } => urgent.and_then(|unit| self.take_urgent(unit)),
            };
            match next {
                Some(parcel) => self.begin(turn, parcel, room),
                None if self.is_stuck(turn.now) => return self.make_way(turn, mesh),
                None => return,
            }
        }
    }

    /// The next parcel of which nothing is worked on for a sender that was lost.
    fn take_next(&mut self) -> Option<Parcel> {
        let is_apart = |parcel: &Parcel| !self.orphans.are_worked_on(&parcel.work.units);
        let place = self.queue.iter().position(is_apart)?;
        self.queue.remove(place)
    }

    /// What is committed is sent by nobody any more.
    pub fn committed(&mut self, committed: &RangeSet) {
        self.orphans.forget(committed);
    }

    /// Whether the executor should have another parcel. What it has not begun can be called back
    /// from there as well, so it has enough to go on with whatever ends.
    fn wants_more(&self) -> bool {
        match self.is_concurrent() {
            false => self.executing.is_empty(),
            true => self.undone < 2 * self.open,
        }
    }

    fn has_room(&mut self) {
        self.full_since = None;
        for (link, (units, bytes)) in std::mem::take(&mut self.withheld) {
            self.intake.processed(link, units, bytes);
        }
    }

    /// Fetches what a long parcel has ready; gives back the rest of it if there is no room.
    fn look_after(&mut self, turn: &mut Turn<'_>, room: Room) {
        let collects = !self.is_concurrent();
        if room == Room::Free && !collects {
            return;
        }
        for (ticket, executing) in &mut self.executing {
            if room != Room::Free && !executing.truncated {
                // Its outputs fill the memory: what is not begun may come again later.
                executing.truncated = true;
                turn.request(Request::Truncate { ticket: *ticket, share: Share::All });
            }
            if collects && turn.now.since(executing.collected) >= COLLECT_INTERVAL {
                executing.collected = turn.now;
                turn.request(Request::Collect);
            }
        }
    }

    /// The parcel that everything may wait for. What its sender took for part of the urgent unit counts
    /// too: it may know more, and if that is committed by now, it is in the way.
    fn take_urgent(&mut self, urgent: UnitId) -> Option<Parcel> {
        let must =
            |parcel: &Parcel| parcel.pressed || parcel.work.units.find_root(urgent, 0).is_some();
        let place = self.queue.iter().position(must)?;
        self.queue.remove(place)
    }

    fn is_stuck(&self, now: Time) -> bool {
        self.full_since.is_some_and(|since| now.since(since) >= FULL_PATIENCE)
    }

    /// What cannot be begun takes the place of what can: it goes back, and credit for it comes
    /// once there is room.
    fn make_way(&mut self, turn: &mut Turn<'_>, mesh: &mut Mesh) {
        let (stays, goes): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(|parcel| parcel.pressed);
        self.queue = stays;
        for Parcel { link, work, .. } in goes {
            let (units, bytes) = self.withheld.entry(link).or_default();
            *units += work.units.len();
            *bytes += work.units.bytes();
            mesh.send(link, Frame::Returned { parcel: work.parcel, keep: 0 }, turn.out);
        }
    }

    fn begin(&mut self, turn: &mut Turn<'_>, parcel: Parcel, room: Room) {
        let Parcel { link, work, .. } = parcel;
        let Work { parcel, attempt, units } = work;
        let (all, bytes, roots) = (units.len(), units.bytes(), roots(&units));
        let (units, places) = self.orphans.spare(units);
        if units.is_empty() {
            self.intake.processed(link, all, bytes);
            self.done.push((link, Done { parcel, busy_ns: 0, failed: Vec::new() }));
            return;
        }
        let (ticket, execution) = (self.next_ticket, self.next_execution);
        self.next_ticket += 1;
        self.next_execution = execution.wrapping_add(units.len() as u64);
        self.undone += units.len();
        let executing = Executing {
            link,
            parcel,
            attempt,
            units: all,
            bytes,
            roots,
            places,
            done: 0,
            credited: (0, 0),
            failed: Vec::new(),
            collected: turn.now,
            since: turn.now,
            // Without room only what must be is begun, and finished.
            truncated: room != Room::Free,
            void: false,
        };
        self.executing.insert(ticket, executing);
        turn.request(Request::Execute { ticket, attempt, execution, units });
    }

    /// When outputs are fetched, room has been missing for too long, or a worker that leaves gives up.
    pub fn deadline(&self) -> Option<Time> {
        let only = self.executing.values().next().filter(|_| !self.is_concurrent());
        let collect = only.map(|executing| executing.collected + COLLECT_INTERVAL);
        let waits =
            self.loaded && self.wants_more() && self.queue.iter().any(|parcel| !parcel.pressed);
        let stuck = self.full_since.filter(|_| waits).map(|since| since + FULL_PATIENCE);
        [collect, stuck, self.overdue()].into_iter().flatten().min()
    }
}

impl Executing {
    /// How many units the executor has.
    fn left(&self) -> usize {
        self.places.as_ref().map_or(self.units, Vec::len)
    }

    /// The executor keeps so many; how many units of the parcel that are.
    fn keep(&mut self, keep: u32) -> u32 {
        let Some(places) = &mut self.places else { return keep };
        let first_given = places.get(keep as usize).copied();
        places.truncate(keep as usize);
        first_given.unwrap_or(u32::try_from(self.units).unwrap_or(u32::MAX))
    }

    /// The executor tells what failed by the places that it knows.
    fn note_failed(&mut self, failed: &mut Vec<Failed>) {
        if let Some(places) = &self.places {
            for each in failed.iter_mut() {
                each.index = places.get(each.index as usize).copied().unwrap_or(each.index);
            }
        }
        self.failed.append(failed);
    }

    /// Units, and bytes of values, for which no credit was given.
    fn unprocessed(&self) -> (usize, usize) {
        let (units, bytes) = self.credited;
        (self.units.saturating_sub(units), self.bytes.saturating_sub(bytes))
    }

    /// What credit is to be given for now; each unit counts for as many bytes.
    fn credit(&mut self) -> (usize, usize) {
        let share = (self.bytes as u128 * self.done as u128).checked_div(self.units as u128);
        let (units, bytes) = (self.done, share.unwrap_or_default() as usize);
        let grown = (units - self.credited.0, bytes.saturating_sub(self.credited.1));
        self.credited = (units, self.credited.1 + grown.1);
        grown
    }
}

/// Units may have failed in any order; who hears of them wants theirs.
fn in_order(mut failed: Vec<Failed>) -> Vec<Failed> {
    failed.sort_unstable_by_key(|failed| failed.index);
    failed
}
