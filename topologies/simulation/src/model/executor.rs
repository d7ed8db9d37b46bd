//! The thread that runs the function: units in groups, outputs handed over on the way.
//!
//! Keeps to the real executor's rules: what is begun is finished, what is not can be called
//! back, and an answer takes a moment to reach the worker, in which other things may happen.

use std::{collections::BTreeMap, time::Duration};

use proto::units::Units;
use worker::{
    Failure, Outputs,
    core::{Busy, Reply, Request, Share, Ticket},
    function::Outcomes,
    product::{Cursor, Product, Worked},
};

use crate::{
    actor::{Context, Deed, Helper},
    clock::Moment,
    doom::{Extent, Fate, Job},
    shape::{Shape, Work},
};

/// Outputs are handed over at least as often while a parcel lasts.
const HANDOVER: Duration = Duration::from_millis(5);
/// Units that are begun at once, at most.
const GROUP_UNITS_MAX: u32 = 4;
/// The longest way of an answer to the worker.
const ANSWER_MAX: Duration = Duration::from_micros(200);
/// The group is done; the process is; all other tokens name answers.
const GROUP_DONE: u64 = 0;
const DEATH: u64 = 1;

/// What it works on.
struct Parcel {
    ticket: Ticket,
    attempt: u32,
    execution: u64,
    units: Units,
    // The group under way, and the units from `limit` on are not this worker's any more.
    first: u32,
    begun: u32,
    limit: u32,
    ready: Product,
    busy: Duration,
    handed_over: Moment,
}

/// A function of this shape.
pub(crate) struct Executor {
    stage: u32,
    retries: u32,
    shape: Shape,
    parcel: Option<Parcel>,
    // The parcel before, whose end the worker may not know yet.
    ended: (Ticket, u32),
    answers: BTreeMap<u64, Reply>,
    next_answer: u64,
    answered: Moment,
    // The parcel that is being executed is the last, or what was asked for before it.
    fate: Option<Fate>,
}

impl Executor {
    pub fn new(stage: u32, retries: u32, shape: Shape) -> Self {
        Self {
            stage,
            retries,
            shape,
            parcel: None,
            ended: (0, 0),
            answers: BTreeMap::new(),
            next_answer: DEATH + 1,
            answered: Moment::default(),
            fate: None,
        }
    }

    /// Answers after a moment, and after all answers before it.
    fn answer(&mut self, reply: Reply, context: &mut Context<'_>) {
        let soon = context.now + ANSWER_MAX.mul_f64(context.rng.f64());
        self.answered = self.answered.max(soon);
        self.answers.insert(self.next_answer, reply);
        context.later(self.answered.since(context.now), self.next_answer);
        self.next_answer += 1;
    }

    /// Begins the next group, or ends the parcel.
    fn begin_group(&mut self, context: &mut Context<'_>) {
        let Some(parcel) = &mut self.parcel else { return };
        let group = context.rng.u32(1..=GROUP_UNITS_MAX);
        parcel.first = parcel.begun;
        parcel.begun = parcel.limit.min(parcel.begun + group).max(parcel.begun);
        let ends = parcel.first == parcel.begun;
        if let Some(fate) = self.fate.filter(|fate| match fate.extent {
            Extent::Nothing => true,
            Extent::Half => ends || parcel.first > 0,
            Extent::All => ends,
        }) {
            return context.later(fate.lingers, DEATH);
        }
        if ends {
            let product = parcel.ready.take();
            let (ticket, busy) = (parcel.ticket, parcel.busy.as_nanos() as u64);
            self.ended = (ticket, parcel.limit);
            self.parcel = None;
            let finished = Some(Busy::alone(busy));
            return self.answer(Reply::Product { ticket, product, finished }, context);
        }
        let values = (parcel.first..parcel.begun).map(|index| parcel.units.value(index as usize));
        let took: Duration = values.map(|value| self.shape.takes(self.stage, value)).sum();
        parcel.busy += took;
        context.later(took, GROUP_DONE);
    }

