//! Contexts, and how many sockets there is room for in one.
//!
//! Owns the count of lanes in a context; refuses to make sockets.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use zmq::Context;

/// A context has room for 1,023 sockets, and the crate has no way to ask for more. A lane takes
/// three of them, its monitor included, and one for as long as it lingers; so there are more
/// contexts where there are more lanes.
const LANES_PER_CONTEXT: usize = 256;

/// A context that several processes' worth of sockets may share: inproc endpoints are seen by
/// all of them.
#[derive(Clone, Default)]
pub struct SharedContext {
    pub(super) sockets: Context,
    // How many lanes with a monitor are in it.
    lanes: Arc<AtomicUsize>,
}

/// The room that a lane takes in its context.
pub(super) struct SocketSlot(Arc<AtomicUsize>);

impl Drop for SocketSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SharedContext {
    /// A new context.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether one more lane has a place in it.
    pub(super) fn is_roomy(&self) -> bool {
        self.lanes.load(Ordering::Relaxed) < LANES_PER_CONTEXT
    }

    /// The place of one more lane.
    pub(super) fn take_slot(&self) -> SocketSlot {
        self.lanes.fetch_add(1, Ordering::Relaxed);
        SocketSlot(self.lanes.clone())
    }
}
