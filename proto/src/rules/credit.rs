//! Credit: how much a sender may have sent, counted from the start of a session.
//!
//! Owns both ends of it. The receiver divides its intake among its senders and lets each one's
//! credit grow when a parcel is *processed*; the sender stops when it has used it up. The grant
//! is cumulative, so a frame that repeats it does no harm. (Flow control by receiver's credit:
//! H. T. Kung, R. Morris, "Credit-Based Flow Control for ATM Networks", 1995.)
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::collections::{BTreeMap, BTreeSet};

use crate::{frame::Credit, role::LinkId};

/// The receiver's end.
#[derive(Debug)]
pub struct Intake {
    units_max: u64,
    bytes_max: u64,
    senders: BTreeMap<LinkId, Sender>,
    // Those whose credit may have grown.
    grown: BTreeSet<LinkId>,
}

#[derive(Debug, Default)]
struct Sender {
    received: Credit,
    processed: Credit,
    granted: Credit,
}

impl Intake {
    /// An intake for that many units and bytes from all senders together; each sender may
    /// overshoot its share of the bytes by one parcel.
    pub fn new(units_max: u64, bytes_max: u64) -> Self {
        Self { units_max, bytes_max, senders: BTreeMap::new(), grown: BTreeSet::new() }
    }

    /// The intake is for so many units at least.
    pub fn widen(&mut self, units: u64) {
        self.units_max = self.units_max.max(units);
        self.grown = self.senders.keys().copied().collect();
    }

    /// A sender's session begins.
    pub fn join(&mut self, link: LinkId) {
        self.senders.insert(link, Sender::default());
        self.grown.insert(link);
    }

    /// A sender's session has ended.
    pub fn leave(&mut self, link: LinkId) {
        // What it leaves is shared by the others.
        if self.senders.remove(&link).is_some() {
            self.grown = self.senders.keys().copied().collect();
        }
    }

    /// A frame has come from a sender; whether it was allowed to send it. A sender that has used
    /// its credit up may send nothing; until then one frame of any size.
    #[must_use]
    pub fn received(&mut self, link: LinkId, units: usize, bytes: usize) -> bool {
        let Some(sender) = self.senders.get_mut(&link) else { return false };
        let (received, granted) = (&mut sender.received, sender.granted);
        let allowed = received.units < granted.units && received.bytes < granted.bytes;
        if allowed {
            add(received, units, bytes);
        }
        allowed
    }

    /// A sender has sent this without credit, and was allowed to.
    pub fn received_without(&mut self, link: LinkId, units: usize, bytes: usize) {
        if let Some(sender) = self.senders.get_mut(&link) {
            add(&mut sender.received, units, bytes);
        }
    }

    /// Units of a sender have been processed or given back.
    pub fn processed(&mut self, link: LinkId, units: usize, bytes: usize) {
        if let Some(sender) = self.senders.get_mut(&link) {
            add(&mut sender.processed, units, bytes);
            self.grown.insert(link);
        }
    }

    /// The credits worth telling: grown by a quarter of a share since they were told.
    pub fn grants(&mut self) -> Vec<(LinkId, Credit)> {
        let count = self.senders.len().max(1) as u64;
        let share = Credit {
            units: self.units_max.checked_div(count).unwrap_or_default().max(1),
            bytes: self.bytes_max.checked_div(count).unwrap_or_default().max(1),
        };
        let mut grants = Vec::new();
        for link in std::mem::take(&mut self.grown) {
            let Some(sender) = self.senders.get_mut(&link) else { continue };
            let units = sender.processed.units.saturating_add(share.units);
            let bytes = sender.processed.bytes.saturating_add(share.bytes);
            let grown = units >= sender.granted.units.saturating_add(share.units.div_ceil(4))
                || bytes >= sender.granted.bytes.saturating_add(share.bytes.div_ceil(4));
            if grown {
                sender.granted.units = sender.granted.units.max(units);
                sender.granted.bytes = sender.granted.bytes.max(bytes);
                grants.push((link, sender.granted));
            }
        }
        grants
    }
}

/// The sender's end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowance {
    granted: Credit,
    sent: Credit,
}

