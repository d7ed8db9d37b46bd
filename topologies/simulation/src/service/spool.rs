//! The thread of a ventilator's queue: takes all that waits, syncs, then answers for it together.
//!
//! Owns when something is done, and how far it has come when the process dies; what is done is the real
//! queue's. What was not kept by then is lost, and what was is there with nobody told.

use std::{mem, rc::Rc, time::Duration};

use ventilator::{
    core::{Reply, Request},
    queue::{Ask, News, Queue, QueueLimits, store::Safety},
};

use super::{
    Premises,
    mortal::{Mortal, StepsLeft},
};
use crate::{
    actor::{Context, Deed, Helper},
    clock::Moment,
    doom::{Extent, Fate, Job},
    faults::FaultPlan,
    mutation::Mutation,
};

/// What waits is done; the process is.
const DONE: u64 = 0;
const DEATH: u64 = 1;
/// What needs no sync takes so long at most.
const AT_ONCE: Duration = Duration::from_micros(30);
/// The run begins at this time of the day, in milliseconds since 1970.
const EPOCH_MS: u64 = 1_800_000_000_000;
/// Steps of a store that one turn of the queue takes at most.
const STEPS_MAX: u32 = 5;

/// See the module.
pub(crate) struct Spool {
    premises: Rc<Premises>,
    queue: Queue<Mortal>,
    steps: StepsLeft,
    sync_max: Duration,
    waiting: Vec<(Ask, Option<Fate>)>,
    // How many of them are under way, since when, and which part of them is kept if this process dies
    // meanwhile.
    serving: usize,
    now: u64,
    survives: f64,
    fate: Option<Fate>,
    // Records before something was written last.
    records: usize,
}

impl Spool {
    /// What the next start of a ventilator finds.
    pub fn new(premises: Rc<Premises>, plan: &FaultPlan, now: Moment) -> Self {
        let steps = StepsLeft::endless();
        let service = &premises.service;
        let retain = match premises.mutation {
            Some(Mutation::NumbersForEver) => Duration::MAX,
            _ => service.retain,
        };
        let limits = QueueLimits {
            units_max: service.queue_units_max,
            bytes_max: 1 << 20,
            safety: Safety::Power,
            retain,
        };
        let memory = premises.vault.borrow_mut().reopen();
        premises.desk.borrow_mut().is_resumed |= memory.records() > 0;
        let store = Mortal { memory, steps: steps.clone() };
        let queue = Queue::open(store, limits, ms(now)).expect("a store in memory can be read");
        Self {
            premises,
            queue,
            steps,
            sync_max: plan.sync_max,
            waiting: Vec::new(),
            serving: 0,
            now: ms(now),
            survives: 0.0,
            fate: None,
            records: 0,
        }
    }

    /// Begins on what waits, up to what is the last.
    fn begin(&mut self, context: &mut Context<'_>) {
        if self.serving > 0 || self.waiting.is_empty() {
            return;
        }
        let last = self.waiting.iter().position(|(_, fate)| fate.is_some());
        self.serving = last.map_or(self.waiting.len(), |last| last + 1);
        let syncs = self.waiting.iter().take(self.serving).any(|(ask, _)| writes(ask));
        let takes = match last.and_then(|last| self.waiting.get(last)?.1) {
            Some(fate) => fate.lingers,
            None if syncs => self.sync_max.mul_f64(context.rng.f64()),
            None => AT_ONCE.mul_f64(context.rng.f64()),
        };
        self.now = ms(context.now);
        self.survives = match context.rng.u8(0..3) {
            0 => 0.0,
            1 => 1.0,
            _ => context.rng.f64(),
        };
        context.later(takes, DONE);
    }

    fn serve(&mut self, asks: Vec<Ask>) -> Option<News> {
        if asks.iter().any(writes) {
            self.records = self.premises.vault.borrow().records();
        }
        let news = self.queue.serve(self.now, asks).ok();
        let mut vault = self.premises.vault.borrow_mut();
        vault.next = news.as_ref().map(|news| news.next);
        vault.cancelled_out += news.as_ref().map_or(0, |news| news.back.len() as u64);
        vault.look();
        news
    }

