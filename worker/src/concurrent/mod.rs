//! Functions that have many units open at once: they wait for something, and need no core for it.
//!
//! Owns the contract between such a function and who calls it, beside
//! [`Function`](crate::Function), which is called for one unit after the other. Refuses to choose
//! which units those are, and their order.
//!
//! | | |
//! | --- | --- |
//! | `waker.rs`, `finished.rs`, `done.rs` | how a function tells that something has finished, and what; the same from other threads |
//! | `alone.rs` | such a function as one that is called for a unit at a time |
//! | [`threads`](threads()), `tasks.rs` | blocking functions, each in a thread; `async` ones |
//! | `crew.rs`, `desk.rs`, `places.rs`, `clock.rs`, `gathered.rs` | the thread that starts units and gathers what has come of them: what it is given, what is open and for how long, what has finished |

mod alone;
mod clock;
pub(crate) mod crew;
pub(crate) mod desk;
mod done;
mod finished;
mod gathered;
mod places;
#[cfg(feature = "tokio")]
mod tasks;
mod threads;
mod waker;

use std::time::Instant;

#[cfg(feature = "tokio")]
pub use self::tasks::{Tasks, concurrent, try_concurrent};
pub use self::{
    alone::Alone,
    finished::Finished,
    threads::{Threads, threads, try_threads},
    waker::Waker,
};
use crate::{Failure, OutputLimits, Unit};

/// Which of its open units a function means: a number that no other unit has as long as this one is
/// open. The next one may have it again.
pub type Slot = u32;

/// A function that has many units open at once.
///
/// It is called from one thread: first [`begin`](Self::begin), then [`start`](Self::start) for each
/// unit as long as there is room, and [`poll`](Self::poll) for what has finished, in any order. None of
/// them may block: whatever a unit waits for is waited for elsewhere, and told by the [`Waker`].
///
/// Most are better written as a closure: [`threads`](threads()) for those that block,
/// `worker::concurrent` (with the feature `tokio`) for those that are `async`.
pub trait Concurrent: Send {
    /// How many units are open at once unless the stage, or the worker's flags, say otherwise.
    fn open_max(&self) -> u32;

    /// Called once, before the first unit. From now on so many units may be open at once, and
    /// `waker` is called whenever [`poll`](Self::poll) has something to tell; a unit may give as
    /// much as `limits` say. Gives how many it can really have open, which may be fewer.
    ///
    /// # Errors
    /// A [`Failure`] when it cannot work here at all.
    fn begin(&mut self, open: u32, limits: OutputLimits, waker: Waker) -> Result<u32, Failure>;

    /// Starts a unit; what comes of it is told by a later [`poll`](Self::poll), even if it fails
    /// at once.
    fn start(&mut self, slot: Slot, unit: &Unit<'_>, input: &[u8]);

    /// Tells what has finished since it was asked last, and hands over what was started since
    /// then, where that is gathered. Called after units were started, when the waker was called,
    /// and when it is [due](Self::due).
    fn poll(&mut self, finished: &mut Finished);

    /// When [`poll`](Self::poll) wants to be called again although nobody calls the waker.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// How many units more than may be open it wants to be given, to go on with without a pause. What
    /// is given can't be called back, so it should be done soon.
    fn ahead(&self) -> u32 {
        0
    }

    /// No unit is started any more, and those that are open are of no interest: whatever was
    /// started for them ends, as far as it can be ended.
    fn end(&mut self) {}
}
