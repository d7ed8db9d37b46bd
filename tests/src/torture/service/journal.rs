//! What a client has to know when it comes back: a file of its own.
//!
//! Owns its records, and that a torn last one is as if it had never been written; refuses a second ticket for a
//! number, a second outcome, and one of a number without a ticket. Nothing is synced: a kill loses nothing that
//! was written.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use proto::{ranges::RangeSet, service::IdRange};
use thiserror::Error;

/// A kind, a number, how many, and the first one's ticket.
const RECORD_BYTES: usize = 25;
const SUBMITTED: u8 = b'S';
const ACCEPTED: u8 = b'A';
const DONE: u8 = b'D';
/// No unit has it.
const NO_TICKET: u64 = u64::MAX;

/// What contradicts a journal.
#[derive(Debug, Error)]
pub enum JournalError {
    /// It can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A number has two tickets.
    #[error("number {number} has ticket {ticket}, and had {before}")]
    TwoTickets {
        /// The client's number.
        number: u64,
        /// The ticket that it has now.
        ticket: u64,
        /// The one that was noted.
        before: u64,
    },
    /// A number has an outcome that was noted before.
    #[error("number {0} has two outcomes")]
    TwoOutcomes(u64),
    /// A number has an outcome and no ticket.
    #[error("number {0} has an outcome and no ticket")]
    NoTicket(u64),
}

/// See the module.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    // What is not written yet: neighbours are one record.
    last: Option<(u8, u64, u64, u64)>,
    buffer: Vec<u8>,
    submitted: u64,
    // By number.
    tickets: Vec<u64>,
    done: RangeSet,
}