    /// The process dies within these, of which the last is the one that it dies of.
    fn die(&mut self, mut asks: Vec<Ask>, fate: Fate, context: &mut Context<'_>) {
        match fate.extent {
            Extent::Nothing => drop(asks.pop()),
            Extent::Half => self.steps.limit(context.rng.u32(0..=STEPS_MAX)),
            Extent::All => {}
        }
        self.serve_untold(asks);
        context.deeds.push(Deed::Crash(fate));
    }

    fn serve_untold(&mut self, asks: Vec<Ask>) {
        if !asks.is_empty() {
            let news = self.serve(asks);
            let mut vault = self.premises.vault.borrow_mut();
            vault.untold += u64::from(news.is_some_and(|news| !news.accepted.is_empty()));
        }
    }
}

fn writes(ask: &Ask) -> bool {
    use Ask::{Cancel, Gone, Recalled, Submit};
    matches!(ask, Submit { .. } | Cancel { .. } | Gone { .. } | Recalled(_))
}

fn ms(now: Moment) -> u64 {
    EPOCH_MS + now.0 / 1_000_000
}

impl Drop for Spool {
    fn drop(&mut self) {
        let under_way = self.serving.min(self.waiting.len());
        let part = (under_way as f64 * self.survives) as usize;
        let asks = self.waiting.drain(..part).map(|(ask, _)| ask).collect();
        self.serve_untold(asks);
        let mut vault = self.premises.vault.borrow_mut();
        match self.premises.mutation {
            Some(Mutation::TicketBeforeSync) => vault.lose_after(self.records),
            Some(Mutation::NamesForgotten) => vault.lose_names(),
            _ => {}
        }
    }
}

impl Helper for Spool {
    type Request = Request;
    type Reply = Reply;

    fn job(request: &Request) -> Job {
        match request {
            Request::Queue(Ask::Submit { .. }) => Job::Submit,
            Request::Queue(Ask::Cancel { .. } | Ask::Gone { .. }) => Job::Cancel,
            Request::Queue(Ask::Recalled(_)) => Job::Recalled,
            Request::Queue(Ask::Read(_)) => Job::GiveOut,
            Request::Queue(_) => Job::Queue,
            Request::Note(_) | Request::Seek { .. } | Request::Read(_) => Job::Note,
        }
    }

    fn ask(
        &mut self,
        request: Request,
        fate: Option<Fate>,
        context: &mut Context<'_>,
    ) -> Option<Reply> {
        match (request, fate) {
            (Request::Queue(Ask::Committed(_)), _)
                if self.premises.mutation == Some(Mutation::NothingIsOver) => {}
            (Request::Queue(ask), fate) => {
                self.waiting.push((ask, fate));
                self.begin(context);
            }
            (Request::Note(_), None) => {}
            (Request::Note(_), Some(fate)) => {
                self.fate = Some(fate);
                context.later(fate.lingers, DEATH);
            }
            (Request::Seek { .. } | Request::Read(_), _) => {
                context.deeds.push(Deed::Violation("a service reads a source".into()));
            }
        }
        None
    }

    fn go_on(&mut self, token: u64, context: &mut Context<'_>) -> Option<Reply> {
        if token == DEATH {
            context.deeds.extend(self.fate.map(Deed::Crash));
            return None;
        }
        self.now = ms(context.now);
        let serving = mem::take(&mut self.serving);
        let (asks, fates): (Vec<_>, Vec<_>) = self.waiting.drain(..serving).unzip();
        if let Some(fate) = fates.into_iter().flatten().last() {
            self.die(asks, fate, context);
            return None;
        }
        let news = self.serve(asks);
        self.begin(context);
        Some(Reply::Queue(Box::new(news?)))
    }
}
