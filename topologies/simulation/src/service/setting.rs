//! The clients of a service that is simulated, and its limits.

use std::time::Duration;

/// The clients of a service, and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// How many clients there are.
    pub clients: u32,
    /// How many units each wants to be worked on.
    pub wishes: u32,
    /// Clients come, and want something, all over this time; they are there for a part of it.
    pub span: Duration,
    /// What part of it.
    pub stay: Duration,
    /// How long outcomes are kept that nobody fetches, and numbers of clients that are not heard.
    pub retain: Duration,
    /// Units that may wait in the queue.
    pub queue_units_max: u64,
}

impl Service {
    /// So many clients, each with so many units, all at once within a few seconds.
    pub fn new(clients: u32, wishes: u32) -> Self {
        Self {
            clients,
            wishes,
            span: Duration::ZERO,
            stay: Duration::from_secs(4),
            retain: Duration::from_secs(3_600),
            queue_units_max: 40,
        }
    }

    /// Clients that come and go all day.
    pub fn all_day(clients: u32, wishes: u32) -> Self {
        Self {
            span: Duration::from_secs(86_400),
            stay: Duration::from_secs(3_600),
            ..Self::new(clients, wishes)
        }
    }

    /// How long they all want something.
    pub(crate) fn lasts(&self) -> Duration {
        self.span + 2 * self.stay
    }
}