    fn group_done(&mut self, context: &mut Context<'_>) {
        let (stage, shape, retries) = (self.stage, self.shape, self.retries);
        let Some(parcel) = &mut self.parcel else { return };
        let mut cursor = Cursor::new(&parcel.units);
        cursor.take(parcel.first);
        for index in parcel.first..parcel.begun {
            let value = parcel.units.value(index as usize);
            let mut outputs = Outputs::default();
            let mut outcomes = Outcomes::default();
            match shape.work(stage, value, parcel.attempt, retries) {
                Work::Outputs(values) => {
                    for value in &values {
                        outputs.push_bytes(value).expect("a model's values are small");
                    }
                    outcomes.push(values.len() as u32);
                }
                Work::Fails => outcomes.push_failed(Failure::new("as planned")),
                Work::Dies => return context.deeds.push(Deed::Die),
            }
            let worked = Worked { us: 7, execution: parcel.execution };
            parcel.ready.add(&mut cursor, &outcomes, &mut outputs, worked);
        }
        if context.now.since(parcel.handed_over) >= HANDOVER && !parcel.ready.is_empty() {
            parcel.handed_over = context.now;
            let (ticket, product) = (parcel.ticket, parcel.ready.take());
            self.answer(Reply::Product { ticket, product, finished: None }, context);
        }
        self.begin_group(context);
    }
}

impl Helper for Executor {
    type Request = Request;
    type Reply = Reply;

    fn job(request: &Request) -> Job {
        match request {
            Request::Load(_) => Job::Load,
            Request::Execute { .. } => Job::Execute,
            Request::Truncate { .. } => Job::Truncate,
            Request::Collect => Job::Collect,
        }
    }

    fn ask(
        &mut self,
        request: Request,
        fate: Option<Fate>,
        context: &mut Context<'_>,
    ) -> Option<Reply> {
        match (fate, &request) {
            (None, _) => {}
            (Some(fate), Request::Execute { .. }) => self.fate = Some(fate),
            (Some(fate), Request::Load(_)) => {
                self.fate = Some(fate);
                context.later(fate.lingers, DEATH);
                return None;
            }
            // These are answered at once, or never.
            (Some(fate), Request::Truncate { .. } | Request::Collect) => {
                context.deeds.push(Deed::Crash(fate));
                return None;
            }
        }
        match request {
            Request::Load(_) => {
                context.deeds.push(Deed::Joined);
                self.answer(Reply::Loaded { open: 1 }, context);
            }
            Request::Execute { ticket, attempt, execution, units } => {
                if self.parcel.is_some() {
                    let what = "a worker executes two parcels at a time";
                    context.deeds.push(Deed::Violation(what.into()));
                }
                self.parcel = Some(Parcel {
                    ticket,
                    attempt,
                    execution,
                    first: 0,
                    begun: 0,
                    limit: units.len() as u32,
                    units,
                    ready: Product::default(),
                    busy: Duration::ZERO,
                    handed_over: context.now,
                });
                self.begin_group(context);
            }
            Request::Truncate { share, .. } => {
                let Some(parcel) = &mut self.parcel else {
                    let (ticket, keep) = self.ended;
                    return Some(Reply::Truncated { ticket, keep });
                };
                let left = parcel.limit - parcel.begun;
                parcel.limit -= match share {
                    Share::Half => left.div_ceil(2),
                    Share::All => left,
                };
                return Some(Reply::Truncated { ticket: parcel.ticket, keep: parcel.limit });
            }
            Request::Collect => {
                let parcel = self.parcel.as_mut().filter(|parcel| !parcel.ready.is_empty())?;
                let product = parcel.ready.take();
                return Some(Reply::Product { ticket: parcel.ticket, product, finished: None });
            }
        }
        None
    }

    fn go_on(&mut self, token: u64, context: &mut Context<'_>) -> Option<Reply> {
        if token == DEATH {
            context.deeds.extend(self.fate.map(Deed::Crash));
            return None;
        }
        if token == GROUP_DONE {
            self.group_done(context);
        }
        self.answers.remove(&token)
    }
}
