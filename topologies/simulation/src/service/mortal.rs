//! The disk of a queue whose process may die between any two of its steps.
//!
//! Owns the moment of death: from then on nothing reaches the store. Refuses to know what is written.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use ventilator::queue::{
    memory::Memory,
    order::Place,
    record::Head,
    store::{Safety, Store, StoreError},
};

/// How many steps are left; the number of those that do not count.
#[derive(Debug, Clone)]
pub(super) struct StepsLeft(Arc<AtomicU32>);

impl StepsLeft {
    /// As many as it takes.
    pub fn endless() -> Self {
        Self(Arc::new(AtomicU32::new(u32::MAX)))
    }

    /// Only so many from now on.
    pub fn limit(&self, steps: u32) {
        self.0.store(steps, Ordering::Relaxed);
    }

    /// Whether there is one more.
    fn take(&self) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        if left != u32::MAX {
            self.0.store(left.saturating_sub(1), Ordering::Relaxed);
        }
        left > 0
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Mortal {
    pub memory: Memory,
    pub steps: StepsLeft,
}

impl Mortal {
    fn step(&self) -> Result<(), StoreError> {
        let dead = || StoreError::Read { path: PathBuf::new(), source: io::Error::other("dead") };
        self.steps.take().then_some(()).ok_or_else(dead)
    }
}

impl Store for Mortal {
    fn replay(&mut self, each: &mut dyn FnMut(Head, Place, &[u8])) -> Result<(), StoreError> {
        self.memory.replay(each)
    }

    fn append(&mut self, head: &Head, values: &[u8]) -> Place {
        self.memory.append(head, values)
    }

    fn keep(&mut self, safe: Safety) -> Result<(), StoreError> {
        self.step()?;
        self.memory.keep(safe)
    }

    fn read(&mut self, place: Place, bytes: usize) -> Result<Vec<u8>, StoreError> {
        self.memory.read(place, bytes)
    }

    fn segment(&self) -> u64 {
        self.memory.segment()
    }

    fn is_full(&self) -> bool {
        self.memory.is_full()
    }

    fn rotate(&mut self) -> Result<(), StoreError> {
        self.step()?;
        self.memory.rotate()
    }

    fn older(&self) -> Vec<(u64, u64)> {
        self.memory.older()
    }

    fn again(&mut self, segment: u64, each: &mut dyn FnMut(Head, &[u8])) -> Result<(), StoreError> {
        self.memory.again(segment, each)
    }

    fn remove(&mut self, segment: u64) {
        if self.steps.take() {
            self.memory.remove(segment);
        }
    }
}
