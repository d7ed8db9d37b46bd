//! Describing a pipeline in code.
//!
//! Owns the builder: a source, stages whose types fit, and the few choices there are. Refuses
//! threads and sockets, which [`Pipeline::run`] leaves to others.

use std::{marker::PhantomData, time::Duration};

use proto::{
    limits::Limits,
    plan::{self, Stage},
};
use serde::{Serialize, de::DeserializeOwned};
use sink::Order;
use worker::{Function, Typed, Worker};

use super::{
    results::{Mapped, Results},
    threads::{Blueprint, StartError, Team, Threads},
};

/// Applies `work` to every item of `source` with that many workers, and gives the results in the
/// items' order.
///
/// Each worker has a clone of the closure. For anything beyond this (several stages, other
/// orders, errors, retries) there is [`source()`].
///
/// ```
/// let squares: Vec<u64> = pipeline::map(4, |n: u64| n * n, 1..=10).collect();
/// assert_eq!(squares, [1, 4, 9, 16, 25, 36, 49, 64, 81, 100]);
///
/// // The source is read as results are taken, so it need not end.
/// let first = pipeline::map(2, |n: u64| n * n, 1..).find(|square| *square > 1_000);
/// assert_eq!(first, Some(1_024));
/// ```
///
/// # Panics
/// If there are no workers, or threads and sockets can't be had. If the closure panics, the
/// iterator does so too, in that item's place; also if it returns a `Result`: what can fail is a
/// stage of [`source`] with [`worker::try_map`]. A panic of the source is raised again behind the
/// results of what it gave before.
pub fn map<I, O, F, S>(workers: usize, work: F, source: S) -> Mapped<O>
where
    S: IntoIterator<Item = I>,
    S::IntoIter: Send + 'static,
    I: Serialize + DeserializeOwned + 'static,
    O: Serialize + DeserializeOwned + 'static,
    F: FnMut(I) -> O + Clone + Send + 'static,
{
    let pipeline = self::source(source)
        .stage("map", workers, || worker::map(work.clone()))
        // What panicked once panics again; it is better told at once.
        .retries(0);
    Mapped(pipeline.run().unwrap_or_else(|error| panic!("cannot start the pipeline: {error}")))
}

/// Begins a pipeline with its source: any iterator, also one that trickles or never ends.
///
/// It is pulled by a thread of its own, as far as the workers need it and the
/// [window](Pipeline::window) allows.
///
/// ```
/// use pipeline::Order;
///
/// // One unit becomes many, and some of those none.
/// let words = pipeline::source(["to be", "or not", "to be"].map(String::from))
///     .stage("split", 2, || {
///         worker::flat_map(|line: String| {
///             line.split(' ').map(String::from).collect::<Vec<_>>()
///         })
///     })
///     .stage("long", 2, || worker::filter_map(|word: String| (word.len() > 2).then_some(word)))
///     .run()?
///     .collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(words, ["not"]);
///
/// // A unit that fails for good is one of the items, in its place.
/// let numbers: Vec<_> = pipeline::source(["1", "zwei", "3"].map(String::from))
///     .stage("parse", 1, || worker::try_map(|text: String| text.parse::<u32>()))
///     .retries(0)
///     .run()?
///     .map(|number| number.map_err(|error| error.to_string()))
///     .collect();
/// assert_eq!(numbers[2], Ok(3));
/// assert_eq!(
///     numbers[1].as_ref().unwrap_err(),
///     "unit 1 failed in the stage `parse`, tried 1 times: invalid digit found in string"
/// );
///
/// // Whatever is finished first comes first.
/// let mut squares = pipeline::source(1..=100_u64)
///     .stage("square", 4, || worker::map(|n: u64| n * n))
///     .order(Order::Completion)
///     .run()?
///     .collect::<Result<Vec<u64>, _>>()?;
/// squares.sort();
/// assert_eq!(squares[99], 10_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn source<S>(items: S) -> Source<S::Item>
where
    S: IntoIterator,
    S::IntoIter: Send + 'static,
    S::Item: Serialize,
{
    let items = items.into_iter();
    Source(Pipeline {
        blueprint: Blueprint {
            feed: Box::new(move |tap| tap.feed(items)),
            teams: Vec::new(),
            order: Order::default(),
            limits: Limits::default(),
        },
        output: PhantomData,
    })
}

/// A pipeline that has a source, and needs a first stage.
#[must_use = "a source alone does nothing"]
pub struct Source<T>(Pipeline<T>);

