//! The thread that runs the function: units in groups, outputs handed over on the way.
//!
//! Keeps to the real executor's rules: what is begun is finished, what is not can be called
//! back, and an answer takes a moment to reach the worker, in which other things may happen.

use std::time::Duration;

use proto::service::Part;
use worker::{
    core::{Busy, Reply, Request, Ticket},
    product::{Cursor, Product},
};

use super::{
    answers::Answers,
    function::{self, Attempt, Function},
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
/// The group is done; the process is; all other tokens name answers.
const GROUP_DONE: u64 = 0;
const DEATH: u64 = 1;

/// What it works on.
struct Parcel {
    ticket: Ticket,
    of: Attempt,
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
    function: Function,
    // Outputs of a unit under way can be seen.
    streams: bool,
    parcel: Option<Parcel>,
    // The parcel before, whose end the worker may not know yet.
    ended: (Ticket, u32),
    answers: Answers,
    // The parcel that is being executed is the last, or what was asked for before it.
    fate: Option<Fate>,
}

impl Executor {
    pub fn new(stage: u32, retries: u32, shape: Shape, streams: bool) -> Self {
        Self {
            function: Function { stage, retries, shape },
            streams,
            parcel: None,
            ended: (0, 0),
            answers: Answers::above(DEATH),
            fate: None,
        }
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
            let reply = Reply::Product { ticket, product, finished };
            return self.answers.answer(reply, context);
        }
        let units = parcel.first..parcel.begun;
        let function = self.function;
        let took: Duration = units.map(|index| function.begin(&parcel.of, index, context)).sum();
        parcel.busy += took;
        context.later(took, GROUP_DONE);
    }

    /// What the function has given so far of the unit that it works on, which it had begun with the others
    /// of its group.
    fn part(&self, context: &mut Context<'_>) -> Option<Reply> {
        let parcel = self.parcel.as_ref().filter(|_| self.streams)?;
        let unit = parcel.of.units.iter().nth(parcel.first as usize);
        let (unit, ..) = unit.filter(|(_, path, _)| path.is_empty())?;
        let Work::Outputs(outputs) = self.function.work(&parcel.of, parcel.first) else {
            return None;
        };
        let given = context.rng.usize(0..=outputs.len());
        let values: Vec<u8> = outputs[..given].concat();
        (given > 0).then(|| Reply::Part(Part { unit, index: 0, values: values.into() }))
    }

    fn group_done(&mut self, context: &mut Context<'_>) {
        let Some(parcel) = &mut self.parcel else { return };
        let mut cursor = Cursor::new(&parcel.of.units);
        cursor.take(parcel.first);
        for index in parcel.first..parcel.begun {
            match self.function.work(&parcel.of, index) {
                Work::Dies => return context.deeds.push(Deed::Die),
                work => function::add(work, &parcel.of, &mut cursor, &mut parcel.ready),
            }
        }
        if context.now.since(parcel.handed_over) >= HANDOVER && !parcel.ready.is_empty() {
            parcel.handed_over = context.now;
            let (ticket, product) = (parcel.ticket, parcel.ready.take());
            let reply = Reply::Product { ticket, product, finished: None };
            self.answers.answer(reply, context);
        }
        self.begin_group(context);
    }
}

impl Helper for Executor {
    type Request = Request;
    type Reply = Reply;

    fn job(request: &Request) -> Job {
        function::job(request)
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
            (
                Some(fate),
                Request::Truncate { .. } | Request::Collect | Request::Define(_) | Request::Note(_),
            ) => {
                context.deeds.push(Deed::Crash(fate));
                return None;
            }
        }
        match request {
            Request::Load(_) => {
                context.deeds.push(Deed::Joined);
                self.answers.answer(Reply::Loaded { open: 1 }, context);
            }
            Request::Execute { ticket, attempt, execution, units } => {
                if self.parcel.is_some() {
                    let what = "a worker executes two parcels at a time";
                    context.deeds.push(Deed::Violation(what.into()));
                }
                self.parcel = Some(Parcel {
                    ticket,
                    first: 0,
                    begun: 0,
                    limit: units.len() as u32,
                    of: Attempt { attempt, execution, units },
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
                parcel.limit -= share.of(parcel.limit - parcel.begun);
                return Some(Reply::Truncated { ticket: parcel.ticket, keep: parcel.limit });
            }
            // The units of a shape name no code, and nobody reads a diary.
            Request::Define(_) | Request::Note(_) => {}
            Request::Collect => {
                let part = self.part(context);
                let parcel = self.parcel.as_mut().filter(|parcel| !parcel.ready.is_empty());
                let product = parcel.map(|parcel| Reply::Product {
                    ticket: parcel.ticket,
                    product: parcel.ready.take(),
                    finished: None,
                });
                let replies: Vec<_> = product.into_iter().chain(part).collect();
                return (!replies.is_empty()).then_some(Reply::Several(replies));
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
        self.answers.arrive(token)
    }
}
