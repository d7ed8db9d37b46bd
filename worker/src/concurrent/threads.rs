//! Blocking functions, each unit in a thread of its own.
//!
//! Owns the threads: as many as ever had something to do at once, up to the units that may be open.
//! Refuses to stop one: a function that never returns keeps its place.

use std::{
    collections::VecDeque,
    fmt::{Debug, Display, Formatter},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use proto::unit::{Path, UnitId};
use serde::{Serialize, de::DeserializeOwned};

use super::{Alone, Concurrent, Finished, Slot, Waker, done::Done};
use crate::{
    Failure, OutputLimits, Outputs, Unit,
    function::{decode_input, guard, is_result},
};

/// What every thread does with a unit.
type Work = dyn Fn(&Unit<'_>, &[u8], &mut Outputs) -> Result<(), Failure> + Send + Sync;

/// A blocking function that is called from many threads at once.
pub struct Threads {
    open_max: u32,
    work: Arc<Work>,
    shared: Arc<Shared>,
    threads: u32,
}

/// A unit on its way to a thread.
struct Job {
    slot: Slot,
    id: UnitId,
    path: Path,
    attempt: u32,
    stage: Arc<str>,
    input: Vec<u8>,
}

#[derive(Default)]
struct Inside {
    jobs: VecDeque<Job>,
    // Threads that wait for one.
    idle: u32,
    open: u32,
    stage: Arc<str>,
    limits: OutputLimits,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    inside: Mutex<Inside>,
    news: Condvar,
    done: Done,
}

impl Debug for Threads {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").field("open_max", &self.open_max).finish_non_exhaustive()
    }
}

impl Threads {
    /// `work` is called for up to `open_max` units at once, unless the stage says otherwise.
    pub(crate) fn new(
        open_max: u32,
        work: impl Fn(&Unit<'_>, &[u8], &mut Outputs) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        Self { open_max: open_max.max(1), work: Arc::new(work), shared, threads: 0 }
    }

    /// One more thread, if all that there are have something to do.
    fn grow(&mut self) -> Result<(), Failure> {
        let (shared, work) = (self.shared.clone(), self.work.clone());
        let thread = thread::Builder::new().name("unit".into());
        match thread.spawn(move || shared.serve(&*work)) {
            Ok(_) => self.threads += 1,
            // Those that there are do it later.
            Err(error) if self.threads > 0 => {
                tracing::warn!(%error, threads = self.threads, "no further thread can be made");
                self.shared.inside().open = self.threads;
            }
            Err(error) => return Err(Failure::new(format!("no thread can be made: {error}"))),
        }
        Ok(())
    }
}

impl Concurrent for Threads {
    fn open_max(&self) -> u32 {
        self.open_max
    }

    fn begin(&mut self, open: u32, limits: OutputLimits, waker: Waker) -> Result<u32, Failure> {
        // Those of another plan end by themselves.
        self.end();
        let shared = Shared { done: Done::new(waker), ..Shared::default() };
        (self.shared, self.threads) = (Arc::new(shared), 0);
        let mut inside = self.shared.inside();
        (inside.open, inside.limits) = (open, limits);
        Ok(open)
    }

    fn start(&mut self, slot: Slot, unit: &Unit<'_>, input: &[u8]) {
        let mut inside = self.shared.inside();
        if *inside.stage != *unit.stage {
            inside.stage = unit.stage.into();
        }
        let (stage, path, input) = (inside.stage.clone(), unit.path.to_vec(), input.to_vec());
        inside.jobs.push_back(Job { slot, id: unit.id, path, attempt: unit.attempt, stage, input });
        let grows = inside.jobs.len() > inside.idle as usize && self.threads < inside.open;
        drop(inside);
        self.shared.news.notify_one();
        if grows && let Err(failure) = self.grow() {
            self.shared.inside().jobs.pop_back();
            self.shared.done.put(slot, Err(failure));
        }
    }

    fn poll(&mut self, finished: &mut Finished) {
        self.shared.done.tell(finished);
    }

    fn end(&mut self) {
        let mut inside = self.shared.inside();
        inside.ended = true;
        inside.jobs.clear();
        drop(inside);
        self.shared.news.notify_all();
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        // The lock is never held while a function runs, so nothing can be left half done.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<(Job, OutputLimits)> {
        let mut inside = self.inside();
        inside.idle += 1;
        let waits = |inside: &mut Inside| inside.jobs.is_empty() && !inside.ended;
        let mut inside =
            self.news.wait_while(inside, waits).unwrap_or_else(PoisonError::into_inner);
        inside.idle -= 1;
        let limits = inside.limits;
        inside.jobs.pop_front().map(|job| (job, limits))
    }

    /// The body of each thread.
    fn serve(&self, work: &Work) {
        while let Some((job, limits)) = self.next() {
            let Job { slot, id, path, attempt, stage, input } = job;
            let unit = Unit { id, path: &path, attempt, stage: &stage };
            let mut outputs = Outputs::new(limits);
            let worked = guard(|| work(&unit, &input, &mut outputs)).map(|()| outputs);
            self.done.put(slot, worked);
        }
    }
}

/// A blocking function with one output for each input, called from up to `threads` threads at once:
/// for what waits for a disk, a database or a server. No runtime is needed.
///
/// A stage's `concurrency`, or `worker --concurrency`, replaces `threads`.
///
/// ```
/// let lengths = worker::threads(64, |path: String| std::fs::metadata(path).map_or(0, |m| m.len()));
/// # let _: Box<dyn worker::Function> = Box::new(lengths);
/// ```
pub fn threads<I, O, F>(threads: u32, f: F) -> Alone<Threads>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Fn(I) -> O + Send + Sync + 'static,
{
    Alone::new(Threads::new(threads, move |_, input, out| {
        if is_result::<O>() {
            return Err(Failure::result_as_output());
        }
        out.push(&f(decode_input::<I>(input)?))
    }))
}

/// The same for a function that can fail; its error fails the unit.
///
/// ```
/// let contents = worker::try_threads(64, |path: String| std::fs::read_to_string(path));
/// # let _: Box<dyn worker::Function> = Box::new(contents);
/// ```
pub fn try_threads<I, O, E, F>(threads: u32, f: F) -> Alone<Threads>
where
    I: DeserializeOwned,
    O: Serialize,
    E: Display,
    F: Fn(I) -> Result<O, E> + Send + Sync + 'static,
{
    Alone::new(Threads::new(threads, move |_, input, out| {
        let output = f(decode_input::<I>(input)?).map_err(|error| Failure::from_error(&error))?;
        out.push(&output)
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::{
        Function,
        testing::{call, lines, pack, unit},
    };

    /// Starts as many units as may be open; what came of them, by slot.
    fn all(function: &mut dyn Concurrent, inputs: &[&str]) -> Vec<(Slot, Result<usize, String>)> {
        let waker = Waker::default();
        let begun = function.begin(inputs.len() as u32, OutputLimits::default(), waker.clone());
        assert_eq!(begun.unwrap(), inputs.len() as u32);
        for (slot, input) in (0..).zip(inputs) {
            function.start(slot, &unit(), &pack(input));
        }
        let (mut finished, mut all) = (Finished::new(OutputLimits::default()), Vec::new());
        while all.len() < inputs.len() {
            function.poll(&mut finished);
            all.extend(finished.take_ended().into_iter().map(|ended| {
                let outcome = match ended.outcome {
                    super::super::finished::Outcome::Outputs { count, .. } => Ok(count),
                    super::super::finished::Outcome::Failed(failure) => Err(failure.into_text()),
                };
                (ended.slot, outcome)
            }));
            if all.len() < inputs.len() {
                waker.wait(None);
            }
        }
        all.sort();
        all
    }

    #[test]
    fn as_many_units_as_may_be_open_run_at_once() {
        let together = Arc::new(Barrier::new(8));
        let mut function = threads(2, move |n: u64| {
            // Each waits for all the others.
            together.wait();
            n
        });
        let inputs: Vec<String> = (0..8).map(|n| n.to_string()).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let ended = all(function.concurrent().unwrap(), &inputs);
        assert!(ended.iter().all(|(_, outcome)| *outcome == Ok(1)));
    }

    #[test]
    fn a_panic_an_error_and_a_wrong_input_fail_their_own_units() {
        let mut function = try_threads(4, |n: i64| match n {
            1 => panic!("one"),
            2 => Err("two"),
            n => Ok(n),
        });
        let ended = all(function.concurrent().unwrap(), &["0", "1", "2", r#""x""#]);
        let texts: Vec<_> = ended.into_iter().filter_map(|(_, outcome)| outcome.err()).collect();
        assert_eq!(texts[..2], ["panicked: one", "two"]);
        assert!(texts[2].starts_with("expected a whole number"), "{}", texts[2]);
    }

    #[test]
    fn called_for_a_unit_at_a_time_it_gives_the_same() {
        assert_eq!(call(&mut threads(64, |n: u64| n + 1), "41"), lines("42"));
        let text = call(&mut threads(64, |n: u64| Ok::<u64, String>(n)), "1").unwrap_err();
        assert!(text.contains("worker::try_map"), "{text}");
    }
}
