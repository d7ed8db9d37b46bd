//! The clients of a service: who is there, how much each may submit, and what it is told.
//!
//! Owns their sessions, their credit and their names; refuses to know what is queued of them, which is the
//! queue's.

use std::{collections::BTreeMap, time::Duration};

use proto::{
    frame::{Credit, Frame, PeerId},
    limits::Limits,
    role::LinkId,
    rules::credit::Intake,
    service::{Declined, Outcomes, RANGES_MAX, Standing, Submit, Ticketed},
    time::Time,
};

use crate::queue::{Ask, News};

/// A stage may have no worker for so long before clients are told: one that has died is being replaced.
const VACANT_AFTER: Duration = Duration::from_secs(2);
/// How often that is looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// One that is there.
#[derive(Debug)]
struct Client {
    name: String,
    // It has given itself no name, so it will not come back after its end.
    is_nameless: bool,
    cancels: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Clients {
    present: BTreeMap<LinkId, Client>,
    // Those that are cut off and want what is queued of them cancelled if they do not come back.
    missed: BTreeMap<String, Time>,
    intake: Intake,
    // What the queue has told last.
    waiting: (u64, u64),
    oldest: Option<(Time, Duration)>,
    due: Option<Time>,
    // What the sink had committed before is known.
    begun: bool,
    vacant: bool,
    vacant_since: Option<Time>,
    looked: Time,
    // Those that are gone are missed for so long.
    patience: Duration,
}

impl Clients {
    /// Nobody yet.
    pub fn new(limits: &Limits, queue_units_max: u64) -> Self {
        let units_max = limits.intake_units_max.min(queue_units_max.max(1));
        Self {
            present: BTreeMap::new(),
            missed: BTreeMap::new(),
            intake: Intake::new(units_max, limits.intake_bytes_max),
            waiting: (0, 0),
            oldest: None,
            due: None,
            begun: false,
            vacant: false,
            vacant_since: None,
            looked: Time::default(),
            patience: Duration::from_millis(limits.liveness_ms),
        }
    }

    /// Whether this is one.
    pub fn has(&self, link: LinkId) -> bool {
        self.present.contains_key(&link)
    }

    /// All of them.
    pub fn links(&self) -> Vec<LinkId> {
        self.present.keys().copied().collect()
    }

    /// Whether a stage has had no worker for a while.
    pub fn is_vacant(&self) -> bool {
        self.vacant
    }

    /// The queue may begin, if it has not: all is known that was committed before. Whether it is so for
    /// the first time.
    pub fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// A client's session begins.
    pub fn join(&mut self, link: LinkId, peer: PeerId, client: String, cancels: bool) {
        let is_nameless = client.is_empty();
        // One start of one process, whatever sessions it has. No name that is given begins like that.
        let name = if is_nameless { format!("#{peer:016x}") } else { format!("@{client}") };
        self.missed.remove(&name);
        self.present.insert(link, Client { name, is_nameless, cancels });
        self.intake.join(link);
    }

    /// A client's session has ended; what the queue has to know.
    pub fn lost(&mut self, now: Time, link: LinkId) -> Option<Ask> {
        let client = self.present.remove(&link)?;
        self.intake.leave(link);
        if client.cancels {
            self.missed.insert(client.name, now);
        }
        Some(Ask::Left(link))
    }

    /// A client says goodbye: it knows all its tickets. What the queue has to know.
    pub fn left(&mut self, link: LinkId) -> Vec<Ask> {
        let Some(client) = self.present.remove(&link) else { return Vec::new() };
        self.intake.leave(link);
        let Client { name, is_nameless, cancels } = client;
        let gone = (is_nameless || cancels).then_some(Ask::Gone { client: name, cancels });
        [Ask::Left(link)].into_iter().chain(gone).collect()
    }

    /// A client submits units; nothing if it has no credit for them.
    pub fn submits(&mut self, link: LinkId, submit: Box<Submit>) -> Option<Ask> {
        let client = self.present.get(&link)?.name.clone();
        let (units, bytes) = (submit.units.len(), submit.units.bytes());
        self.intake.received(link, units, bytes).then_some(Ask::Submit { link, client, submit })
    }

