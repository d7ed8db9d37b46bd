//! What a segment of a log begins with: which log it belongs to, and in which format it is.
//!
//! Owns the first eight bytes of a segment and the judgement over a file by them; refuses to read on.
//! A file that is not this format's is nobody's to cut or to write to: it may hold a run that another
//! version of this program can finish.
#![cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "a header of fixed length"))]

use std::io::{self, Read};

use thiserror::Error;

use super::records::{next_record, read_up_to};

/// The format in which segments are written, and the only one in which they are read.
pub const FORMAT: u8 = 1;
/// How long a header is.
pub const HEADER_BYTES: u64 = 8;

/// Which log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// What people call it.
    pub name: &'static str,
    /// What the names of its files begin with; a number follows.
    pub prefix: &'static str,
    /// What its files begin with. Read as the length of a record, as logs without a header begin with,
    /// it has to be more than any has.
    pub magic: &'static [u8; 7],
}

impl Kind {
    /// A header of this format.
    pub fn header(self) -> [u8; HEADER_BYTES as usize] {
        let mut header = [FORMAT; HEADER_BYTES as usize];
        header[..self.magic.len()].copy_from_slice(self.magic);
        header
    }
}

/// Why a file is not used as a segment.
#[derive(Debug, Error)]
pub enum LogFault {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another version has written it; 0 stands for those from before formats were numbered.
    #[error(
        "it is in format {0}, and this version reads format {FORMAT}: go on with the version that began the run, or start over"
    )]
    Format(u8),
    /// No version of this program has written it.
    #[error("it is no such log: put back what was there, or start over")]
    Foreign,
}

/// What a file is that begins in a way that is nobody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// A segment in this format; its records follow.
    Whole,
    /// Nothing, or what a kill or a loss of power left of a header: no record was ever behind it.
    Torn,
}

/// Reads the header of a segment.
///
/// # Errors
/// [`LogFault`] when it is somebody else's, or can't be read.
pub fn read_header(kind: Kind, reader: &mut impl Read) -> Result<Beginning, LogFault> {
    let mut head = Vec::new();
    read_up_to(reader, HEADER_BYTES, &mut head)?;
    let ours = kind.header();
    let is_short = (head.len() as u64) < HEADER_BYTES;
    match head.strip_prefix(kind.magic) {
        Some([FORMAT]) => Ok(Beginning::Whole),
        Some([other]) => Err(LogFault::Format(*other)),
        _ if is_short && (ours.starts_with(&head) || head.iter().all(|byte| *byte == 0)) => {
            Ok(Beginning::Torn)
        }
        _ => match next_record(&mut head.as_slice().chain(reader))? {
            // Before there were headers a segment began with a record.
            Some(_) => Err(LogFault::Format(0)),
            None => Err(LogFault::Foreign),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { name: "commit log", prefix: "log-", magic: b"pipelog" };

    fn read(bytes: &[u8]) -> String {
        match read_header(KIND, &mut &*bytes) {
            Ok(beginning) => format!("{beginning:?}"),
            Err(fault) => format!("{fault:?}"),
        }
    }

    #[test]
    fn a_segment_is_told_by_its_first_bytes() {
        let mut newer = KIND.header();
        newer[7] = FORMAT + 1;
        let mut old = vec![3, 0, 0, 0];
        old.extend_from_slice(&crc32fast::hash(b"old").to_le_bytes());
        old.extend_from_slice(b"old");
        for (bytes, found) in [
            (&KIND.header()[..], "Whole"),
            (&[&KIND.header()[..], b"records"].concat(), "Whole"),
            (&newer, "Format(2)"),
            (&old, "Format(0)"),
            (&old[..old.len() - 1], "Foreign"),
            (b"a thesis, in many words", "Foreign"),
            (b"notes", "Foreign"),
            (&[0; 5], "Torn"),
        ] {
            assert_eq!(read(bytes), found, "{bytes:?}");
        }
        for torn in 0..KIND.header().len() {
            assert_eq!(read(&KIND.header()[..torn]), "Torn", "{torn}");
        }
    }
}
