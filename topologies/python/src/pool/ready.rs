//! Encoded values that wait to be asked for, in their order.
//!
//! Owns their memory: what is put is taken over as it is, or gathered if it is little, and any number of
//! values can be taken from the front without the rest being moved.

use std::collections::VecDeque;

use worker::{OutputLimits, Outputs};

/// Values that are gathered with others, and their bytes together; more go by themselves.
const GATHERED_VALUES: usize = 4_096;
const GATHERED_BYTES: usize = 64 << 10;

/// The values.
pub(super) struct Ready {
    runs: VecDeque<Outputs>,
    limits: OutputLimits,
    values: u64,
    bytes: usize,
}

impl Ready {
    pub fn new(limits: OutputLimits) -> Self {
        Self { runs: VecDeque::new(), limits, values: 0, bytes: 0 }
    }

    pub fn len(&self) -> u64 {
        self.values
    }

    pub fn is_empty(&self) -> bool {
        self.values == 0
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts values behind the others, and leaves none.
    pub fn put(&mut self, values: &mut Outputs) {
        self.values += values.len() as u64;
        self.bytes += values.payload().len();
        match self.runs.back_mut() {
            Some(last)
                if last.len() + values.len() <= GATHERED_VALUES
                    && last.payload().len() + values.payload().len() <= GATHERED_BYTES =>
            {
                append(last, values);
                values.clear();
            }
            _ => {
                let run = std::mem::replace(values, Outputs::new(self.limits));
                self.runs.push_back(run);
            }
        }
    }

    /// Takes some from the front, `most` of them at most: their bytes, and where each ends.
    pub fn take(&mut self, most: u64) -> (Vec<u8>, Vec<u32>) {
        let Some(mut run) = self.runs.pop_front() else { return (Vec::new(), Vec::new()) };
        if run.len() as u64 > most {
            let (payload, ends) = run.take();
            let count = most as usize;
            let cut = count.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
            let mut rest = Outputs::new(self.limits);
            let mut start = cut as usize;
            for end in ends.iter().skip(count) {
                push(&mut rest, payload.get(start..*end as usize).unwrap_or_default());
                start = *end as usize;
            }
            self.runs.push_front(rest);
            self.note_taken(count, cut as usize);
            let front = payload.get(..cut as usize).unwrap_or_default().to_vec();
            return (front, ends.into_iter().take(count).collect());
        }
        let (payload, ends) = run.take();
        self.note_taken(ends.len(), payload.len());
        (payload, ends)
    }

    fn note_taken(&mut self, values: usize, bytes: usize) {
        self.values -= values as u64;
        self.bytes -= bytes;
    }
}

fn append(run: &mut Outputs, values: &Outputs) {
    values.iter().for_each(|value| push(run, value));
}

fn push(run: &mut Outputs, value: &[u8]) {
    run.begin_unit();
    // It was admitted by the same limits already.
    let _ = run.push_bytes(value);
}