    /// The queue has news; what its clients are told of it.
    pub fn told(&mut self, now: Time, news: &mut News) -> Vec<(LinkId, Frame)> {
        self.waiting = news.waiting;
        self.oldest = news.oldest.map(|waits| (now, waits));
        self.due = news.due.map(|due| now + due);
        for (link, units, bytes) in news.processed.drain(..) {
            self.intake.processed(link, units, bytes);
        }
        let mut frames = Vec::new();
        let unknown =
            |unknown| Frame::Outcomes(Box::new(Outcomes { unknown, ..Outcomes::default() }));
        // It was asked before what is accepted now.
        in_frames(std::mem::take(&mut news.unknown), &mut frames, apart, unknown);
        // What is none is told to be over as well, behind that.
        in_frames(std::mem::take(&mut news.cancelled), &mut frames, apart, Frame::Cancelled);
        in_frames(std::mem::take(&mut news.accepted), &mut frames, merge, Frame::Accepted);
        let declined = news.declined.drain(..);
        frames.extend(
            declined.map(|(link, declined): (LinkId, Declined)| (link, Frame::Declined(declined))),
        );
        frames
    }

    /// Who may submit more.
    pub fn grants(&mut self) -> Vec<(LinkId, Credit)> {
        self.intake.grants()
    }

    /// Whether it is time to look whether a stage has no worker.
    pub fn looks(&self, now: Time) -> bool {
        now.since(self.looked) >= LOOK_INTERVAL
    }

    /// Whether a stage has no worker; whether clients have to be told.
    pub fn found(&mut self, now: Time, is_vacant: bool) -> bool {
        self.looked = now;
        if !is_vacant {
            self.vacant_since = None;
            return std::mem::take(&mut self.vacant);
        }
        let since = *self.vacant_since.get_or_insert(now);
        let is_new = !self.vacant && now.since(since) >= VACANT_AFTER;
        self.vacant |= is_new;
        is_new
    }

    /// What the queue is to be asked since time has passed.
    pub fn overdue(&mut self, now: Time) -> Vec<Ask> {
        let mut asks = Vec::new();
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            asks.push(Ask::Look);
        }
        let patience = self.patience;
        self.missed.retain(|name, since| {
            let is_gone = now.since(*since) >= patience;
            if is_gone {
                asks.push(Ask::Gone { client: name.clone(), cancels: true });
            }
            !is_gone
        });
        asks
    }

    /// When time alone brings something about.
    pub fn deadline(&self) -> Option<Time> {
        let missed = self.missed.values().min().map(|since| *since + self.patience);
        let looks = Some(self.looked + LOOK_INTERVAL).filter(|_| !self.present.is_empty());
        [self.due, missed, looks].into_iter().flatten().min()
    }

    /// For observers.
    pub fn standing(&self, now: Time) -> Standing {
        let (queued, queued_bytes) = self.waiting;
        let clients = u32::try_from(self.present.len()).unwrap_or(u32::MAX);
        let oldest = self.oldest.map(|(told, waits)| waits + now.since(told));
        let oldest_ms = oldest.map(|waits| u64::try_from(waits.as_millis()).unwrap_or(u64::MAX));
        Standing { clients, queued, queued_bytes, oldest_ms, ..Standing::default() }
    }
}

/// Puts what is told to each client into as few frames as it takes.
fn in_frames<T>(
    told: Vec<(LinkId, T)>,
    frames: &mut Vec<(LinkId, Frame)>,
    merge: impl Fn(&mut T, T) -> Option<T>,
    frame: impl Fn(Vec<T>) -> Frame,
) {
    let mut by_client: BTreeMap<LinkId, Vec<T>> = BTreeMap::new();
    for (link, one) in told {
        let known = by_client.entry(link).or_default();
        let rest = match known.last_mut() {
            Some(last) => merge(last, one),
            None => Some(one),
        };
        known.extend(rest);
    }
    for (link, all) in by_client {
        let mut all = all.into_iter().peekable();
        while all.peek().is_some() {
            frames.push((link, frame(all.by_ref().take(RANGES_MAX).collect())));
        }
    }
}

