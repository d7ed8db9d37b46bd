//! What a record of the commit log says.
//!
//! Owns the forms of the four kinds of records and how they are told apart; refuses to know when
//! one is written. Whatever is none of them is passed over, so that a log of a later version does
//! no harm.
#![cfg_attr(
    not(test),
    expect(clippy::expect_used, reason = "types of its own have a MessagePack form")
)]

use proto::service::IdRange;
use serde::Deserialize;

use super::log::Log;
use crate::{accept::entry::Entry, ledger::checkpoint::Checkpoint};

/// Entries in one record of the log.
const RECORD_ENTRIES: usize = 4 << 10;

/// One record.
#[derive(Debug)]
pub enum Record {
    /// A list: outcomes.
    Entries(Vec<Entry>),
    /// A number: how many duplicates were discarded in all.
    Duplicates(u64),
    /// A list of pairs: outcomes that their clients have.
    Fetched(Vec<IdRange>),
    /// A map: the outputs hold, durably, everything before it but what waits for an earlier one.
    Checkpoint(Box<Checkpoint>),
}

impl Record {
    /// Reads a record; nothing if it is of no known kind.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if Self::is_checkpoint(bytes) {
            return decode(bytes).map(Self::Checkpoint);
        }
        decode(bytes)
            .map(Self::Entries)
            .or_else(|| decode(bytes).map(Self::Duplicates))
            .or_else(|| decode(bytes).map(Self::Fetched))
    }

    /// Whether it may be a checkpoint: told by its first byte, so that others need not be read.
    pub fn is_checkpoint(bytes: &[u8]) -> bool {
        matches!(bytes.first(), Some(0x80..=0x8f | 0xde | 0xdf))
    }
}

fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Option<T> {
    rmp_serde::from_slice(bytes).ok()
}

/// Appends outcomes to a log.
pub fn append_entries<'a>(log: &mut Log, entries: impl Iterator<Item = &'a Entry>) {
    let entries: Vec<&Entry> = entries.collect();
    for record in entries.chunks(RECORD_ENTRIES) {
        log.append_with(|buffer| {
            rmp_serde::encode::write(buffer, record).expect("every entry has a MessagePack form");
        });
    }
}

/// Appends how many duplicates were discarded in all.
pub fn append_duplicates(log: &mut Log, duplicates: u64) {
    log.append_with(|buffer| {
        rmp_serde::encode::write(buffer, &duplicates).expect("a number has a MessagePack form");
    });
}

/// Appends which outcomes their clients have.
pub fn append_fetched(log: &mut Log, units: &[IdRange]) {
    log.append_with(|buffer| {
        rmp_serde::encode::write(buffer, units).expect("numbers have a MessagePack form");
    });
}

/// Appends a checkpoint.
pub fn append_checkpoint(log: &mut Log, checkpoint: &Checkpoint) {
    log.append_with(|buffer| {
        rmp_serde::encode::write_named(buffer, checkpoint)
            .expect("a checkpoint has a MessagePack form");
    });
}
