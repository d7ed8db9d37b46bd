//! Runs the function, apart from the sockets, so that a long unit is not a silent worker.
//!
//! Owns the function and the progress through one parcel; refuses to know where units come from.
//! The driver looks into the progress under a lock that is held for moments: to call back units
//! that are not begun, and to fetch outputs that wait behind a long unit.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use proto::{
    causes::with_causes,
    frame::{self, Plan},
    limits::CONCURRENCY_CEILING,
    net::driver::{Handle, JobQueue, Performed, Runner, Service},
    plan::Stage,
    unit::UnitId,
    units::{Span, Units},
};

use tracing::warn;

use crate::{
    Failure, Function, OutputLimits, Outputs, Unit, assemble,
    concurrent::{
        Waker,
        crew::{Crew, Terms},
        desk::Task as Laid,
    },
    core::{Busy, Reply, Request, Share, Ticket},
    external::{Succession, Successor},
    function::{
        Batch, Guarded, Interim, Outcomes, SharedParts, lock_parts, paired, split_pair,
        work_through,
    },
    product::{Cursor, Product, Worked},
};

/// Units are begun in groups, so that the lock costs nothing.
const GROUP_UNITS_MAX: u32 = 512;
/// A group that lasts so many times longer than it should ends with the unit under way, if anybody looks: the others in it are
/// not begun then.
const GROUP_TIMES_MAX: u32 = 5;
/// Outputs are handed over at least as often while a parcel lasts.
const HANDOVER: Duration = Duration::from_millis(25);

/// Whether a plan may bring code along: a command line or Python source. A plan that anyone
/// could have sent may not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Code {
    /// Nobody but who has the key, or the user's own rights, can send a plan.
    #[default]
    Trusted,
    /// Only what the worker brings along, and the built-ins.
    Refused,
}

/// How far the current parcel is.
#[derive(Default)]
struct Progress {
    ticket: Ticket,
    // Units below it are begun.
    begun: u32,
    // Units from it on are not this worker's any more.
    limit: u32,
    // The first unit of those that were begun last, and how many of them were handed over on the way.
    group: u32,
    interim: u32,
    // Until when the units that were begun last should be done.
    due: Option<Instant>,
    enough: Arc<AtomicBool>,
    ready: Product,
}

impl Progress {
    /// Somebody wants something of this parcel: what is under way for long already shall not hold
    /// what is behind it.
    fn looked_at(&self) {
        if self.due.is_some_and(|due| Instant::now() > due) {
            self.enough.store(true, Ordering::Relaxed);
        }
    }
}

struct ParcelTask {
    ticket: Ticket,
    attempt: u32,
    execution: u64,
    units: Units,
}

/// What the function's thread is to do.
enum Task {
    Load(Box<Plan>),
    /// The first code that nobody was given yet.
    Define,
    Execute(ParcelTask),
}

/// The way to the function. When this is dropped it ends: at once, tear-down included, if it is
/// idle; else by itself after its current group of units, which nobody waits for.
pub struct Executor {
    // Before the queue: what is begun is cut short, and then waited for.
    truncator: Truncator,
    queue: JobQueue<Operator>,
    parts: SharedParts,
    // There while the function has many units open at once: then it has all parcels.
    staff: SharedStaff,
}

/// Who works with the function, and what that one has still to be told.
#[derive(Default)]
struct Staff {
    crew: Option<Crew>,
    // Code that came before it was known who needs it, in its order: a crew that is made while it waits
    // is given it before any that comes later.
    codes: VecDeque<frame::Code>,
}

type SharedStaff = Arc<Mutex<Staff>>;

/// The thread that a function runs on, for whoever chooses it; see [`Executor::apart`].
pub struct Workbench(Service<Operator>);

impl Workbench {
    /// Waits for something to do with the function, and does it; whether there may be more.
    pub fn turn(&self) -> bool {
        self.0.turn()
    }

    /// Whether there is something to do.
    pub fn is_wanted(&self) -> bool {
        self.0.is_wanted()
    }
}

