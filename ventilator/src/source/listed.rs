//! What a pattern finds, digested while it is given away.
//!
//! Owns what counts of a file: its path, its length, its time of change. Its content is read by
//! whoever gets the path.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use serde_bytes::ByteBuf;

use super::{
    Chunk, Source, SourceError,
    digests::{Difference, Digests},
};

/// Files that pass the digests.
pub(super) struct Listed {
    files: Box<dyn Source>,
    pattern: String,
    digests: Arc<Mutex<Digests>>,
}

impl Listed {
    pub(super) fn new(
        files: Box<dyn Source>,
        pattern: String,
        digests: Arc<Mutex<Digests>>,
    ) -> Self {
        Self { files, pattern, digests }
    }
}

impl Source for Listed {
    fn read(&mut self, units_max: usize, chunk: &mut Chunk) -> Result<bool, SourceError> {
        let before = chunk.len();
        let more = self.files.read(units_max, chunk)?;
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = Entries::of(chunk, before, digests.at());
        let passed = digests.pass(&entries.bytes).and_then(|()| match more {
            true => Ok(()),
            false => digests.end(),
        });
        let path = Path::new(&self.pattern).into();
        match (passed, digests.difference()) {
            (Ok(()), _) => Ok(more),
            (Err(_), Some(difference)) => {
                Err(SourceError::Changed { path, difference: entries.named(difference) })
            }
            (Err(source), None) => Err(SourceError::Io { path, source }),
        }
    }
}

/// What counts of some files.
pub(super) struct Entries {
    /// Of each its path, length and time, one after the other.
    pub(super) bytes: Vec<u8>,
    // Where each one ends, counted from the first of all, and its path.
    ends: Vec<(u64, String)>,
}

impl Entries {
    /// Those of the values of a chunk behind the first `before`; of others were `at` bytes.
    pub(super) fn of(chunk: &Chunk, before: usize, at: u64) -> Self {
        let mut entries = Self { bytes: Vec::new(), ends: Vec::new() };
        let mut start = match before {
            0 => 0,
            before => chunk.ends[before - 1] as usize,
        };
        for end in &chunk.ends[before..] {
            entries.push(&chunk.payload[start..*end as usize], at);
            start = *end as usize;
        }
        entries
    }

    fn push(&mut self, value: &[u8], at: u64) {
        // What a pattern gives are texts, or bytes where a name is no text.
        let name = rmp_serde::from_slice::<ByteBuf>(value).map(ByteBuf::into_vec);
        let name = name.unwrap_or_default();
        let path = Path::new(OsStr::from_bytes(&name));
        // One that is gone meanwhile is for its worker to find out.
        let data = fs::metadata(path).ok();
        let modified = data.as_ref().and_then(|data| data.modified().ok());
        let modified = modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(&data.map_or(u64::MAX, |data| data.len()).to_le_bytes());
        self.bytes.extend_from_slice(&modified.unwrap_or_default().as_nanos().to_le_bytes());
        let name = path.display().to_string();
        self.ends.push((at + self.bytes.len() as u64, name));
    }

    /// How many of them end behind a byte.
    pub(super) fn behind(&self, at: u64) -> u64 {
        self.ends.iter().filter(|(end, _)| *end > at).count() as u64
    }

    /// A difference in the words of files.
    pub(super) fn named(&self, difference: Difference) -> Difference {
        match difference {
            Difference::Bytes { from, to } => {
                let name = |at: u64| {
                    let found = self.ends.iter().find(|(end, _)| *end >= at);
                    found.or(self.ends.last()).map(|(_, name)| name.clone()).unwrap_or_default()
                };
                Difference::Files { first: name(from + 1), last: name(to) }
            }
            Difference::Shorter { .. } => Difference::FewerFiles,
            Difference::Grown { bytes } => {
                let end = self.ends.last().map_or(0, |(end, _)| *end);
                Difference::MoreFiles { count: self.behind(end.saturating_sub(bytes)) }
            }
            other => other,
        }
    }
}
