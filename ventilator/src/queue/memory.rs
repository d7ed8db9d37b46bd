//! A store in memory, for simulations: what was kept outlives a crash of whoever writes it.
//!
//! Owns the segments of one queue; a clone sees the same ones. Refuses files.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    order::Place,
    record::Head,
    store::{Safety, Store, StoreError},
};

/// Bytes of values after which a segment is followed by the next one.
const SEGMENT_BYTES: usize = 4 << 10;

#[derive(Debug, Clone)]
struct Record {
    head: Head,
    values: Vec<u8>,
    offset: u64,
}

#[derive(Debug, Default)]
struct Segments {
    all: BTreeMap<u64, Vec<Record>>,
    current: u64,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    kept: Arc<Mutex<Segments>>,
    // What this writer has appended and nobody keeps yet.
    appended: Vec<Record>,
    offset: u64,
}

impl Memory {
    /// What its next writer finds: all that was kept.
    #[must_use]
    pub fn after_a_crash(&self) -> Self {
        let offset = {
            let kept = self.kept();
            let last = kept.all.get(&kept.current).and_then(|segment| segment.last());
            last.map_or(0, |last| last.offset + last.values.len() as u64)
        };
        Self { kept: self.kept.clone(), appended: Vec::new(), offset }
    }

    /// Records that are kept.
    pub fn records(&self) -> usize {
        self.kept().all.values().map(Vec::len).sum()
    }

    fn kept(&self) -> MutexGuard<'_, Segments> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn replay(&mut self, each: &mut dyn FnMut(Head, Place, &[u8])) -> Result<(), StoreError> {
        let kept = self.kept();
        for (segment, records) in &kept.all {
            for record in records {
                let place = Place { segment: *segment, offset: record.offset };
                each(record.head.clone(), place, &record.values);
            }
        }
        Ok(())
    }

    fn append(&mut self, head: &Head, values: &[u8]) -> Place {
        let offset = self.offset;
        self.offset += values.len() as u64;
        self.appended.push(Record { head: head.clone(), values: values.to_vec(), offset });
        Place { segment: self.segment(), offset }
    }

    fn keep(&mut self, _: Safety) -> Result<(), StoreError> {
        let appended = std::mem::take(&mut self.appended);
        let mut kept = self.kept();
        let current = kept.current;
        kept.all.entry(current).or_default().extend(appended);
        Ok(())
    }

    fn read(&mut self, place: Place, bytes: usize) -> Result<Vec<u8>, StoreError> {
        let kept = self.kept();
        let mut read = Vec::new();
        for record in kept.all.get(&place.segment).into_iter().flatten() {
            let end = record.offset + record.values.len() as u64;
            let from = place.offset.max(record.offset);
            if from < end && read.len() < bytes {
                let skip = (from - record.offset) as usize;
                let more = record.values.get(skip..).unwrap_or_default();
                read.extend_from_slice(more.get(..bytes - read.len()).unwrap_or(more));
            }
        }
        Ok(read)
    }

    fn segment(&self) -> u64 {
        self.kept().current
    }

    fn is_full(&self) -> bool {
        let kept = self.kept();
        let current = kept.all.get(&kept.current);
        let bytes: usize = current.into_iter().flatten().map(|each| each.values.len()).sum();
        bytes >= SEGMENT_BYTES
    }

    fn rotate(&mut self) -> Result<(), StoreError> {
        self.keep(Safety::Power)?;
        self.offset = 0;
        self.kept().current += 1;
        Ok(())
    }

    fn older(&self) -> Vec<(u64, u64)> {
        let kept = self.kept();
        let bytes = |records: &Vec<Record>| {
            records.iter().map(|record| record.values.len() as u64).sum::<u64>()
        };
        let older = kept.all.range(..kept.current);
        older.map(|(segment, records)| (*segment, bytes(records))).collect()
    }

    fn again(&mut self, segment: u64, each: &mut dyn FnMut(Head, &[u8])) -> Result<(), StoreError> {
        let records = self.kept().all.get(&segment).cloned();
        for record in records.into_iter().flatten() {
            each(record.head, &record.values);
        }
        Ok(())
    }

    fn remove(&mut self, segment: u64) {
        self.kept().all.remove(&segment);
    }
}