/// What a worker brings along, and what it was told before any plan.
#[derive(Default)]
pub struct Own {
    /// Its function.
    pub function: Option<Box<dyn Function>>,
    /// How many units it has open at once, whatever the plan says.
    pub concurrency: Option<u32>,
    /// Where to leave word of a worker in Python that is to take its place; none where this process
    /// has other things to do.
    pub succession: Option<Succession>,
    /// Who makes functions that are not this library's.
    pub host: Option<Box<dyn Host>>,
}

/// Makes functions that this library has not: those in the language of an interpreter that hosts the
/// worker.
pub trait Host: Send {
    /// The function of a stage; none if it is in no such language.
    ///
    /// # Errors
    /// A [`Failure`] when it can't be had.
    fn function(&self, stage: &Stage) -> Result<Option<Box<dyn Function>>, Failure>;
}

/// Cuts short what is begun when it is dropped.
struct Truncator(Arc<Mutex<Progress>>);

/// What is done of the units that were begun last.
struct SoFar {
    parcel: Arc<ParcelTask>,
    progress: Arc<Mutex<Progress>>,
    handle: Handle<Reply>,
}

impl Interim for SoFar {
    fn give(&self, outcomes: &Outcomes, outputs: &mut Outputs, took: Duration) {
        let units = outcomes.units();
        let us = took.as_micros() / u128::from(units.max(1));
        let us = u32::try_from(us).unwrap_or(u32::MAX);
        let mut progress = lock(&self.progress);
        let mut cursor = Cursor::new(&self.parcel.units);
        cursor.skip_to(progress.group as usize);
        let worked = Worked { us, execution: self.parcel.execution };
        progress.ready.add(&mut cursor, outcomes, outputs, worked);
        progress.interim = units;
        progress.begun = progress.begun.min(progress.group + units + 1);
        let (ticket, product) = (self.parcel.ticket, progress.ready.take());
        drop(progress);
        if !product.is_empty() {
            self.handle.reply(Reply::Product { ticket, product, finished: None });
        }
    }
}

impl Executor {
    /// Starts the thread. `own` is what the worker brought with it.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(own: Own, code: Code, handle: Handle<Reply>) -> std::io::Result<Self> {
        let operator = Operator::new(own, code, handle.clone());
        let (truncator, staff) = (Truncator(operator.progress.clone()), operator.staff.clone());
        let parts = operator.parts.clone();
        let queue = JobQueue::start("executor", operator, handle)?;
        Ok(Self { truncator, queue, parts, staff })
    }

    /// The same for a function that has to run on a thread of the caller's choice, the process's first
    /// for example: it runs where [`Workbench::turn`] is called.
    pub fn apart(own: Own, code: Code, handle: Handle<Reply>) -> (Self, Workbench) {
        let operator = Operator::new(own, code, handle.clone());
        let (truncator, staff) = (Truncator(operator.progress.clone()), operator.staff.clone());
        let parts = operator.parts.clone();
        let (queue, service) = JobQueue::apart(operator, handle);
        (Self { truncator, queue, parts, staff }, Workbench(service))
    }

    /// Does what the worker asks; what can be answered at once is.
    pub fn perform(&self, request: Request) -> Performed<Reply> {
        let mut staff = lock(&self.staff);
        if let Some(crew) = &staff.crew {
            match request {
                // It is waited for there.
                Request::Load(_) => {}
                Request::Define(code) => {
                    crew.define(*code);
                    return Performed::Underway;
                }
                Request::Execute { ticket, attempt, execution, units } => {
                    crew.put(Laid { ticket, attempt, execution, units });
                    return Performed::Underway;
                }
                Request::Truncate { ticket, share } => return crew.truncate(ticket, share).into(),
                Request::Collect | Request::Note(_) => return Performed::Underway,
            }
        }
        match request {
            Request::Load(plan) => self.queue.perform(Task::Load(plan), None),
            Request::Define(code) => {
                staff.codes.push_back(*code);
                self.queue.perform(Task::Define, None)
            }
            Request::Execute { ticket, attempt, execution, units } => {
                let size = units.len() as u64;
                let mut progress = lock(&self.truncator.0);
                (progress.ticket, progress.begun) = (ticket, 0);
                progress.limit = units.len() as u32;
                progress.ready = Product::default();
                drop(progress);
                let parcel = ParcelTask { ticket, attempt, execution, units };
                self.queue.perform(Task::Execute(parcel), Some(size))
            }
            Request::Truncate { share, .. } => Performed::Replied(self.truncator.truncate(share)),
            Request::Collect => self.collect().into(),
            // For whoever keeps a diary; no function is needed for it.
            Request::Note(_) => Performed::Underway,
        }
    }

    fn collect(&self) -> Option<Reply> {
        let part = lock_parts(&self.parts).take().map(Reply::Part);
        let mut progress = lock(&self.truncator.0);
        progress.looked_at();
        if progress.ready.is_empty() {
            return part;
        }
        let product = progress.ready.take();
        let product = Reply::Product { ticket: progress.ticket, product, finished: None };
        // Of units before the one that the part is of.
        Some(Reply::Several([product].into_iter().chain(part).collect()))
    }
}

