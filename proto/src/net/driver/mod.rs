//! The loop that joins a role to its sockets.
//!
//! Owns the inbox, the lanes and the clock of one process; refuses to decide: it turns what
//! happens into events and does what the role answers. It polls its inbox and one wake-up,
//! however many peers there are, and always drains the inbox.

mod end;
mod event_loop;
mod handle;
mod job_queue;
mod lanes;
mod leader_followers;
mod performed;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tracing::warn;

pub use self::{
    end::{DriverError, STOPPED},
    handle::Handle,
    job_queue::{JobQueue, Runner, Service},
    performed::{InlineJob, Performed},
};
use self::{
    event_loop::{EventLoop, Sockets},
    handle::Note,
    lanes::Lanes,
    leader_followers::LeaderFollowers,
};
use super::{
    endpoint::Endpoint,
    key::Key,
    waker,
    zeromq::{Net, NetError, NetEvent, SharedContext},
};
use crate::{
    limits::Limits,
    role::{Effect, Role},
};

/// One process's sockets and loop.
pub struct Driver<R>(Sockets<R>);

impl<R: Send + 'static> Driver<R> {
    /// Sockets in `context`; with a key, tcp is encrypted and admits only the same key.
    ///
    /// # Errors
    /// [`NetError`] when a socket, pipe or thread can't be made.
    pub fn new(
        context: &SharedContext,
        key: Option<Key>,
        limits: &Limits,
    ) -> Result<Self, NetError> {
        let (sender, notes) = mpsc::channel();
        let (waker, wakeups) = waker::pair()?;
        let handle = Handle::new(sender, waker);
        let refused = Arc::new(AtomicU64::new(0));
        let (ears, count) = (handle.clone(), refused.clone());
        let net = Net::new(context, key, move |event| match event {
            NetEvent::Lane(link, number, event) => ears.note(Note::Lane(link, number, event)),
            NetEvent::Crowded => ears.note(Note::Crowded),
            NetEvent::Unguarded => ears.note(Note::Unguarded),
            // One note for however many: they must not fill the memory.
            NetEvent::Refused if count.fetch_add(1, Ordering::AcqRel) == 0 => {
                ears.note(Note::Refused);
            }
            NetEvent::Refused => {}
        })?;
        let lanes = Lanes::new(net, limits.frame_bytes_max)?;
        let heartbeat = Duration::from_millis(limits.heartbeat_interval_ms);
        let start = Instant::now();
        Ok(Self(Sockets { lanes, refused, handle, notes, wakeups, start, heartbeat }))
    }

    /// How others reach the role while it runs.
    pub fn handle(&self) -> Handle<R> {
        self.0.handle.clone()
    }

    /// Listens at one more endpoint, and says where.
    ///
    /// # Errors
    /// [`NetError`] when it is taken or can't be used.
    pub fn bind(&mut self, endpoint: &Endpoint) -> Result<Endpoint, NetError> {
        self.0.lanes.inbox.bind(endpoint)
    }

    /// Listens at all of these, and tells people where, if that was left open: those who start the
    /// other processes have to know.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn listen(&mut self, endpoints: &[Endpoint]) -> Result<(), NetError> {
        for endpoint in endpoints {
            let bound = self.bind(endpoint)?;
            if matches!(endpoint, Endpoint::Tcp { port: 0, .. }) {
                warn!("listening at {bound}: a free port was asked for, and this is it");
            }
        }
        Ok(())
    }

    /// Tells peers these endpoints instead of those that the inbox listens at.
    pub fn advertise(&mut self, endpoints: Vec<String>) {
        self.0.lanes.advertise(endpoints);
    }

    /// Runs the role until it exits; its exit code. `first` are the effects it starts with.
    /// `perform` does what only this kind of role needs; what it answers at once is handed back
    /// before anything else happens. The role lives on threads of its own: this call only waits,
    /// and returns also while an inline job still lasts.
    ///
    /// # Errors
    /// [`DriverError`] when the sockets fail or no thread can be made.
    ///
    /// # Panics
    /// When the role does.
    pub fn run<P, A>(
        self,
        role: P,
        first: Vec<Effect<P::Request>>,
        perform: impl FnMut(P::Request) -> A + Send + 'static,
    ) -> Result<i32, DriverError>
    where
        P: Role<Reply = R> + Send + 'static,
        P::Request: Send,
        A: Into<Performed<R>> + 'static,
    {
        let handle = self.handle();
        LeaderFollowers::run(EventLoop::new(self.0, role, first, perform), handle)
    }
}