impl<T> Source<T> {
    /// Adds the first stage; see [`Pipeline::stage`].
    pub fn stage<W>(
        self,
        name: &str,
        workers: usize,
        make: impl FnMut() -> Typed<W>,
    ) -> Pipeline<W::Output>
    where
        W: Worker<Input = T> + 'static,
    {
        self.0.stage(name, workers, make)
    }

    /// Adds the first stage; see [`Pipeline::function`].
    pub fn function<O, F>(self, name: &str, workers: usize, make: impl FnMut() -> F) -> Pipeline<O>
    where
        F: Function + 'static,
    {
        self.0.function(name, workers, make)
    }
}

/// A pipeline that gives values of type `T`.
#[must_use = "a pipeline does nothing until it is run"]
pub struct Pipeline<T> {
    blueprint: Blueprint,
    output: PhantomData<fn() -> T>,
}

impl<T> Pipeline<T> {
    /// Adds a stage: so many `workers`, each with a function that `make` made for it, from a
    /// closure ([`worker::map`] and its siblings) or from a [`Worker`] with state
    /// (`|| Typed(MyWorker::new())`).
    ///
    /// Names tell stages apart, so no two may have the same one.
    pub fn stage<W>(
        self,
        name: &str,
        workers: usize,
        make: impl FnMut() -> Typed<W>,
    ) -> Pipeline<W::Output>
    where
        W: Worker<Input = T> + 'static,
    {
        self.function(name, workers, make)
    }

    /// Adds a stage whose types nobody checks beforehand: a built-in function, a program in
    /// another language ([`worker::assemble()`]), or one over encoded values. An input that it
    /// does not take fails that unit; what it gives has to be an `O`.
    ///
    /// ```
    /// let words: Vec<String> = pipeline::source(["to be".to_owned()])
    ///     .function("split", 1, || worker::builtin::by_name("split-words", &[]).expect("known"))
    ///     .run()?
    ///     .collect::<Result<_, _>>()?;
    /// assert_eq!(words, ["to", "be"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn function<O, F>(
        mut self,
        name: &str,
        workers: usize,
        mut make: impl FnMut() -> F,
    ) -> Pipeline<O>
    where
        F: Function + 'static,
    {
        let boxed = |_| -> Box<dyn Function> { Box::new(make()) };
        let functions = (0..workers).map(boxed).collect();
        let stage = Stage::new(name, plan::Function::Own);
        self.blueprint.teams.push(Team { stage, functions });
        Pipeline { blueprint: self.blueprint, output: PhantomData }
    }

    /// How often the stage added last tries a unit again that failed, by an error or a panic
    /// [default: 2].
    pub fn retries(mut self, retries: u32) -> Self {
        if let Some(team) = self.blueprint.teams.last_mut() {
            team.stage.retries = retries;
        }
        self
    }

    /// How long the stage added last waits before it tries a unit again; doubled for each
    /// further try, up to 30 s [default: 100 ms].
    pub fn backoff(mut self, pause: Duration) -> Self {
        if let Some(team) = self.blueprint.teams.last_mut() {
            team.stage.backoff_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        }
        self
    }

    /// In which order results come [default: that of the source].
    pub fn order(mut self, order: Order) -> Self {
        self.blueprint.order = order;
        self
    }

    /// How many items the source may be read beyond those whose results were taken; at least 1
    /// [default: up to 524,288, or 16 MiB of values].
    pub fn window(mut self, units: u64) -> Self {
        self.blueprint.limits.window_units_max = units.max(1);
        self
    }

    /// Replaces all limits, the window included.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.blueprint.limits = limits;
        self
    }

    /// Starts all threads; the results come as they are asked for. Each is there exactly once: a
    /// unit's output, or several in their order, or none, or the error of a unit that failed for
    /// good.
    ///
    /// When nobody takes results, the source is soon read no further. When the iterator is
    /// dropped, everything stops at once; only a source or a function that is just busy ends
    /// after its item, and is not waited for.
    ///
    /// # Errors
    /// [`StartError`], when a stage has no workers or the name of another, or when threads and
    /// sockets can't be had.
    pub fn run(self) -> Result<Results<T>, StartError>
    where
        T: DeserializeOwned,
    {
        Ok(Results::new(Threads::start(self.blueprint)?))
    }
}

/// Names the stages; the rest has no form to show.
impl<T> std::fmt::Debug for Pipeline<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stages = self.blueprint.teams.iter().map(|team| &team.stage.name);
        f.debug_struct("Pipeline")
            .field("stages", &stages.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
