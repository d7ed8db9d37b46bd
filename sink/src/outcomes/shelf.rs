//! Outcomes that were not fetched for a while: on disk, where they take no memory.
//!
//! Owns the file `outcomes.sqlite` of a run directory: runs of outcomes by their first unit, with the time
//! at which each came. Refuses to know who wants them. What is put here is also in the commit log until
//! the next checkpoint, so a transaction that is lost with a crash is written once more.

use std::{ops::Range, path::Path};

use proto::unit::UnitId;
use rusqlite::{Connection, OptionalExtension, params};

use crate::accept::entry::Entry;

/// Rows that are dropped at once to make room.
const MAKE_ROOM_ROWS: i64 = 64;

/// See the module.
pub struct Shelf {
    connection: Connection,
    units: u64,
    bytes: u64,
}

impl Shelf {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`rusqlite::Error`] when it can't be used.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA auto_vacuum = incremental;
             PRAGMA journal_mode = wal;
             PRAGMA synchronous = normal;
             CREATE TABLE IF NOT EXISTS outcome
                 (first INTEGER PRIMARY KEY, count INTEGER, bytes INTEGER, at INTEGER, entry BLOB);
             CREATE INDEX IF NOT EXISTS outcome_at ON outcome (at);
             CREATE TABLE IF NOT EXISTS clock (ms INTEGER);",
        )?;
        let sums = "SELECT coalesce(sum(count), 0), coalesce(sum(bytes), 0) FROM outcome";
        let (units, bytes) = connection.query_row(sums, [], |row| {
            Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64))
        })?;
        Ok(Self { connection, units, bytes })
    }

    /// Units on the shelf, and the bytes that they take.
    pub fn weight(&self) -> (u64, u64) {
        (self.units, self.bytes)
    }

    /// How long sinks have kept outcomes here, in milliseconds, when that was noted last.
    ///
    /// # Errors
    /// [`rusqlite::Error`] when it can't be read.
    pub fn clock(&self) -> rusqlite::Result<u64> {
        let noted =
            self.connection.query_row("SELECT ms FROM clock", [], |row| row.get::<_, i64>(0));
        Ok(noted.optional()?.unwrap_or_default() as u64)
    }

    /// Makes what was done here safe, and gives back the room of what is gone.
    ///
    /// # Errors
    /// [`rusqlite::Error`] when the disk fails.
    pub fn make_safe(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")
    }

    /// Does all of `work` or nothing of it; a kill in a moment does not undo it.
    ///
    /// # Errors
    /// [`rusqlite::Error`] of the work, or when the disk fails.
    pub fn in_one_transaction(
        &mut self,
        now: u64,
        work: impl FnOnce(&mut Self) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = work(self).and_then(|()| {
            self.connection.execute("DELETE FROM clock", [])?;
            self.connection.execute("INSERT INTO clock VALUES (?1)", [now as i64])?;
            self.connection.execute_batch("COMMIT")
        });
        if done.is_err() {
            // The process ends of it.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        done
    }

    /// Puts an entry there, which came at that time.
    ///
    /// # Errors
    /// [`rusqlite::Error`] when it can't be written.
    pub fn put(&mut self, entry: &Entry, at: u64) -> rusqlite::Result<()> {
        let bytes = entry.bytes();
        let blob = rmp_serde::to_vec(entry).unwrap_or_default();
        let mut insert =
            self.connection.prepare_cached("INSERT INTO outcome VALUES (?1, ?2, ?3, ?4, ?5)")?;
        insert.execute(params![
            entry.first as i64,
            entry.count as i64,
            bytes as i64,
            at as i64,
            blob
        ])?;
        self.units += entry.count;
        self.bytes += bytes;
        Ok(())
    }

    /// The entries that hold any of these units, with their times.
    ///
    /// # Errors
    /// [`rusqlite::Error`] when they can't be read.
    pub fn find(&self, units: Range<UnitId>) -> rusqlite::Result<Vec<(Entry, u64)>> {
        if self.units == 0 {
            return Ok(Vec::new());
        }
        // Entries are disjoint, so of those that begin before only the last can reach in.
        let mut select = self.connection.prepare_cached(
            "SELECT entry, at FROM outcome WHERE first < ?2 AND first >= coalesce(
                 (SELECT max(first) FROM outcome WHERE first <= ?1), ?1)
             AND first + count > ?1 ORDER BY first",
        )?;
        let ends = [units.start as i64, units.end.min(i64::MAX as u64) as i64];
        let rows = select
            .query_map(ends, |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)? as u64)))?;
        let mut found = Vec::new();
        for row in rows {
            let (blob, at) = row?;
            if let Ok(entry) = rmp_serde::from_slice(&blob) {
                found.push((entry, at));
            }
        }
        Ok(found)
    }

    /// Takes what is of these units from the shelf.
    ///
    /// # Errors
    /// [`rusqlite::Error`] when it can't be written.
    pub fn take(&mut self, units: Range<UnitId>) -> rusqlite::Result<()> {
        for (entry, at) in self.find(units.clone())? {
            self.remove(&entry)?;
            for part in outside(entry, &units) {
                self.put(&part, at)?;
            }
        }
        Ok(())
    }

    /// Whether anything came before that time.
    ///
    /// # Errors
    /// [`rusqlite::Error`] when it can't be read.
    pub fn has_before(&self, time: u64) -> rusqlite::Result<bool> {
        if self.units == 0 {
            return Ok(false);
        }
        let mut select = self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM outcome WHERE at < ?1)")?;
        select.query_row([time as i64], |row| row.get(0))
    }

    /// Drops what came before that time.
    ///
    /// # Errors
    /// [`rusqlite::Error`] when it can't be written.
    pub fn drop_before(&mut self, time: u64) -> rusqlite::Result<()> {
        self.drop_where("SELECT first, count, bytes FROM outcome WHERE at < ?1", time as i64)
    }

    /// Drops some of what has been there longest; whether there was anything.
    ///
    /// # Errors
    /// [`rusqlite::Error`] when it can't be written.
    pub fn drop_oldest(&mut self) -> rusqlite::Result<bool> {
        let before = self.units;
        let oldest = "SELECT first, count, bytes FROM outcome ORDER BY at LIMIT ?1";
        self.drop_where(oldest, MAKE_ROOM_ROWS)?;
        Ok(self.units < before)
    }

    fn drop_where(&mut self, select: &str, parameter: i64) -> rusqlite::Result<()> {
        if self.units == 0 {
            return Ok(());
        }
        let mut statement = self.connection.prepare_cached(select)?;
        let rows = statement.query_map([parameter], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64))
        })?;
        let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        drop(statement);
        for (first, count, bytes) in rows {
            self.connection.execute("DELETE FROM outcome WHERE first = ?1", [first])?;
            self.units = self.units.saturating_sub(count);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        Ok(())
    }

    fn remove(&mut self, entry: &Entry) -> rusqlite::Result<()> {
        self.connection.execute("DELETE FROM outcome WHERE first = ?1", [entry.first as i64])?;
        self.units = self.units.saturating_sub(entry.count);
        self.bytes = self.bytes.saturating_sub(entry.bytes());
        Ok(())
    }
}

/// What of an entry is not of these units.
pub(super) fn outside(entry: Entry, units: &Range<UnitId>) -> Vec<Entry> {
    let (low, rest) = entry.cut(units.start);
    let mut parts = Vec::new();
    let inside = match rest {
        Some(rest) => {
            parts.push(low);
            rest
        }
        None if low.first < units.start => return vec![low],
        None => low,
    };
    let (inside, high) = inside.cut(units.end);
    parts.extend(high);
    if inside.first >= units.end {
        parts.push(inside);
    }
    parts
}
