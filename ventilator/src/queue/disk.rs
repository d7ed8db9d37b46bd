//! The store of a queue in a run directory.
//!
//! Owns the segments of its log: which are there, and reading values where they lie; refuses to know what
//! a record means.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use proto::{
    log::{FRAME_BYTES, Kind, Log, header::HEADER_BYTES, read_segment, segment_path, segments},
    service::QUEUE_SEGMENT,
};

use super::{
    order::Place,
    record::Head,
    store::{Safety, Store, StoreError},
};

/// The log of a queue.
pub const QUEUE_LOG: Kind = Kind { name: "queue", prefix: QUEUE_SEGMENT, magic: b"pipeque" };

/// A segment that has grown to this is followed by the next one.
const SEGMENT_BYTES: u64 = 16 << 20;

/// Segments in a run directory.
pub struct Disk {
    folder: PathBuf,
    log: Log,
    // The records of the last one, which were read when it was opened, until they are replayed.
    last: Vec<Vec<u8>>,
    // Those that were read from.
    files: BTreeMap<u64, File>,
    // How long each of those is that are not written any more.
    older: BTreeMap<u64, u64>,
    // Bytes with which the last one began.
    begun: u64,
}

impl Disk {
    /// The queue in a run directory, or a new one.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be written, or is somebody else's; it is as it was then.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let mut found = segments(QUEUE_LOG, folder);
        let last = found.pop().unwrap_or(1);
        let mut records = Vec::new();
        let log = Log::go_on(QUEUE_LOG, folder, last, |record| records.push(record.to_vec()))?;
        let length = |number: u64| {
            let path = segment_path(QUEUE_LOG, folder, number);
            (number, path.metadata().map_or(0, |data| data.len()))
        };
        let older = found.into_iter().map(length).collect();
        let (folder, files) = (folder.into(), BTreeMap::new());
        Ok(Self { folder, log, last: records, files, older, begun: 0 })
    }

    fn read_all(
        &self,
        segment: u64,
        each: &mut dyn FnMut(Head, Place, &[u8]),
    ) -> Result<(), StoreError> {
        let mut offset = HEADER_BYTES;
        read_segment(QUEUE_LOG, &self.folder, segment, |record| {
            give(record, segment, &mut offset, each);
        })?;
        Ok(())
    }
}

/// Gives a record that begins at this offset, which is behind it then.
fn give(record: &[u8], segment: u64, offset: &mut u64, each: &mut dyn FnMut(Head, Place, &[u8])) {
    *offset += FRAME_BYTES as u64;
    if let Some((head, values)) = Head::read(record) {
        let before = (record.len() - values.len()) as u64;
        each(head, Place { segment, offset: *offset + before }, values);
    }
    *offset += record.len() as u64;
}

impl Store for Disk {
    fn replay(&mut self, each: &mut dyn FnMut(Head, Place, &[u8])) -> Result<(), StoreError> {
        self.older.keys().try_for_each(|segment| self.read_all(*segment, each))?;
        let (segment, mut offset) = (self.log.segment(), HEADER_BYTES);
        for record in std::mem::take(&mut self.last) {
            give(&record, segment, &mut offset, each);
        }
        Ok(())
    }

    fn append(&mut self, head: &Head, values: &[u8]) -> Place {
        self.log.append_with(|buffer| {
            head.write(buffer);
            buffer.extend_from_slice(values);
        });
        Place { segment: self.log.segment(), offset: self.log.bytes() - values.len() as u64 }
    }

    fn keep(&mut self, safe: Safety) -> Result<(), StoreError> {
        let appended = self.log.take();
        appended.write()?;
        if safe == Safety::Power {
            appended.sync()?;
        }
        Ok(())
    }

    fn read(&mut self, place: Place, bytes: usize) -> Result<Vec<u8>, StoreError> {
        let path = segment_path(QUEUE_LOG, &self.folder, place.segment);
        let mut read = || {
            let file = match self.files.entry(place.segment) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(File::open(&path)?),
            };
            read_at(file, place.offset, bytes)
        };
        read().map_err(|source| StoreError::Read { path: path.clone(), source })
    }

    fn segment(&self) -> u64 {
        self.log.segment()
    }

    fn is_full(&self) -> bool {
        // What is known of clients may be more than a segment, and is written once for as much that follows.
        self.log.bytes() - self.begun >= SEGMENT_BYTES.max(self.begun)
    }

    fn rotate(&mut self) -> Result<(), StoreError> {
        self.keep(Safety::Power)?;
        self.older.insert(self.log.segment(), self.log.bytes());
        self.begun = 0;
        Ok(self.log.rotate()?)
    }

    fn begun(&mut self) {
        self.begun = self.log.bytes();
    }

    fn older(&self) -> Vec<(u64, u64)> {
        self.older.iter().map(|(segment, bytes)| (*segment, *bytes)).collect()
    }

    fn again(&mut self, segment: u64, each: &mut dyn FnMut(Head, &[u8])) -> Result<(), StoreError> {
        self.read_all(segment, &mut |head, _, values| each(head, values))
    }

    fn remove(&mut self, segment: u64) {
        self.files.remove(&segment);
        self.older.remove(&segment);
        self.log.remove(segment);
    }
}

/// Reads up to so many bytes.
fn read_at(file: &File, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let (mut buffer, mut read) = (vec![0; bytes], 0);
    while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(read);
    Ok(buffer)
}