impl Journal {
    /// The one at `path`, or a new one.
    ///
    /// # Errors
    /// [`JournalError`] when it can't be read, or contradicts itself.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: path.into(), source };
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut journal = Self {
            path: path.into(),
            file: file.map_err(io)?,
            last: None,
            buffer: Vec::new(),
            submitted: 0,
            tickets: Vec::new(),
            done: RangeSet::new(),
        };
        let mut written = Vec::new();
        journal.file.read_to_end(&mut written).map_err(io)?;
        let whole = written.len() - written.len() % RECORD_BYTES;
        for record in written[..whole].chunks(RECORD_BYTES) {
            journal.read(record)?;
        }
        journal.file.set_len(whole as u64).map_err(io)?;
        journal.file.seek(SeekFrom::End(0)).map_err(io)?;
        Ok(journal)
    }

    fn read(&mut self, record: &[u8]) -> Result<(), JournalError> {
        let mut fields = record[1..].chunks(8).map(|bytes| {
            u64::from_le_bytes(bytes.try_into().expect("a record has three fields of 8 bytes"))
        });
        let mut field = || fields.next().unwrap_or_default();
        let (number, count, ticket) = (field(), field(), field());
        for offset in 0..count {
            match record[0] {
                ACCEPTED => _ = self.know_ticket(number + offset, ticket + offset)?,
                DONE => self.know_outcome(number + offset)?,
                _ => self.submitted = self.submitted.max(number + count),
            }
        }
        Ok(())
    }

    /// The first number without an outcome: where a client goes on.
    pub fn low(&self) -> u64 {
        self.done.next_missing(0)
    }

    /// Numbers below this one may have been submitted.
    pub fn submitted(&self) -> u64 {
        self.submitted
    }

    /// Whether the outcome of a number is noted.
    pub fn is_done(&self, number: u64) -> bool {
        self.done.contains(number)
    }

    /// How many outcomes are noted.
    pub fn outcomes(&self) -> u64 {
        self.done.len()
    }

    /// The tickets of numbers from this one on whose outcomes are noted.
    pub fn done_from(&self, number: u64) -> Vec<IdRange> {
        let mut found = RangeSet::new();
        for number in (number..self.tickets.len() as u64).filter(|number| self.is_done(*number)) {
            let ticket = self.tickets[number as usize];
            found.insert(ticket..ticket + 1);
        }
        found.iter().map(|range| (range.start, range.end)).collect()
    }

    /// All tickets, by number.
    pub fn tickets(&self) -> impl Iterator<Item = (u64, u64)> {
        (0..).zip(self.tickets.iter().copied()).filter(|(_, ticket)| *ticket != NO_TICKET)
    }

    /// Numbers below this one are about to be submitted.
    pub fn note_submitted(&mut self, below: u64) {
        if below > self.submitted {
            self.note(SUBMITTED, self.submitted, below - self.submitted, 0);
            self.submitted = below;
        }
    }

    /// A number has a ticket.
    ///
    /// # Errors
    /// [`JournalError::TwoTickets`] when it had another.
    pub fn note_accepted(&mut self, number: u64, ticket: u64) -> Result<(), JournalError> {
        if self.know_ticket(number, ticket)? {
            self.note(ACCEPTED, number, 1, ticket);
        }
        Ok(())
    }

    /// A number has its outcome.
    ///
    /// # Errors
    /// [`JournalError`] when it had one, or has no ticket.
    pub fn note_done(&mut self, number: u64) -> Result<(), JournalError> {
        self.know_outcome(number)?;
        self.note(DONE, number, 1, 0);
        Ok(())
    }

    /// Writes what was noted, so that a kill does not lose it.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn write(&mut self) -> Result<(), JournalError> {
        self.put_last();
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|source| JournalError::Io { path: self.path.clone(), source })
    }

    /// Whether that is news.
    fn know_ticket(&mut self, number: u64, ticket: u64) -> Result<bool, JournalError> {
        let index = number as usize;
        if index >= self.tickets.len() {
            self.tickets.resize(index + 1, NO_TICKET);
        }
        match std::mem::replace(&mut self.tickets[index], ticket) {
            NO_TICKET => Ok(true),
            before if before == ticket => Ok(false),
            before => Err(JournalError::TwoTickets { number, ticket, before }),
        }
    }

    fn know_outcome(&mut self, number: u64) -> Result<(), JournalError> {
        if self.tickets.get(number as usize).is_none_or(|ticket| *ticket == NO_TICKET) {
            return Err(JournalError::NoTicket(number));
        }
        if self.done.contains(number) {
            return Err(JournalError::TwoOutcomes(number));
        }
        self.done.insert(number..number + 1);
        Ok(())
    }

    fn note(&mut self, kind: u8, number: u64, count: u64, ticket: u64) {
        if let Some((of, first, many, its)) = &mut self.last
            && *of == kind
            && *first + *many == number
            && (kind != ACCEPTED || *its + *many == ticket)
        {
            *many += count;
            return;
        }
        self.put_last();
        self.last = Some((kind, number, count, ticket));
    }

    fn put_last(&mut self) {
        let Some((kind, number, count, ticket)) = self.last.take() else { return };
        self.buffer.push(kind);
        [number, count, ticket].iter().for_each(|field| self.buffer.extend(field.to_le_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_comes_back_knows_what_was_written_but_for_a_torn_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        journal.note_submitted(4);
        for (number, ticket) in [(0, 7), (1, 8), (2, 20), (3, 21)] {
            journal.note_accepted(number, ticket).unwrap();
        }
        [0, 1, 3].iter().for_each(|number| journal.note_done(*number).unwrap());
        journal.write().unwrap();
        File::options().append(true).open(&path).unwrap().write_all(b"D123").unwrap();
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(journal.done_from(1), [(8, 9), (21, 22)]);
        assert_eq!((journal.low(), journal.submitted(), journal.outcomes()), (2, 4, 3));
        assert_eq!(journal.tickets().collect::<Vec<_>>(), [(0, 7), (1, 8), (2, 20), (3, 21)]);
        journal.note_accepted(2, 20).unwrap();
        journal.note_done(2).unwrap();
        journal.write().unwrap();
        assert_eq!(Journal::open(&path).unwrap().low(), 4);
    }

    #[test]
    fn a_second_ticket_and_a_second_outcome_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("journal")).unwrap();
        assert!(matches!(journal.note_done(0), Err(JournalError::NoTicket(0))));
        journal.note_accepted(0, 5).unwrap();
        journal.note_done(0).unwrap();
        assert!(matches!(journal.note_done(0), Err(JournalError::TwoOutcomes(0))));
        let twice = journal.note_accepted(0, 6);
        assert!(matches!(twice, Err(JournalError::TwoTickets { ticket: 6, before: 5, .. })));
    }
}