impl Allowance {
    /// The receiver has granted this much in all.
    pub fn granted(&mut self, credit: Credit) {
        self.granted.units = self.granted.units.max(credit.units);
        self.granted.bytes = self.granted.bytes.max(credit.bytes);
    }

    /// How many units and bytes may be sent now; a single unit may exceed the bytes. None if
    /// nothing may be sent.
    pub fn room(&self) -> Option<(usize, usize)> {
        let units = self.granted.units.saturating_sub(self.sent.units);
        let bytes = self.granted.bytes.saturating_sub(self.sent.bytes);
        (units > 0 && bytes > 0).then_some((units as usize, bytes as usize))
    }

    /// Whether everything that was granted is used up; not so before the first grant.
    pub fn is_used_up(&self) -> bool {
        self.granted != Credit::default() && self.room().is_none()
    }

    /// So much has been sent.
    pub fn sent(&mut self, units: usize, bytes: usize) {
        add(&mut self.sent, units, bytes);
    }
}

fn add(credit: &mut Credit, units: usize, bytes: usize) {
    credit.units = credit.units.saturating_add(units as u64);
    credit.bytes = credit.bytes.saturating_add(bytes as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_never_has_more_than_its_share_unprocessed() {
        let mut intake = Intake::new(100, 1000);
        intake.join(1);
        let mut sender = Allowance::default();
        assert_eq!(sender.room(), None);
        sender.granted(intake.grants()[0].1);
        assert_eq!(sender.room(), Some((100, 1000)));
        sender.sent(100, 10);
        assert_eq!(sender.room(), None);
        intake.processed(1, 10, 1);
        assert_eq!(intake.grants(), []); // not worth a frame yet
        intake.processed(1, 20, 1);
        sender.granted(intake.grants()[0].1);
        assert_eq!(sender.room(), Some((30, 992)));
    }

    #[test]
    fn a_sender_that_takes_more_than_it_was_granted_is_found_out() {
        let mut intake = Intake::new(100, 1000);
        assert!(!intake.received(1, 1, 1)); // no session
        intake.join(1);
        assert!(!intake.received(1, 1, 1)); // nothing granted
        intake.grants();
        assert!(intake.received(1, 99, 10));
        assert!(intake.received(1, 5, 5000)); // the frame with which the credit is used up
        assert!(!intake.received(1, 1, 1));
        intake.processed(1, 104, 5010);
        intake.grants();
        assert!(intake.received(1, 1, 1));
    }

    #[test]
    fn no_number_that_a_peer_sends_is_too_large() {
        let mut sender = Allowance::default();
        sender.granted(Credit { units: u64::MAX, bytes: u64::MAX });
        sender.sent(usize::MAX, usize::MAX);
        sender.sent(1, 1);
        assert_eq!(sender.room(), None);
        let mut intake = Intake::new(u64::MAX, u64::MAX);
        intake.join(1);
        intake.processed(1, usize::MAX, usize::MAX);
        intake.processed(1, 1, 1);
        assert_eq!(intake.grants()[0].1, Credit { units: u64::MAX, bytes: u64::MAX });
    }

    #[test]
    fn a_late_grant_changes_nothing() {
        let mut sender = Allowance::default();
        sender.granted(Credit { units: 9, bytes: 9 });
        sender.granted(Credit { units: 3, bytes: 3 });
        assert_eq!(sender.room(), Some((9, 9)));
    }

    #[test]
    fn a_unit_larger_than_the_share_passes_once_the_rest_is_processed() {
        let mut intake = Intake::new(100, 10);
        intake.join(1);
        let mut sender = Allowance::default();
        sender.granted(intake.grants()[0].1);
        sender.sent(1, 5000);
        assert_eq!(sender.room(), None);
        intake.processed(1, 1, 5000);
        sender.granted(intake.grants()[0].1);
        assert!(sender.room().is_some());
    }

    #[test]
    fn more_senders_have_smaller_shares() {
        let mut intake = Intake::new(100, 1000);
        (0..200).for_each(|link| intake.join(link));
        assert!(intake.grants().iter().all(|(_, credit)| credit.units == 1 && credit.bytes == 5));
    }
}
