//! The form of a run's file: a header, then records of outcomes in the order of their units.
//!
//! Owns the bytes. A record tells its first unit in front, so that it needs to be read only when that is
//! due: of many runs that are read at once, each has a place and a number in memory, nothing else.
//! Refuses files of its own accord: what is no record of this form is told to be damaged.

use std::{fs::File, io::Read, os::unix::fs::FileExt};

use proto::unit::UnitId;

use super::fault::RunFault;
use crate::accept::entry::Entry;

const MAGIC: &[u8; 7] = b"piperun";
/// The format in which runs are written, and the only one in which they are read.
pub(super) const FORMAT: u8 = 1;
/// How long a header is.
pub(super) const HEADER_BYTES: u64 = 8;
/// Length, first unit, checksum of the outcomes, checksum of these three.
const HEAD_BYTES: usize = 20;
/// A record is complete when it has so many bytes; one outcome may have more.
const RECORD_BYTES: usize = 16 << 10;
/// What is longer is no record.
const RECORD_BYTES_MAX: u32 = 1 << 30;

/// A header of this format.
pub(super) fn header() -> [u8; HEADER_BYTES as usize] {
    let [a, b, c, d, e, f, g] = *MAGIC;
    [a, b, c, d, e, f, g, FORMAT]
}

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// A run in this format.
    Whole,
    /// Nothing, or what a kill or a loss of power left of a header.
    Torn,
}

/// Judges a file by its header.
pub(super) fn read_header(file: &mut impl Read) -> Result<Beginning, RunFault> {
    let mut head = Vec::new();
    file.take(HEADER_BYTES).read_to_end(&mut head)?;
    let is_short = (head.len() as u64) < HEADER_BYTES;
    match head.strip_prefix(MAGIC) {
        Some([FORMAT]) => Ok(Beginning::Whole),
        Some([other]) => Err(RunFault::Format(*other)),
        _ if is_short && (header().starts_with(&head) || head.iter().all(|byte| *byte == 0)) => {
            Ok(Beginning::Torn)
        }
        _ => Err(RunFault::Foreign),
    }
}

/// What stands in front of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The first unit of the first outcome.
    pub first: UnitId,
    len: u32,
    sum: u32,
}

impl Head {
    /// The head of the record at a place in a file.
    pub fn read(file: &File, at: u64) -> Result<Self, RunFault> {
        let mut bytes = [0; HEAD_BYTES];
        file.read_exact_at(&mut bytes, at)?;
        Self::decode(&bytes).ok_or(RunFault::Damaged(at))
    }

    fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let (known, sum_of_head) = bytes.split_last_chunk::<4>()?;
        let (len, rest) = known.split_first_chunk::<4>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (sum, _) = rest.split_first_chunk::<4>()?;
        let len = u32::from_le_bytes(*len);
        let is_whole = crc32fast::hash(known) == u32::from_le_bytes(*sum_of_head);
        (is_whole && len <= RECORD_BYTES_MAX).then(|| Self {
            first: u64::from_le_bytes(*first),
            len,
            sum: u32::from_le_bytes(*sum),
        })
    }

    fn encode(first: UnitId, outcomes: &[u8]) -> [u8; HEAD_BYTES] {
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.extend((outcomes.len() as u32).to_le_bytes());
        bytes.extend(first.to_le_bytes());
        bytes.extend(crc32fast::hash(outcomes).to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        let mut head = [0; HEAD_BYTES];
        head.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        head
    }

    /// How long the record is, with its head.
    pub fn bytes(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.len)
    }

    /// The outcomes of the record at a place in a file, which has this head.
    pub fn outcomes(&self, file: &File, at: u64) -> Result<Vec<Entry>, RunFault> {
        let damaged = || RunFault::Damaged(at);
        let mut bytes = vec![0; self.len as usize];
        file.read_exact_at(&mut bytes, at + HEAD_BYTES as u64)?;
        if crc32fast::hash(&bytes) != self.sum {
            return Err(damaged());
        }
        let (mut entries, mut rest) = (Vec::new(), bytes.as_slice());
        while !rest.is_empty() {
            let entry: Entry = rmp_serde::from_read(&mut rest).map_err(|_| damaged())?;
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// Records that are being put together.
#[derive(Debug, Default)]
pub(super) struct Records {
    bytes: Vec<u8>,
    // The outcomes of the last one, which is not complete, and their first unit.
    open: Vec<u8>,
    first: UnitId,
}

impl Records {
    /// Adds an outcome behind those before.
    #[expect(clippy::expect_used, reason = "a type of its own has a MessagePack form")]
    pub fn add(&mut self, entry: &Entry) {
        if self.open.is_empty() {
            self.first = entry.first;
        }
        rmp_serde::encode::write(&mut self.open, entry).expect("an entry has a MessagePack form");
        if self.open.len() >= RECORD_BYTES {
            self.complete();
        }
    }

    fn complete(&mut self) {
        if !self.open.is_empty() {
            self.bytes.extend(Head::encode(self.first, &self.open));
            self.bytes.append(&mut self.open);
        }
    }

    /// How many bytes are complete.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All of them; none are left.
    pub fn take(&mut self) -> Vec<u8> {
        self.complete();
        std::mem::take(&mut self.bytes)
    }
}
