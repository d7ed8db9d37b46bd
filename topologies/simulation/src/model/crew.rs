//! The thread that has many units open at once: begun in order, finished in any.
//!
//! Keeps to the real crew's rules: what is begun is finished, what is not can be called back, several
//! parcels are here at once, and what has finished is told in bunches, a moment later.

use std::collections::BTreeMap;

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
    doom::{Extent, Fate, Job},
    mutation::Mutation,
    shape::{Shape, Work},
};

/// One in so many units that finish is told at once.
const BUNCH: u32 = 3;
/// The process is done; all other tokens name answers or units.
const DEATH: u64 = 0;

struct Parcel {
    of: Attempt,
    // Units below it are begun, units from `limit` on are not this worker's any more.
    begun: u32,
    limit: u32,
    done: u32,
    // What has finished and is not told.
    ready: Vec<u32>,
}

/// A function of this shape with so many units open.
pub(crate) struct Crew {
    function: Function,
    open_max: u32,
    parcels: BTreeMap<Ticket, Parcel>,
    open: BTreeMap<u64, (Ticket, u32)>,
    answers: Answers,
    // This parcel is the last that comes.
    fate: Option<(Fate, Option<Ticket>)>,
    mutation: Option<Mutation>,
    dying: bool,
}

impl Crew {
    pub fn new(stage: u32, retries: u32, shape: Shape, open_max: u32) -> Self {
        Self {
            function: Function { stage, retries, shape },
            open_max,
            parcels: BTreeMap::new(),
            open: BTreeMap::new(),
            answers: Answers::above(DEATH),
            fate: None,
            mutation: None,
            dying: false,
        }
    }

    /// The same with a bug.
    pub fn with_mutation(self, mutation: Option<Mutation>) -> Self {
        Self { mutation, ..self }
    }

    /// Begins what there is room for.
    fn begin(&mut self, context: &mut Context<'_>) {
        while (self.open.len() as u32) < self.open_max {
            let next = self.parcels.iter_mut().find(|(_, parcel)| parcel.begun < parcel.limit);
            let Some((ticket, parcel)) = next else { return };
            let (ticket, index) = (*ticket, parcel.begun);
            parcel.begun += 1;
            let takes = self.function.begin(&parcel.of, index, context);
            let token = self.answers.token();
            self.open.insert(token, (ticket, index));
            context.later(takes, token);
        }
    }

    fn finished(&mut self, ticket: Ticket, index: u32, context: &mut Context<'_>) {
        let Some(parcel) = self.parcels.get_mut(&ticket) else { return };
        if matches!(self.function.work(&parcel.of, index), Work::Dies) {
            return context.deeds.push(Deed::Die);
        }
        parcel.done += 1;
        parcel.ready.push(index);
        self.begin(context);
        let idle = (self.open.len() as u32) < self.open_max;
        self.meet_fate(context);
        if !self.dying && (idle || context.rng.u32(0..BUNCH) == 0) {
            self.tell(context);
        }
    }

    /// Hands over what has finished, and says which parcels have ended.
    fn tell(&mut self, context: &mut Context<'_>) {
        let mut replies = Vec::new();
        for (ticket, parcel) in &mut self.parcels {
            let early = u32::from(self.mutation == Some(Mutation::DoneTooSoon) && parcel.done > 0);
            let ended = parcel.done + early >= parcel.limit;
            if parcel.ready.is_empty() && !ended {
                continue;
            }
            let product = product(parcel, self.function);
            let finished = ended.then_some(Busy { wall_ns: 1_000, open_ns: 2_000 });
            if ended {
                parcel.limit = parcel.done;
            }
            replies.push(Reply::Product { ticket: *ticket, product, finished });
        }
        self.parcels.retain(|_, parcel| parcel.done != parcel.limit);
        if !replies.is_empty() {
            self.answers.answer(Reply::Several(replies), context);
        }
    }

    /// Dies when as much of its last parcel is done as its fate says.
    fn meet_fate(&mut self, context: &mut Context<'_>) {
        let Some((fate, ticket)) = self.fate.filter(|_| !self.dying) else { return };
        let parcel = ticket.and_then(|ticket| self.parcels.get(&ticket));
        let far = parcel.is_none_or(|parcel| match fate.extent {
            Extent::Nothing => true,
            Extent::Half => parcel.done * 2 >= parcel.limit,
            Extent::All => parcel.done == parcel.limit,
        });
        if far {
            self.dying = true;
            context.later(fate.lingers, DEATH);
        }
    }
}

/// What has come of the units that have finished since it was told last.
fn product(parcel: &mut Parcel, function: Function) -> Product {
    parcel.ready.sort_unstable();
    let mut product = Product::default();
    let mut cursor = Cursor::new(&parcel.of.units);
    for index in std::mem::take(&mut parcel.ready) {
        cursor.skip_to(index as usize);
        function::add(function.work(&parcel.of, index), &parcel.of, &mut cursor, &mut product);
    }
    product
}

impl Helper for Crew {
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
            (Some(fate), Request::Execute { ticket, .. }) => {
                self.fate = Some((fate, Some(*ticket)))
            }
            (Some(fate), Request::Load(_)) => {
                self.fate = Some((fate, None));
                self.meet_fate(context);
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
                // What was open before is abandoned.
                self.parcels.clear();
                self.open.clear();
                context.deeds.push(Deed::Joined);
                self.answers.answer(Reply::Loaded { open: self.open_max }, context);
            }
            Request::Execute { ticket, attempt, execution, units } => {
                let limit = units.len() as u32;
                let (begun, done, ready) = (0, 0, Vec::new());
                let of = Attempt { attempt, execution, units };
                let parcel = Parcel { of, begun, limit, done, ready };
                self.parcels.insert(ticket, parcel);
                self.begin(context);
                self.meet_fate(context);
            }
            Request::Truncate { ticket, share } => {
                let parcel = self.parcels.get_mut(&ticket)?;
                let given = share.of(parcel.limit - parcel.begun);
                parcel.limit -= given;
                let more = self.mutation == Some(Mutation::KeepsTooFew) && given > 0;
                let keep = parcel.limit + u32::from(more);
                if parcel.done == parcel.limit && !self.dying {
                    self.tell(context);
                }
                self.meet_fate(context);
                return Some(Reply::Truncated { ticket, keep });
            }
            // The units of a shape name no code, and nobody reads a diary.
            Request::Define(_) | Request::Note(_) => {}
            Request::Collect => {
                let what = "a worker with many units open fetches outputs";
                context.deeds.push(Deed::Violation(what.into()));
            }
        }
        None
    }

    fn go_on(&mut self, token: u64, context: &mut Context<'_>) -> Option<Reply> {
        if token == DEATH {
            context.deeds.extend(self.fate.map(|(fate, _)| Deed::Crash(fate)));
            return None;
        }
        if let Some((ticket, index)) = self.open.remove(&token) {
            self.finished(ticket, index, context);
            return None;
        }
        self.answers.arrive(token)
    }
}
