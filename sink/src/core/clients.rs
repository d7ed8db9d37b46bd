//! The clients of a service, as the sink sees them.
//!
//! Owns who is there, and when it is time to look what is kept too long; refuses to know what is kept.

use std::{collections::BTreeSet, time::Duration};

use proto::{role::LinkId, service::Standing, time::Time};

use super::streams::Streams;

/// How often what was kept long enough is looked for.
const EXPIRE_INTERVAL: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub(super) struct Clients {
    present: BTreeSet<LinkId>,
    expired: Time,
    // Outcomes that are kept, and their bytes.
    kept: (u64, u64),
    /// What they follow.
    pub streams: Streams,
}

impl Clients {
    /// None yet; of units that are worked on so many bytes are kept for them.
    pub fn new(streams_bytes_max: u64) -> Self {
        let streams = Streams::new(streams_bytes_max);
        Self { present: BTreeSet::new(), expired: Time::default(), kept: (0, 0), streams }
    }

    /// A client's session begins.
    pub fn join(&mut self, link: LinkId) {
        self.present.insert(link);
    }

    /// A session is over; whether it was a client's.
    pub fn leave(&mut self, link: LinkId) -> bool {
        self.streams.leave(link);
        self.present.remove(&link)
    }

    /// Whether it is one.
    pub fn has(&self, link: LinkId) -> bool {
        self.present.contains(&link)
    }

    /// So many outcomes are kept, which take so many bytes.
    pub fn keeps(&mut self, units: u64, bytes: u64) {
        self.kept = (units, bytes);
    }

    /// When it is time to look for what is kept too long.
    pub fn due(&self) -> Time {
        self.expired + EXPIRE_INTERVAL
    }

    /// Whether that is now; then it is done.
    pub fn is_due(&mut self, now: Time) -> bool {
        let is_due = self.due() <= now;
        if is_due {
            self.expired = now;
        }
        is_due
    }

    /// For observers.
    pub fn standing(&self) -> Standing {
        let (kept, kept_bytes) = self.kept;
        let clients = u32::try_from(self.present.len()).unwrap_or(u32::MAX);
        Standing { clients, kept, kept_bytes, ..Standing::default() }
    }
}
