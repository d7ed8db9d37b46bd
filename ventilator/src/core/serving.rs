//! What is said to and by the clients of a service.
//!
//! Owns the way of units from clients to the queue and from there to workers, and what clients are told;
//! refuses to know whose turn it is, which is the queue's.

use proto::{
    frame::{Frame, Results, Welcome},
    ranges::RangeSet,
    role::LinkId,
    service::{Standing, Submit},
    time::Time,
    unit::UnitId,
};
use tracing::warn;

use super::{FIRST_STAGE, Ventilator};
use crate::{
    queue::{Ask, News},
    request::{Request, Turn},
};

impl Ventilator {
    pub(super) fn admit_client(
        &mut self,
        turn: &mut Turn<'_>,
        link: LinkId,
        (client, cancels): (String, bool),
        host: &str,
    ) {
        let (Some(clients), Some(peer)) = (&mut self.clients, self.mesh.peer(link)) else { return };
        clients.join(link, peer, client, cancels);
        let access = self.plans.access_for(host, clients.is_vacant());
        self.mesh.welcome(link, Welcome::Access(Box::new(access)), turn.out);
    }

    /// Units that a client has no credit for end its session: it submits them again.
    pub(super) fn submitted(&mut self, turn: &mut Turn<'_>, link: LinkId, submit: Box<Submit>) {
        let Some(clients) = &mut self.clients else { return };
        match clients.submits(link, submit) {
            Some(ask) => turn.request(Request::Queue(ask)),
            None => {
                warn!("a client does not keep to its credit; it has to begin anew");
                self.mesh.overdrawn(turn, link);
            }
        }
    }

    pub(super) fn client_left(&mut self, turn: &mut Turn<'_>, link: LinkId) {
        if let Some(clients) = &mut self.clients {
            clients.left(link).into_iter().for_each(|ask| turn.request(Request::Queue(ask)));
        }
        self.say_goodbye(turn, link);
    }

    pub(super) fn queue_told(&mut self, turn: &mut Turn<'_>, mut news: News) {
        let Some(clients) = &mut self.clients else { return };
        for (link, frame) in clients.told(turn.now, &mut news) {
            self.mesh.send(link, frame, turn.out);
        }
        if self.reading.end().is_none() {
            self.reading.given(news.next);
        }
        if let Some(units) = news.units {
            self.reading.answered();
            self.reading.read(units.len() as u64);
            let committed = self.downstream.committed().set();
            let units = units.without(committed);
            // What is read too late is sent to nobody, and left for whoever goes on.
            if self.reading.end().is_none() {
                self.seniority.read(turn.now, units.spans(), news.waited, committed);
            }
            self.downstream.add(FIRST_STAGE, units);
        }
        if !news.recall.is_empty() {
            let units = RangeSet::from_parts(0, news.recall);
            self.downstream.recall(FIRST_STAGE, &units);
        }
        // What is dead behind the end of a run that was asked to end is not of this run: the sink takes
        // nothing of it, and whoever goes on is told once more.
        let end = self.reading.end().map_or(UnitId::MAX, |end| end.units);
        let mut dead: Vec<_> = news.dead.into_iter().filter(|dead| dead.root < end).collect();
        self.reading.read(dead.len() as u64);
        dead.extend(news.back.into_iter().filter(|dead| dead.root < end));
        if !dead.is_empty() {
            self.downstream.push(Results { dead, ..Results::default() });
        }
    }

    /// The queue learns what became of units that were called back.
    pub(super) fn look_for_recalled(&mut self, turn: &mut Turn<'_>) {
        let recalled = self.downstream.settle(turn, &mut self.mesh, FIRST_STAGE);
        if !recalled.is_empty() {
            turn.request(Request::Queue(Ask::Recalled(Box::new(recalled))));
        }
    }

    /// What gets on where there is no room, if that is not simply the oldest.
    pub(super) fn urgent(&self) -> Option<UnitId> {
        self.clients.as_ref().map(|_| self.downstream.committed().urgent())
    }

    /// All workers are told which unit gets on where there is no room.
    pub(super) fn look_for_urgent(&mut self) {
        let committed = self.downstream.committed();
        if let Some(unit) = self.seniority.urgent(committed.set())
            && unit != committed.urgent()
        {
            self.downstream.urge(unit);
            self.rounds.news(&[]);
        }
    }

    /// What a service has, for observers: also what was read from the queue, and no worker has begun.
    pub(super) fn standing(&self, now: Time) -> Option<Standing> {
        let mut standing = self.clients.as_ref()?.standing(now);
        let (begun, others) = self.downstream.stages().next()?.begun();
        standing.queued += others;
        let oldest = self.seniority.oldest(now, self.downstream.committed().set(), &begun);
        let oldest = oldest.filter(|_| others > 0).map(|waits| waits.as_millis() as u64);
        standing.oldest_ms = standing.oldest_ms.max(oldest);
        Some(standing)
    }

    pub(super) fn look_after_clients(&mut self, turn: &mut Turn<'_>) {
        let Some(clients) = &mut self.clients else { return };
        clients.overdue(turn.now).into_iter().for_each(|ask| turn.request(Request::Queue(ask)));
        if clients.looks(turn.now) {
            let mut stages = 0..self.plans.stage_count();
            let is_vacant = stages.any(|stage| !self.roster.has_stage(stage));
            if clients.found(turn.now, is_vacant) {
                for link in clients.links() {
                    self.mesh.send(link, Frame::Vacant(is_vacant), turn.out);
                }
            }
        }
        for (link, credit) in clients.grants() {
            self.mesh.grant(link, credit, turn.out);
        }
    }
}
