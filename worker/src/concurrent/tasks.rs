//! `async` functions, with the feature `tokio`: many units in one runtime, on a thread of its own.
//!
//! Owns the runtime and its thread; refuses to have more than one, since what waits needs no core. A
//! function that blocks keeps all units from going on: that is what `threads` is for.

use std::{
    fmt::{Debug, Display, Formatter},
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    thread,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    runtime::Builder,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::{LocalSet, spawn_local},
};

use super::{Alone, Concurrent, Finished, Slot, Waker, done::Done};
use crate::{
    Failure, OutputLimits, Outputs, Unit,
    function::{decode_input, is_result},
};

type Worked = Pin<Box<dyn Future<Output = Result<Outputs, Failure>>>>;
/// Begins a unit, on the runtime's thread.
type Begin = dyn Fn(&[u8], Outputs) -> Worked + Send + Sync;

/// Units that were started together.
type Bunch = Vec<(Slot, Vec<u8>)>;

/// An `async` function that is called for many units at once.
pub struct Tasks {
    open_max: u32,
    begin: Arc<Begin>,
    // Those that are started and not handed over.
    started: Bunch,
    // There while the runtime is.
    runtime: Option<UnboundedSender<Bunch>>,
    done: Arc<Done>,
}

impl Debug for Tasks {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks").field("open_max", &self.open_max).finish_non_exhaustive()
    }
}

impl Tasks {
    fn new(
        open_max: u32,
        begin: impl Fn(&[u8], Outputs) -> Worked + Send + Sync + 'static,
    ) -> Alone<Self> {
        Alone::new(Self {
            open_max: open_max.max(1),
            begin: Arc::new(begin),
            started: Bunch::new(),
            runtime: None,
            done: Arc::default(),
        })
    }
}

impl Concurrent for Tasks {
    fn open_max(&self) -> u32 {
        self.open_max
    }

    fn begin(&mut self, open: u32, limits: OutputLimits, waker: Waker) -> Result<u32, Failure> {
        let failed =
            |error: std::io::Error| Failure::new(format!("no runtime can be had: {error}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (sender, started) = unbounded_channel();
        self.done = Arc::new(Done::new(waker));
        let (begin, done) = (self.begin.clone(), self.done.clone());
        let thread = thread::Builder::new().name("runtime".into());
        thread
            .spawn(move || {
                LocalSet::new().block_on(&runtime, serve(started, begin, limits, done));
                // What a unit has handed to a pool of threads is not waited for.
                runtime.shutdown_background();
            })
            .map_err(failed)?;
        self.runtime = Some(sender);
        Ok(open)
    }

    fn start(&mut self, slot: Slot, _: &Unit<'_>, input: &[u8]) {
        self.started.push((slot, input.to_vec()));
    }

    fn poll(&mut self, finished: &mut Finished) {
        if !self.started.is_empty()
            && let Some(runtime) = &self.runtime
            && let Err(unsent) = runtime.send(std::mem::take(&mut self.started))
        {
            let gone = || Failure::new("the runtime has ended");
            unsent.0.into_iter().for_each(|(slot, _)| finished.failed(slot, gone()));
        }
        self.done.tell(finished);
    }

    fn end(&mut self) {
        self.runtime = None;
    }
}

/// Starts units until there are no more; those that are open then are dropped.
async fn serve(
    mut started: UnboundedReceiver<Bunch>,
    begin: Arc<Begin>,
    limits: OutputLimits,
    done: Arc<Done>,
) {
    while let Some(bunch) = started.recv().await {
        for (slot, input) in bunch {
            let (begin, done) = (begin.clone(), done.clone());
            spawn_local(async move {
                let worked = async { begin(&input, Outputs::new(limits)).await };
                done.put(slot, guarded(worked).await);
            });
        }
    }
}

/// A panic becomes a failure.
async fn guarded<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut work = pin!(work);
    poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)))
            .unwrap_or_else(|panic| Poll::Ready(Err(Failure::from_panic(panic.as_ref()))))
    })
    .await
}