/// Tickets that continue those before are told with them.
fn merge(last: &mut Ticketed, next: Ticketed) -> Option<Ticketed> {
    let continues =
        last.number + last.count == next.number && last.ticket + last.count == next.ticket;
    if continues {
        last.count += next.count;
    }
    (!continues).then_some(next)
}

fn apart<T>(_: &mut T, next: T) -> Option<T> {
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_that_follow_each_other_are_told_as_one_and_to_each_client_its_own() {
        let mut clients = Clients::new(&Limits::default(), 1_000);
        let one = |number, ticket| Ticketed { number, count: 1, ticket };
        let accepted =
            vec![(1, one(0, 0)), (2, one(0, 1)), (1, one(1, 2)), (2, one(1, 3)), (1, one(2, 3))];
        let mut news = News { accepted, ..News::default() };
        let told = clients.told(Time::default(), &mut news);
        let run = Ticketed { number: 1, count: 2, ticket: 2 };
        assert_eq!(
            told,
            [
                (1, Frame::Accepted(vec![one(0, 0), run])),
                (2, Frame::Accepted(vec![one(0, 1), one(1, 3)])),
            ]
        );
    }

    #[test]
    fn the_oldest_unit_grows_older_while_the_queue_says_nothing() {
        let mut clients = Clients::new(&Limits::default(), 1_000);
        assert_eq!(clients.standing(Time::from_ms(50)).oldest_ms, None);
        let mut news = News { oldest: Some(Duration::from_secs(3)), ..News::default() };
        clients.told(Time::from_ms(100), &mut news);
        assert_eq!(clients.standing(Time::from_ms(1_100)).oldest_ms, Some(4_000));
        clients.told(Time::from_ms(1_200), &mut News::default());
        assert_eq!(clients.standing(Time::from_ms(1_300)).oldest_ms, None);
    }

    /// Otherwise a client that guesses a ticket, and is given it, would wait for it no longer.
    #[test]
    fn a_ticket_that_was_not_given_is_told_before_it_is() {
        let mut clients = Clients::new(&Limits::default(), 1_000);
        let accepted = vec![(1, Ticketed { number: 0, count: 1, ticket: 7 })];
        let mut news = News { accepted, unknown: vec![(1, (7, 8))], ..News::default() };
        let told = clients.told(Time::default(), &mut news);
        let kinds: Vec<_> =
            told.iter().map(|(_, frame)| matches!(frame, Frame::Outcomes(_))).collect();
        assert_eq!(kinds, [true, false]);
    }

    #[test]
    fn a_stage_is_vacant_once_nobody_has_replaced_its_worker_for_a_while() {
        let mut clients = Clients::new(&Limits::default(), 1_000);
        assert!(!clients.found(Time::from_ms(1_000), true));
        assert!(!clients.found(Time::from_ms(2_999), true));
        assert!(clients.found(Time::from_ms(3_000), true));
        assert!(!clients.found(Time::from_ms(3_500), true), "it was told");
        assert!(clients.is_vacant());
        assert!(clients.found(Time::from_ms(4_000), false));
        assert!(!clients.is_vacant());
    }

    #[test]
    fn who_cancels_and_does_not_come_back_is_gone_and_who_does_is_not() {
        let limits = Limits { liveness_ms: 1_000, ..Limits::default() };
        let mut clients = Clients::new(&limits, 1_000);
        for (link, name) in [(1, "a"), (2, "b")] {
            clients.join(link, 7, name.into(), true);
            assert_eq!(clients.lost(Time::from_ms(0), link), Some(Ask::Left(link)));
        }
        clients.join(3, 8, "b".into(), true);
        assert_eq!(clients.overdue(Time::from_ms(999)), []);
        let gone = Ask::Gone { client: "@a".into(), cancels: true };
        assert_eq!(clients.overdue(Time::from_ms(1_000)), [gone]);
        assert_eq!(clients.overdue(Time::from_ms(9_000)), []);
    }
}
