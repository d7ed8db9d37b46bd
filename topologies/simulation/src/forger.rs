//! What comes between a process and its lanes in a run with a bug that is put in on purpose.
//!
//! Owns the way in which a bug of the rules is played without touching them; refuses to know which
//! process it is. The bugs have a file each.

use proto::frame::Envelope;

/// Changes what a process hears, knowing what it sends.
pub(super) trait Forger {
    /// The process sends something.
    fn sends(&mut self, _: &Envelope) {}

    /// The process is about to hear something.
    fn hears(&mut self, envelope: &mut Envelope);
}