/// An `async` function with one output for each input, of which up to `open` are under way at once:
/// for what waits for servers, in thousands. They run in a tokio runtime of one thread, so they need not
/// be `Send`; one that blocks holds all others up.
///
/// A stage's `concurrency`, or `worker --concurrency`, replaces `open`. Needs the feature `tokio`;
/// what a unit uses of it (`time`, `net`) is a feature of your own dependency on tokio.
///
/// ```
/// let shout = worker::concurrent(1_000, |text: String| async move {
///     tokio::task::yield_now().await;
///     text.to_uppercase()
/// });
/// # let mut shout = shout;
/// # use worker::Function;
/// # let unit = worker::Unit { id: 0, path: &[], attempt: 1, stage: "s" };
/// # let mut out = worker::Outputs::default();
/// # shout.call(&unit, b"\xa2hi", &mut out).unwrap();
/// # assert_eq!(out.payload(), b"\xa2HI");
/// ```
pub fn concurrent<I, O, F, W>(open: u32, f: F) -> Alone<Tasks>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Fn(I) -> W + Send + Sync + 'static,
    W: Future<Output = O> + 'static,
{
    Tasks::new(open, move |input, mut out| {
        if is_result::<O>() {
            return failed(Failure::result_as_output());
        }
        match decode_input::<I>(input) {
            Err(failure) => failed(failure),
            Ok(input) => {
                let work = f(input);
                Box::pin(async move { out.push(&work.await).map(|()| out) })
            }
        }
    })
}

/// The same for a function that can fail; its error fails the unit.
///
/// ```
/// let length = worker::try_concurrent(1_000, |text: String| async move { text.parse::<u64>() });
/// # let _: Box<dyn worker::Function> = Box::new(length);
/// ```
pub fn try_concurrent<I, O, E, F, W>(open: u32, f: F) -> Alone<Tasks>
where
    I: DeserializeOwned,
    O: Serialize,
    E: Display,
    F: Fn(I) -> W + Send + Sync + 'static,
    W: Future<Output = Result<O, E>> + 'static,
{
    Tasks::new(open, move |input, mut out| match decode_input::<I>(input) {
        Err(failure) => failed(failure),
        Ok(input) => {
            let work = f(input);
            Box::pin(async move {
                let output = work.await.map_err(|error| Failure::from_error(&error))?;
                out.push(&output).map(|()| out)
            })
        }
    })
}

fn failed(failure: Failure) -> Worked {
    Box::pin(std::future::ready(Err(failure)))
}

#[cfg(test)]
mod tests {
    use tokio::sync::Barrier;

    use super::*;
    use crate::{
        external::many_tests::{all, outcomes},
        testing::{call, lines},
    };

    #[test]
    fn as_many_units_as_may_be_open_wait_for_each_other() {
        let together = Arc::new(Barrier::new(100));
        let mut function = concurrent(1_000, move |n: u64| {
            let together = together.clone();
            async move {
                together.wait().await;
                n * n
            }
        });
        let inputs: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let said = outcomes(all(&mut function, &inputs));
        assert!((0..100).all(|n| said[n] == Ok((n * n).to_string())), "{said:?}");
    }

    #[test]
    fn an_error_a_panic_and_a_wrong_input_fail_their_own_units() {
        let mut function = try_concurrent(4, |n: i64| async move {
            tokio::task::yield_now().await;
            match n {
                1 => panic!("one"),
                2 => Err("two"),
                n => Ok(n),
            }
        });
        let said = outcomes(all(&mut function, &["0", "1", "2", r#""x""#]));
        assert_eq!(said[..3], [Ok("0".into()), Err("panicked: one".into()), Err("two".into())]);
        assert!(said[3].as_ref().unwrap_err().starts_with("expected a whole number"));
        assert_eq!(call(&mut function, "5"), lines("5"));
    }
}