impl Truncator {
    fn truncate(&self, share: Share) -> Reply {
        let mut progress = lock(&self.0);
        progress.looked_at();
        progress.limit -= share.of(progress.limit - progress.begun);
        Reply::Truncated { ticket: progress.ticket, keep: progress.limit }
    }
}

impl Drop for Truncator {
    fn drop(&mut self) {
        self.truncate(Share::All);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // The lock is never held while a function runs, so nothing can be left half done.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The function with what it needs to be called.
struct Loaded {
    function: Box<dyn Function>,
    stage: String,
    limits: OutputLimits,
    pairs: bool,
    streams: bool,
}

/// Who calls the function.
struct Operator {
    handle: Handle<Reply>,
    progress: Arc<Mutex<Progress>>,
    group: u32,
    handover: Duration,
    code: Code,
    own: Own,
    function: Option<Loaded>,
    // What can be seen of the unit under way, of a stage that streams.
    parts: SharedParts,
    staff: SharedStaff,
}

impl Runner for Operator {
    type Job = Task;
    type Reply = Reply;

    fn run(&mut self, tasks: Vec<Task>) -> Vec<Reply> {
        let replies = tasks.into_iter().filter_map(|task| match task {
            Task::Load(plan) => Some(self.load(&plan)),
            Task::Define => self.define(),
            Task::Execute(parcel) => self.execute(&Arc::new(parcel)),
        });
        replies.collect()
    }

    fn close(&mut self) {
        if let Some(mut loaded) = self.function.take() {
            loaded.function.tear_down();
        }
    }
}

impl Operator {
    fn new(own: Own, code: Code, handle: Handle<Reply>) -> Self {
        let (progress, staff) = (Arc::default(), SharedStaff::default());
        let parts = SharedParts::default();
        let handover = HANDOVER;
        Self { handle, progress, group: 1, handover, code, own, function: None, parts, staff }
    }

    fn load(&mut self, plan: &Plan) -> Reply {
        if self.code == Code::Refused && plan.stage.function.is_code() {
            let stage = &plan.stage.name;
            return Reply::Unfit(format!(
                "the plan of stage `{stage}` names a program to start, and with --insecure anyone may have sent it; use a key, or --allow-code where the network is trusted"
            ));
        }
        match self.find_successor(&plan.stage) {
            Ok(false) => {}
            Ok(true) => return Reply::Replaced,
            Err(failure) => return Reply::Unfit(failure.into_text()),
        }
        self.unload(plan.stage.function == proto::plan::Function::Own);
        let concurrency = self.own.concurrency.or(plan.stage.concurrency);
        let stage = Stage { concurrency, ..plan.stage.clone() };
        let mut function = match self.function_of(&stage, plan) {
            Ok(function) => function,
            Err(problem) => return Reply::Unfit(problem),
        };
        if let Some(units) = concurrency.filter(|units| *units > 1) {
            function.open_at_once(units);
        }
        if let Err(failure) = function.set_up() {
            return Reply::Unfit(failure.text().to_owned());
        }
        self.group = 1;
        let loaded = Loaded {
            function,
            stage: stage.name,
            limits: OutputLimits::from(&plan.limits),
            pairs: plan.carries_input,
            streams: plan.stage.stream,
        };
        match self.employ(loaded, concurrency) {
            Ok(open) => Reply::Loaded { open },
            Err(failure) => Reply::Unfit(failure.into_text()),
        }
    }

    fn function_of(&mut self, stage: &Stage, plan: &Plan) -> Result<Box<dyn Function>, String> {
        let host = self.own.host.as_ref();
        let hosted = host.map_or(Ok(None), |host| host.function(stage));
        match hosted.map_err(Failure::into_text)? {
            Some(function) => Ok(Box::new(Guarded(function))),
            None => assemble(stage, self.own.function.take(), &plan.limits)
                .map_err(|error| with_causes(&error)),
        }
    }

    /// Gives the function the next code that units may name; what is to be told of it.
    fn define(&mut self) -> Option<Reply> {
        let mut staff = lock(&self.staff);
        // None where a crew has it by now.
        let code = staff.codes.pop_front()?;
        // The parcels that name it are for whoever has the function.
        if let Some(crew) = &staff.crew {
            crew.define(code);
            return None;
        }
        drop(staff);
        let loaded = self.function.as_mut()?;
        let defined = loaded.function.define(code.id, code.bytes.as_deref());
        defined.err().map(|failure| Reply::Unfit(failure.into_text()))
    }

    /// Whether a worker in Python takes this one's place.
    fn find_successor(&self, stage: &Stage) -> Result<bool, Failure> {
        let Some(succession) = &self.own.succession else { return Ok(false) };
        let successor = Successor::of(stage)?;
        let found = successor.is_some();
        // A plan is loaded once before this process ends.
        successor.map(|successor| succession.set(successor));
        Ok(found)
    }

    /// Puts the function in its place; how many units it has open at once.
    fn employ(&mut self, mut loaded: Loaded, concurrency: Option<u32>) -> Result<u32, Failure> {
        let Some(concurrent) = loaded.function.concurrent() else {
            if let Some(asked) = concurrency.filter(|asked| *asked > 1) {
                let stage = &loaded.stage;
                warn!(%stage, "concurrency = {asked} has no effect: the function works on one unit after the other");
            }
            self.function = Some(loaded);
            return Ok(1);
        };
        let open = concurrency.unwrap_or(concurrent.open_max()).clamp(1, CONCURRENCY_CEILING);
        let waker = Waker::default();
        let open_max = concurrent.begin(open, loaded.limits, waker.clone())?;
        let Loaded { function, stage, limits, pairs, .. } = loaded;
        let terms = Terms { stage, limits, pairs, open_max };
        let crew = Crew::start(function, waker, terms, self.handle.clone())
            .map_err(|error| Failure::new(format!("no thread can be made: {error}")))?;
        let mut staff = lock(&self.staff);
        staff.codes.drain(..).for_each(|code| crew.define(code));
        staff.crew = Some(crew);
        Ok(open_max)
    }

    /// Ends what was loaded before. The function that the worker brought is kept, if that is it.
    fn unload(&mut self, keeps: bool) {
        let crew = lock(&self.staff).crew.take();
        let before = match (self.function.take(), crew) {
            (Some(mut before), _) => {
                before.function.tear_down();
                Some(before.function)
            }
            (None, Some(crew)) if keeps => crew.finish(),
            // Dropped, so what is open is abandoned.
            (None, _) => None,
        };
        if self.own.function.is_none() && keeps {
            self.own.function = before;
        }
    }

    /// Executes a parcel; the last of its outputs.
    fn execute(&mut self, parcel: &Arc<ParcelTask>) -> Option<Reply> {
        let interim: Arc<dyn Interim> = Arc::new(SoFar {
            parcel: parcel.clone(),
            progress: self.progress.clone(),
            handle: self.handle.clone(),
        });
        let loaded = self.function.as_mut()?;
        let mut outputs = Outputs::new(loaded.limits);
        if loaded.streams {
            outputs = outputs.shown_in(self.parts.clone());
        }
        let mut outcomes = Outcomes::default();
        let mut cursor = Cursor::new(&parcel.units);
        let mut busy = Duration::ZERO;
        let mut handed_over = Instant::now();
        let mut worked = None;
        let together = loaded.function.together();
        let enough = lock(&self.progress).enough.clone();
        loop {
            let group = {
                let mut progress = lock(&self.progress);
                if let Some(worked) = worked.take() {
                    cursor.skip_to(cursor.index() + progress.interim as usize);
                    progress.ready.add(&mut cursor, &outcomes, &mut outputs, worked);
                    // Less than was begun, if it was cut short.
                    progress.begun = cursor.index() as u32;
                }
                let first = progress.begun;
                // What can be seen of a unit is seen of one at a time.
                let group = if loaded.streams { 1 } else { self.group };
                let end = progress.limit.min(first + group);
                progress.begun = end.max(first);
                (progress.group, progress.interim) = (first, 0);
                progress.due = (end > first).then(|| Instant::now() + together * GROUP_TIMES_MAX);
                enough.store(false, Ordering::Relaxed);
                if handed_over.elapsed() >= self.handover && !progress.ready.is_empty() {
                    let product = progress.ready.take();
                    handed_over = Instant::now();
                    self.handle.reply(Reply::Product {
                        ticket: parcel.ticket,
                        product,
                        finished: None,
                    });
                }
                first..end
            };
            if group.is_empty() {
                break;
            }
            let start = Instant::now();
            outputs.clear();
            outcomes.clear();
            let spans = cursor.clone().take(group.end - group.start);
            if loaded.streams {
                lock_parts(&self.parts).begin(seen(&spans));
            }
            loaded.work(
                group.start as usize,
                spans,
                (parcel, &interim),
                &enough,
                &mut outputs,
                &mut outcomes,
            );
            let took = start.elapsed();
            busy += took;
            let count = u128::from(outcomes.units().max(1));
            let us = u32::try_from(took.as_micros() / count).unwrap_or(u32::MAX);
            worked = Some(Worked { us, execution: parcel.execution });
            self.group = next_group(self.group, took, together);
        }
        if loaded.streams {
            lock_parts(&self.parts).begin(None);
        }
        let product = lock(&self.progress).ready.take();
        let finished = Some(Busy::alone(u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX)));
        Some(Reply::Product { ticket: parcel.ticket, product, finished })
    }
}

/// The unit whose outputs can be seen: one that no stage has expanded.
fn seen(spans: &[Span]) -> Option<UnitId> {
    spans.first().filter(|span| span.path.is_empty()).map(|span| span.first)
}

/// The size of the next group, from how long this one took.
fn next_group(group: u32, took: Duration, together: Duration) -> u32 {
    if took * 2 <= together {
        (group * 2).min(GROUP_UNITS_MAX)
    } else if took > together * 2 {
        1
    } else {
        group
    }
}

impl Loaded {
    /// Calls the function for each unit of `spans`, whose first is unit `at` of the parcel, until
    /// it is enough.
    fn work(
        &mut self,
        at: usize,
        spans: Vec<Span>,
        (parcel, interim): (&ParcelTask, &Arc<dyn Interim>),
        enough: &AtomicBool,
        outputs: &mut Outputs,
        outcomes: &mut Outcomes,
    ) {
        let batch = Batch::new(&parcel.units, at, spans, parcel.attempt, &self.stage);
        let mut batch = batch.until(enough).with_interim(interim.clone());
        match self.pairs {
            false => self.function.call_all(&mut batch, outputs, outcomes),
            true => work_through(&mut batch, outputs, outcomes, |unit, pair, outputs| {
                call_pair(&mut *self.function, unit, pair, outputs)
            }),
        }
    }
}

/// Calls the function with the second half of a pair, and pairs each output with the first.
fn call_pair(
    function: &mut dyn Function,
    unit: &Unit<'_>,
    pair: &[u8],
    outputs: &mut Outputs,
) -> Result<(), Failure> {
    let (input, value) = split_pair(pair)?;
    let mut plain = Outputs::new(outputs.limits());
    function.call(unit, value, &mut plain)?;
    for output in plain.iter() {
        outputs.push_bytes(&paired(input, output))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use proto::{
        limits::Limits,
        net::{driver::Driver, zeromq::SharedContext},
    };

    use super::*;

    /// Tells when it is at unit 3 or 4, and goes on when it is told.
    struct Slow(Sender<()>, Receiver<()>);

    impl Function for Slow {
        fn call(&mut self, unit: &Unit<'_>, _: &[u8], _: &mut Outputs) -> Result<(), Failure> {
            if [3, 4].contains(&unit.id) {
                self.0.send(()).unwrap();
                self.1.recv().unwrap();
            }
            Ok(())
        }
    }

    #[test]
    fn a_unit_that_suddenly_takes_long_holds_none_of_those_behind_it() {
        let driver = Driver::new(&SharedContext::new(), None, &Limits::default()).unwrap();
        let progress = Arc::new(Mutex::new(Progress { limit: 100, ..Progress::default() }));
        let ((at, reached), (go, goes)) = (channel(), channel());
        let function = Loaded {
            function: Box::new(Slow(at, goes)),
            stage: "s".into(),
            limits: OutputLimits::default(),
            pairs: false,
            streams: false,
        };
        let mut operator = Operator {
            handle: driver.handle(),
            progress: progress.clone(),
            group: 100,
            handover: HANDOVER,
            code: Code::Trusted,
            own: Own::default(),
            function: Some(function),
            parts: SharedParts::default(),
            staff: SharedStaff::default(),
        };
        let units = Units::from_source(0, vec![1; 100], (1..=100).collect());
        let parcel = ParcelTask { ticket: 0, attempt: 1, execution: 0, units };
        let parcel = Arc::new(parcel);
        let working = std::thread::spawn(move || operator.execute(&parcel));
        let truncator = Truncator(progress);
        let keeps = || match truncator.truncate(Share::All) {
            Reply::Truncated { keep, .. } => keep,
            other => panic!("{other:?}"),
        };
        reached.recv().unwrap();
        while !lock(&truncator.0).enough.load(Ordering::Relaxed) {
            assert_eq!(keeps(), 100, "all of them are begun");
        }
        go.send(()).unwrap();
        reached.recv().unwrap();
        assert_eq!(keeps(), 5);
        go.send(()).unwrap();
        assert!(matches!(working.join(), Ok(Some(Reply::Product { finished: Some(_), .. }))));
    }

    /// Is done with two units of its group when the third is long in coming, and says so.
    struct Halfway(Sender<()>, Receiver<()>);

    impl Function for Halfway {
        fn call(&mut self, _: &Unit<'_>, _: &[u8], _: &mut Outputs) -> Result<(), Failure> {
            Ok(())
        }

        fn call_all(&mut self, batch: &mut Batch<'_>, out: &mut Outputs, outcomes: &mut Outcomes) {
            if let Some(interim) = batch.interim().filter(|_| batch.values().len() > 3) {
                let (mut early, mut done) = (Outputs::default(), Outcomes::default());
                for value in batch.values().take(2) {
                    early.begin_unit();
                    early.push_bytes(value).unwrap();
                    done.push(1);
                }
                interim.give(&done, &mut early, Duration::from_secs(1));
                (0..2).for_each(|_| _ = batch.next_unit());
                self.0.send(()).unwrap();
                self.1.recv().unwrap();
                let (_, value) = batch.next_unit().unwrap();
                out.begin_unit();
                out.push_bytes(value).unwrap();
                return outcomes.push(1);
            }
            work_through(batch, out, outcomes, |_, value, out| out.push_bytes(value));
        }

        /// However long it is looked at, the third unit is of this group.
        fn together(&self) -> Duration {
            Duration::from_secs(3_600)
        }
    }

    #[test]
    fn what_is_done_of_a_slow_group_leaves_and_what_is_not_begun_can_be_called_back() {
        let driver = Driver::new(&SharedContext::new(), None, &Limits::default()).unwrap();
        let ((at, reached), (go, goes)) = (channel(), channel());
        let mut operator = Operator::new(Own::default(), Code::Trusted, driver.handle());
        operator.group = 6;
        operator.handover = Duration::MAX;
        operator.function = Some(Loaded {
            function: Box::new(Halfway(at, goes)),
            stage: "s".into(),
            limits: OutputLimits::default(),
            pairs: false,
            streams: false,
        });
        let progress = operator.progress.clone();
        lock(&progress).limit = 6;
        let units = Units::from_source(0, (1..=6).collect(), (1..=6).collect());
        let parcel = Arc::new(ParcelTask { ticket: 0, attempt: 1, execution: 0, units });
        let working = std::thread::spawn(move || operator.execute(&parcel));
        reached.recv().unwrap();
        let truncator = Truncator(progress);
        assert!(matches!(truncator.truncate(Share::All), Reply::Truncated { keep: 3, .. }));
        go.send(()).unwrap();
        let Ok(Some(Reply::Product { product, .. })) = working.join() else { panic!("no product") };
        // The first two left while the third was under way.
        assert_eq!(product.units.values(0..1), [3]);
        assert_eq!(product.units.len(), 1);
    }

    /// Has many units open, and notes which code it is given.
    struct Learns(Box<dyn Function>, Sender<u64>);

    impl Function for Learns {
        fn call(&mut self, _: &Unit<'_>, _: &[u8], _: &mut Outputs) -> Result<(), Failure> {
            Ok(())
        }

        fn concurrent(&mut self) -> Option<&mut dyn crate::concurrent::Concurrent> {
            self.0.concurrent()
        }

        fn define(&mut self, id: u64, _: Option<&[u8]>) -> Result<(), Failure> {
            self.1.send(id).unwrap();
            Ok(())
        }
    }

    /// What names it may come to the crew in the moment in which that is made.
    #[test]
    fn code_that_came_while_the_function_was_loaded_is_learned_before_what_came_later() {
        let driver = Driver::new(&SharedContext::new(), None, &Limits::default()).unwrap();
        let mut operator = Operator::new(Own::default(), Code::Trusted, driver.handle());
        let staff = operator.staff.clone();
        let code = |id| frame::Code { id, bytes: Some(Vec::new()) };
        lock(&staff).codes.push_back(code(0));
        let (learned, learns) = channel();
        let sleeps = crate::builtin::concurrent("sleep").unwrap();
        let function = Loaded {
            function: Box::new(Learns(sleeps, learned)),
            stage: "s".into(),
            limits: OutputLimits::default(),
            pairs: false,
            streams: false,
        };
        assert_eq!(operator.employ(function, Some(4)).unwrap(), 4);
        lock(&staff).crew.as_ref().unwrap().define(code(1));
        // What is left to be done for the first one.
        assert!(operator.define().is_none());
        lock(&staff).crew.take().unwrap().finish();
        assert_eq!(learns.try_iter().collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn pairs_keep_their_input() {
        let mut outputs = Outputs::default();
        let unit = Unit { id: 0, path: &[], attempt: 1, stage: "s" };
        let pair = rmp_serde::to_vec(&("in", 3)).unwrap();
        let mut twice = crate::flat_map(|n: u32| [n, n + 1]);
        call_pair(&mut twice, &unit, &pair, &mut outputs).unwrap();
        let pairs: Vec<(String, u32)> =
            outputs.iter().map(|pair| rmp_serde::from_slice(pair).unwrap()).collect();
        assert_eq!(pairs, [("in".into(), 3), ("in".into(), 4)]);
    }
}
