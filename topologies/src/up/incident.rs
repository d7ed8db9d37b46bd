//! What can happen while a run goes on, from all who watch to the one thread that decides.

use proto::frame::Report;

use super::{control::Asker, observer::Reporter, posts::Post, relay::Lines};
use crate::runs::wire::Ask;

/// Something that has happened.
#[derive(Debug)]
pub enum Incident {
    /// A process has written lines.
    Said(Post, Lines),
    /// A process has ended, and waits to be looked after.
    Ended(Post),
    /// The ventilator or the sink reports.
    Reported(Reporter, Box<Report>),
    /// Ctrl-C, or a signal like it.
    Interrupted,
    /// Another process asks something, and waits for an answer.
    Asked(Ask, Asker),
}
