//! What the log of a queue says.
//!
//! Owns the form of its records: a head in MessagePack, and the values behind it as they came, so that they
//! are read from there when their turn has come. Refuses files.

use proto::unit::UnitId;
use serde::{Deserialize, Serialize};

use super::{numbers::Numbers, order::Treatment};

/// The head of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Head {
    /// What is known of the clients; the first record of a segment. What came before counts no more.
    Numbers(Numbers),
    /// Units are accepted; their values follow.
    Accepted {
        /// Whose, with the first of its numbers, and how many.
        of: Vec<(String, u64, u64)>,
        /// The first one's id.
        first: UnitId,
        /// How they are treated.
        treatment: Treatment,
    },
    /// Units of an older segment that are not committed; their values follow.
    Moved {
        /// The first one's id.
        first: UnitId,
        /// How many.
        count: u64,
        /// How they are treated.
        treatment: Treatment,
    },
    /// A client's number is another one's unit.
    Joined {
        /// Whose.
        client: String,
        /// Which number.
        number: u64,
        /// Of which unit.
        ticket: UnitId,
    },
    /// These units shall not be worked on.
    Cancelled(Vec<(UnitId, UnitId)>),
    /// Ids below this one were given.
    Next(UnitId),
}

impl Head {
    /// Appends it.
    pub fn write(&self, to: &mut Vec<u8>) {
        // Plain fields have a MessagePack form, always.
        let _ = rmp_serde::encode::write(to, self);
    }

    /// A head, and the values behind it.
    pub fn read(record: &[u8]) -> Option<(Self, &[u8])> {
        let mut from = rmp_serde::Deserializer::new(record);
        let head = Self::deserialize(&mut from).ok()?;
        Some((head, from.into_inner()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_behind_the_head_as_they_came() {
        let treatment = Treatment { priority: 3, ..Treatment::default() };
        let head = Head::Accepted { of: vec![("c".into(), 5, 2)], first: 9, treatment };
        let mut record = Vec::new();
        head.write(&mut record);
        record.extend_from_slice(&[1, 2]);
        assert_eq!(Head::read(&record), Some((head, &[1, 2][..])));
        assert_eq!(Head::read(&[0xc1]), None);
    }
}
