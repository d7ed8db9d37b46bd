//! What becomes of a role's request.

/// A job that is expected to take a few dozen microseconds at most, and the replies that come of it.
pub type InlineJob<R> = Box<dyn FnOnce() -> Vec<R> + Send>;

/// What became of a role's request.
pub enum Performed<R> {
    /// It is done.
    Replied(R),
    /// A reply comes later through a [`Handle`](super::Handle), or none does.
    Underway,
    /// The thread that runs the event loop shall do it itself, once everything else is done.
    Inline(InlineJob<R>),
}

impl<R> From<Option<R>> for Performed<R> {
    fn from(reply: Option<R>) -> Self {
        reply.map_or(Self::Underway, Self::Replied)
    }
}
