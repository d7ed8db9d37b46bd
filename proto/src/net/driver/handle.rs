//! How other threads reach a running driver.
//!
//! Owns the letter box: what is put in is taken by the thread that runs the event loop. A thread that has
//! nothing else to do may carry its reply in itself, which saves waking another one.

use std::sync::{Arc, OnceLock, Weak, mpsc};

use crate::{
    net::{waker::Waker, zeromq::LaneEvent},
    role::LinkId,
};

/// What is put into the box.
pub(super) enum Note<R> {
    Lane(LinkId, u64, LaneEvent),
    Crowded,
    Reply(R),
    Drain,
    Stop,
    // Someone was not let in; how often is counted beside.
    Refused,
    Unguarded,
}

/// The event loop, for threads that may enter it.
pub(super) trait Enter<R>: Send + Sync {
    /// Does what follows from a reply on the calling thread; the reply again, if the place is
    /// taken.
    fn enter(&self, reply: R) -> Result<(), R>;
}

struct Post<R> {
    notes: mpsc::Sender<Note<R>>,
    waker: Waker,
    place: OnceLock<Weak<dyn Enter<R>>>,
}

/// Hands replies and wishes to a running driver; cheap to clone.
pub struct Handle<R>(Arc<Post<R>>);

impl<R> Clone for Handle<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R> Handle<R> {
    pub(super) fn new(notes: mpsc::Sender<Note<R>>, waker: Waker) -> Self {
        Self(Arc::new(Post { notes, waker, place: OnceLock::new() }))
    }

    /// Tells where the event loop is, once it runs.
    pub(super) fn settle(&self, place: Weak<dyn Enter<R>>) {
        // There is one run for each driver, so it is the first time.
        let _ = self.0.place.set(place);
    }

    /// Gives the role what it asked for. Nothing happens once the driver has ended.
    pub fn reply(&self, reply: R) {
        self.note(Note::Reply(reply));
    }

    /// The same, but where possible what follows from it is done on this thread, before the call
    /// returns: frames are sent, requests performed. The caller must hold no lock that one of
    /// these may want.
    pub fn carry_in(&self, reply: R) {
        let place = self.0.place.get().and_then(Weak::upgrade);
        let left = match place {
            Some(place) => place.enter(reply),
            None => Err(reply),
        };
        if let Err(reply) = left {
            self.reply(reply);
        }
    }

    /// Asks the process to end after what it has begun.
    pub fn drain(&self) {
        self.note(Note::Drain);
    }

    /// Ends the driver at once, as a kill would: nothing is finished, nobody is told.
    pub fn stop(&self) {
        self.note(Note::Stop);
    }

    pub(super) fn note(&self, note: Note<R>) {
        if self.0.notes.send(note).is_ok() {
            self.wake();
        }
    }

    pub(super) fn wake(&self) {
        self.0.waker.wake();
    }
}
