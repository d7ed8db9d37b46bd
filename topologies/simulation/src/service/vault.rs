//! What of a queue outlives its ventilator.
//!
//! Owns the store from one start to the next, and the bugs of a disk; refuses to know what the queue does
//! with it.

use proto::unit::UnitId;
use ventilator::queue::{
    memory::Memory,
    record::Head,
    store::{Safety, Store},
};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Vault {
    memory: Memory,
    /// Ids below this one were given, as the queue has said last; nothing while none is there.
    pub(super) next: Option<UnitId>,
    /// What was kept when the ventilator died, and nobody was told.
    pub(super) untold: u64,
    /// Units that were given out, came back, and were cancelled.
    pub(super) cancelled_out: u64,
    /// The most records that there were at once.
    pub(super) records_max: usize,
}

impl Vault {
    /// The store for the next start.
    pub fn reopen(&mut self) -> Memory {
        self.next = None;
        self.memory = self.memory.after_a_crash();
        self.memory.after_a_crash()
    }

    /// Records that are kept.
    pub fn records(&self) -> usize {
        self.memory.records()
    }

    /// Something was kept.
    pub fn look(&mut self) {
        self.records_max = self.records_max.max(self.records());
    }

    /// Segments before the one that is written.
    pub fn older(&self) -> usize {
        self.memory.older().len()
    }

    /// Clients whose numbers are remembered since the last segment began.
    pub fn clients(&self) -> usize {
        let mut clients = 0;
        self.each(|head, _| {
            if let Head::Numbers(numbers) = head {
                clients = numbers.clients();
            }
        });
        clients
    }

    /// Bug: only the first so many records are there.
    pub fn lose_after(&mut self, records: usize) {
        let mut left = Vec::new();
        self.each(|head, values| left.push((head, values.to_vec())));
        left.truncate(records);
        self.replace(left);
    }

    /// Bug: which clients have submitted what is not there.
    pub fn lose_names(&mut self) {
        let mut left = Vec::new();
        self.each(|head, values| match head {
            Head::Accepted { of, first, treatment } => {
                let count = of.iter().map(|(_, _, count)| count).sum();
                left.push((Head::Moved { first, count, treatment }, values.to_vec()));
            }
            Head::Numbers(_) | Head::Joined { .. } => {}
            other => left.push((other, values.to_vec())),
        });
        self.replace(left);
    }

    fn each(&self, mut each: impl FnMut(Head, &[u8])) {
        let all = self.memory.after_a_crash().replay(&mut |head, _, values| each(head, values));
        all.expect("a store in memory can be read");
    }

    fn replace(&mut self, records: Vec<(Head, Vec<u8>)>) {
        self.memory = Memory::default();
        for (head, values) in records {
            self.memory.append(&head, &values);
        }
        self.memory.keep(Safety::Power).expect("a store in memory can be written");
    }
}
