//! The lines of a file, or the rows of a database, as sums: enough to say later which of them is
//! missing, doubled or changed.
//!
//! Owns the reading of outputs and the form of the file that keeps the sums: a CRC-32 for each line,
//! then, where lines name their unit, 8 bytes for each unit. Refuses to compare.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::Path,
};

use rusqlite::{Connection, OpenFlags, types::ValueRef};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::config::{Field, OutputSpec, SinkConfig};

const BUFFER_BYTES: usize = 256 << 10;
/// The unit of a line that names none.
pub(super) const NO_UNIT: u64 = u64::MAX;

/// How the unit of a line is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitOf {
    /// It is not.
    #[default]
    Unknown,
    /// Each line behind so many is the unit of its place: nothing was filtered, dead or expanded.
    LinesAfter(u64),
    /// The line is an object with an `id`.
    Object,
    /// The line begins with it.
    FirstCell,
    /// The row has a column `id`.
    Row,
}

impl UnitOf {
    /// How it is known in an output of this configuration, before it is known what became of units.
    pub(super) fn output(config: &SinkConfig) -> Self {
        match &config.output {
            Some(OutputSpec::Sqlite(_))
                if config.fields.is_empty() || config.fields.contains(&Field::Id) =>
            {
                Self::Row
            }
            Some(OutputSpec::Csv(_)) if config.fields.first() == Some(&Field::Id) => {
                Self::FirstCell
            }
            Some(OutputSpec::Jsonl(_)) if config.fields.contains(&Field::Id) => Self::Object,
            _ => Self::Unknown,
        }
    }

    pub(super) fn read(self, line: &[u8]) -> Option<u64> {
        #[derive(Deserialize)]
        struct Named {
            id: u64,
        }
        match self {
            Self::Object => serde_json::from_slice::<Named>(line).ok().map(|named| named.id),
            Self::FirstCell => {
                let cell = line.split(|byte| matches!(byte, b',' | b'\n')).next()?;
                std::str::from_utf8(cell).ok()?.parse().ok()
            }
            _ => None,
        }
    }

    pub(super) fn is_named(self) -> bool {
        matches!(self, Self::Object | Self::FirstCell | Self::Row)
    }
}

/// Why lines or rows can't be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Not as a file.
    #[error(transparent)]
    File(#[from] io::Error),
    /// Not as a database.
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256; of a database that of its rows, since the file differs with its history.
    pub sha256: String,
    /// A sum for each line or row.
    pub sums: Sums,
    /// Its last line has no end.
    pub torn: bool,
}

/// A sum for each line or row, and its unit where it names one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub lines: Vec<u32>,
    units: Vec<u64>,
}

impl Sums {
    /// The unit that a line names.
    pub fn unit(&self, index: usize) -> Option<u64> {
        self.units.get(index).copied().filter(|unit| *unit != NO_UNIT)
    }

    fn add(&mut self, line: &[u8], named: bool, unit: Option<u64>) {
        self.lines.push(crc32fast::hash(line));
        if named {
            self.units.push(unit.unwrap_or(NO_UNIT));
        }
    }

    /// Keeps them at `path`.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let lines = self.lines.iter().flat_map(|sum| sum.to_le_bytes());
        let units = self.units.iter().flat_map(|unit| unit.to_le_bytes());
        fs::write(path, lines.chain(units).collect::<Vec<u8>>())
    }

    /// What was kept of so many lines; none if it was not.
    pub fn read(path: &Path, lines: u64) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        let (sums, units) = bytes.split_at_checked(usize::try_from(lines).ok()?.checked_mul(4)?)?;
        let (sums, units) = (sums.as_chunks().0, units.as_chunks().0);
        let sums = Self {
            lines: sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect(),
            units: units.iter().map(|unit| u64::from_le_bytes(*unit)).collect(),
        };
        (sums.units.is_empty() || sums.units.len() == sums.lines.len()).then_some(sums)
    }
}

/// Whether this file is a database.
pub(super) fn has_rows(path: &Path) -> bool {
    matches!(OutputSpec::try_from(path.to_owned()), Ok(OutputSpec::Sqlite(_)))
}

/// Reads all lines of a file, or all rows of a database.
pub(super) fn read(path: &Path, unit_of: UnitOf) -> Result<Records, ReadError> {
    if has_rows(path) {
        return Ok(read_rows(path)?);
    }
    let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
    let (mut records, mut hasher, mut line) = (Records::default(), Sha256::new(), Vec::new());
    while file.read_until(b'\n', &mut line)? > 0 {
        hasher.update(&line);
        records.bytes += line.len() as u64;
        records.torn = line.last() != Some(&b'\n');
        records.sums.add(&line, unit_of.is_named(), unit_of.read(&line));
        line.clear();
    }
    records.sha256 = hex(hasher);
    Ok(records)
}

fn read_rows(path: &Path) -> rusqlite::Result<Records> {
    // Its writer may have been killed while it closed the database: what lies beside it then is
    // brought in by whoever opens it next, who has to be able to write for that. Where the file or
    // its folder allow no writing it is opened for reading.
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    database.pragma_update(None, "query_only", true)?;
    let mut query = database.prepare("SELECT * FROM results ORDER BY rowid")?;
    let columns = query.column_count();
    let id = query.column_names().position(|name| name == "id");
    let mut rows = query.query([])?;
    let (mut records, mut hasher, mut line) = (Records::default(), Sha256::new(), Vec::new());
    while let Some(row) = rows.next()? {
        line.clear();
        for column in 0..columns {
            append_column(row.get_ref(column)?, &mut line);
        }
        hasher.update(&line);
        let unit: Option<i64> = id.and_then(|id| row.get(id).ok());
        records.sums.add(&line, id.is_some(), unit.and_then(|unit| unit.try_into().ok()));
    }
    records.bytes = fs::metadata(path).map_or(0, |data| data.len());
    records.sha256 = hex(hasher);
    Ok(records)
}

/// A column so that two different rows never look the same: kind, length, content.
fn append_column(value: ValueRef<'_>, line: &mut Vec<u8>) {
    let number;
    let (kind, content): (u8, &[u8]) = match value {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(integer) => {
            number = integer.to_le_bytes();
            (1, &number)
        }
        ValueRef::Real(real) => {
            number = real.to_le_bytes();
            (2, &number)
        }
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(blob) => (4, blob),
    };
    line.push(kind);
    line.extend_from_slice(&(content.len() as u64).to_le_bytes());
    line.extend_from_slice(content);
}

pub(super) fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
