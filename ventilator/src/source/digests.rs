//! The digests of what a run has read of its source, block by block.
//!
//! Owns the table in the run directory, and the comparison of bytes that pass with it; refuses to
//! know where they come from. A block is in the table before anybody is given a byte of it. A kill
//! of the process takes nothing from the table; a machine that loses its power may take the last
//! blocks of it, and then the source's length and time of change have to be what they were.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use blake3::{Hash, Hasher};
use proto::frame::RunId;
use thiserror::Error;

/// Its name in the run directory.
pub const FILE: &str = "source.digests";

/// Bytes of a file in a block.
pub(super) const BLOCK_BYTES: u64 = 4 << 20;
/// Bytes in a block of a listing, some forty files: they're named where one has changed.
pub(super) const LISTING_BLOCK_BYTES: u64 = 4 << 10;

const MAGIC: &[u8; 8] = b"digests1";
/// What every format of it begins with; its number follows.
const MAGIC_OF_ALL: &[u8] = b"digests";
/// Behind it the blocks begin.
const HEAD_BYTES: u64 = 64;
/// A length (u32), a digest, and the first bytes of the digest of both.
const SLOT_BYTES: usize = 4 + 32 + 4;
/// After so many bytes of a source what is known of them is safe from a loss of power.
const SYNC_BYTES: u64 = 64 << 20;

/// In which way a source is not the one that a run has read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Difference {
    /// What the run has read is unchanged, and more follows.
    #[error("has grown by {bytes} bytes since; what this run has read of it is unchanged")]
    Grown {
        /// How much.
        bytes: u64,
    },
    /// It ends earlier.
    #[error("is {bytes} bytes shorter than it was")]
    Shorter {
        /// By how much.
        bytes: u64,
    },
    /// A block of it.
    #[error("differs between bytes {from} and {to} from what this run has read")]
    Bytes {
        /// The block's first byte.
        from: u64,
        /// The byte behind it.
        to: u64,
    },
    /// Some of the files that a pattern finds.
    #[error(
        "{first} to {last}: not the files that this run has read; their names, lengths or times of change differ"
    )]
    Files {
        /// The first of a few among which the difference is.
        first: String,
        /// The last of them.
        last: String,
    },
    /// A pattern finds fewer files.
    #[error("finds fewer files than this run has read")]
    FewerFiles,
    /// A pattern finds more files, behind those that were there.
    #[error("finds {count} more files since; those that this run has read are unchanged")]
    MoreFiles {
        /// How many.
        count: u64,
    },
    /// The digests of what was read last are gone, and other signs say that it is another file.
    #[error(
        "has another length or time of change than when this run began, and the digests of what was read behind byte {from} were lost with the machine's power"
    )]
    Unproven {
        /// The first byte of which nothing is known.
        from: u64,
    },
}

/// What tells two states of a file apart, if only by and large.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Looks {
    /// Its length; none of what has none.
    pub(super) length: Option<u64>,
    /// Nanoseconds since 1970.
    pub(super) modified: u64,
}

/// A block that was read, and how much of it.
pub(super) type Slot = (u32, Hash);

/// What the table says of a source.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The run that has read it.
    pub(super) run: RunId,
    /// What the file was like when the run began.
    pub(super) looks: Looks,
    /// Where it ended, once that was seen.
    pub(super) end: Option<u64>,
    /// Its blocks; each but the last is a whole one.
    pub(super) slots: Vec<Slot>,
}

impl Known {
    /// Reads the table of a run directory; nothing if there is none, or only a beginning that a kill
    /// has torn.
    ///
    /// # Errors
    /// [`io::Error`] when it can't be read, or is not of this format: then it is nobody's to replace.
    pub(super) fn read(run_dir: &Path, block_bytes: u64) -> io::Result<Option<Self>> {
        let bytes = match std::fs::read(run_dir.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        refuse_others(&bytes)?;
        let Some((head, slots)) = bytes.split_at_checked(HEAD_BYTES as usize) else {
            return Ok(None);
        };
        let Some(mut known) = read_head(head) else { return Ok(None) };
        for slot in slots.chunks_exact(SLOT_BYTES) {
            let Some(slot) = read_slot(slot) else { break };
            known.slots.push(slot);
            if u64::from(slot.0) != block_bytes {
                break;
            }
        }
        Ok(Some(known))
    }

    /// How many bytes are known.
    pub(super) fn bytes(&self) -> u64 {
        self.slots.iter().map(|(length, _)| u64::from(*length)).sum()
    }

    /// How long the source was when it was seen last.
    pub(super) fn length(&self) -> Option<u64> {
        self.end.or_else(|| self.looks.length.map(|length| length.max(self.bytes())))
    }

    /// Whether a file that is so long now has become longer or shorter.
    pub(super) fn change_of_length(&self, now: u64) -> Option<Difference> {
        let before = self.length()?;
        match now {
            _ if now > before => Some(Difference::Grown { bytes: now - before }),
            _ if now < before => Some(Difference::Shorter { bytes: before - now }),
            _ => None,
        }
    }

    /// The bytes of a block.
    pub(super) fn span(&self, block: usize, block_bytes: u64) -> Difference {
        let from = block as u64 * block_bytes;
        let length = self.slots.get(block).map_or(0, |(length, _)| u64::from(*length));
        Difference::Bytes { from, to: from + length }
    }
}

/// The source has grown, as was proven: it does not end any more where it did.
pub(super) fn forget_end(run_dir: &Path, known: Known, looks: Looks) -> io::Result<()> {
    let table = OpenOptions::new().write(true).open(run_dir.join(FILE))?;
    table.write_all_at(&head_of(&Known { end: None, looks, ..known }), 0)?;
    table.sync_data()
}

fn refuse_others(table: &[u8]) -> io::Result<()> {
    let beginning = &table[..table.len().min(MAGIC.len())];
    let is_torn = MAGIC.starts_with(beginning) || table.iter().all(|byte| *byte == 0);
    if is_torn {
        return Ok(());
    }
    Err(io::Error::other(match beginning.strip_prefix(MAGIC_OF_ALL) {
        Some(format) if !format.is_empty() => format!(
            "{FILE} is in format {}, and this version reads format 1: go on with the version that began the run, or start over",
            String::from_utf8_lossy(format)
        ),
        _ => format!("{FILE} is no table of digests: put back what was there, or start over"),
    }))
}

fn read_head(head: &[u8]) -> Option<Known> {
    let (content, check) = head.split_at_checked(HEAD_BYTES as usize - 4)?;
    if !content.starts_with(MAGIC) || check != &blake3::hash(content).as_bytes()[..4] {
        return None;
    }
    let number = |index: usize| {
        let bytes = content.get(8 + 8 * index..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    };
    let known = |number: u64| (number != u64::MAX).then_some(number);
    Some(Known {
        run: number(0)?,
        looks: Looks { length: known(number(1)?), modified: number(2)? },
        end: known(number(3)?),
        slots: Vec::new(),
    })
}

fn head_of(known: &Known) -> [u8; HEAD_BYTES as usize] {
    let mut head = [0; HEAD_BYTES as usize];
    head[..8].copy_from_slice(MAGIC);
    let unknown = |number: Option<u64>| number.unwrap_or(u64::MAX);
    let numbers =
        [known.run, unknown(known.looks.length), known.looks.modified, unknown(known.end)];
    for (index, number) in numbers.iter().enumerate() {
        head[8 + 8 * index..][..8].copy_from_slice(&number.to_le_bytes());
    }
    let (content, check) = head.split_at_mut(HEAD_BYTES as usize - 4);
    check.copy_from_slice(&blake3::hash(content).as_bytes()[..4]);
    head
}

fn read_slot(slot: &[u8]) -> Option<Slot> {
    let (content, check) = slot.split_at_checked(36)?;
    let (length, digest) = content.split_first_chunk()?;
    let length = u32::from_le_bytes(*length);
    let digest = Hash::from_bytes(*digest.first_chunk()?);
    let whole = length > 0 && check == &blake3::hash(content).as_bytes()[..4];
    whole.then_some((length, digest))
}

/// Blocks that follow each other, as they are in the table.
#[derive(Debug, Default)]
struct Slots {
    first: Option<u64>,
    bytes: Vec<u8>,
}

impl Slots {
    fn push(&mut self, block: u64, length: u64, digest: &Hash) {
        self.first.get_or_insert(block);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&(length as u32).to_le_bytes());
        self.bytes.extend_from_slice(digest.as_bytes());
        let check = blake3::hash(&self.bytes[start..]);
        self.bytes.extend_from_slice(&check.as_bytes()[..4]);
    }
}

/// Digests what passes, compares it with what is known, and records what is new.
#[derive(Debug)]
pub(super) struct Digests {
    path: PathBuf,
    // None: nothing is recorded.
    table: Option<File>,
    block_bytes: u64,
    known: Known,
    hasher: Hasher,
    at: u64,
    // Where the last bytes that passed begin.
    last: u64,
    unsynced: u64,
    difference: Option<Difference>,
    // What has passed before it was known which run it is for.
    early: Option<Vec<u8>>,
    // What is new, and whether the end was seen, as long as it is not proven that this is the source
    // that the run has read: a refused one leaves no trace.
    unproven: Option<(Vec<Slots>, bool)>,
}

impl Digests {
    /// Nothing has passed; what is known is that of the table in `run_dir`.
    pub(super) fn open(run_dir: &Path, block_bytes: u64) -> io::Result<Self> {
        let path = run_dir.join(FILE);
        let known = Known::read(run_dir, block_bytes)?.unwrap_or_default();
        let mut options = OpenOptions::new();
        let table = options.create(true).truncate(false).write(true).open(&path)?;
        let mut digests = Self::comparing(known, block_bytes);
        digests.path = path;
        digests.table = Some(table);
        digests.early = Some(Vec::new());
        Ok(digests)
    }

    /// Only compares.
    pub(super) fn comparing(known: Known, block_bytes: u64) -> Self {
        Self {
            path: PathBuf::new(),
            table: None,
            block_bytes,
            known,
            hasher: Hasher::new(),
            at: 0,
            last: 0,
            unsynced: 0,
            difference: None,
            early: None,
            unproven: None,
        }
    }

    /// It is for this run: what is known of another one does not count. Nothing is recorded before
    /// [`Digests::proven`].
    pub(super) fn begin(&mut self, run: RunId, looks: Looks) -> io::Result<()> {
        let Some(early) = self.early.take() else { return Ok(()) };
        if self.known.run != run {
            self.known = Known { run, looks, ..Known::default() };
            if let Some(table) = &self.table {
                table.set_len(0).map_err(|error| self.named(&error))?;
                self.write(&head_of(&self.known), 0)?;
                table.sync_data().map_err(|error| self.named(&error))?;
            }
        }
        self.unproven = Some((Vec::new(), false));
        self.pass(&early)
    }

    /// What is known is what the source holds: what has passed beyond that is recorded.
    pub(super) fn proven(&mut self) -> io::Result<()> {
        let Some((new, ended)) = self.unproven.take() else { return Ok(()) };
        for slots in new {
            self.record(slots)?;
        }
        if ended { self.end() } else { Ok(()) }
    }

    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    /// How many bytes have passed.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Where those that passed last begin.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// In what way that which has passed differs, if it does.
    pub(super) fn difference(&self) -> Option<Difference> {
        self.difference.clone()
    }

    /// More bytes of the source, about to be given away.
    ///
    /// # Errors
    /// When they differ from what is known; the difference is kept.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if let Some(early) = &mut self.early {
            early.extend_from_slice(bytes);
            return Ok(());
        }
        self.last = self.at;
        let mut new = Slots::default();
        while !bytes.is_empty() {
            let (block, within) = self.place();
            let known = self.known_length(block);
            let stop = if within < known { known } else { self.block_bytes };
            let count = bytes.len().min(usize::try_from(stop - within).unwrap_or(usize::MAX));
            self.hasher.update(&bytes[..count]);
            bytes = &bytes[count..];
            self.at += count as u64;
            let within = within + count as u64;
            if within == known {
                self.compare(block)?;
            } else if within == self.block_bytes {
                new.push(block, within, &self.hasher.finalize());
            }
            if within == self.block_bytes {
                self.hasher.reset();
            }
        }
        let (block, within) = self.place();
        if within > self.known_length(block) {
            new.push(block, within, &self.hasher.finalize());
        }
        self.record(new)
    }

    /// The block in which the next byte lies, and how many of its bytes have passed.
    fn place(&self) -> (u64, u64) {
        (self.at / self.block_bytes, self.at % self.block_bytes)
    }

    /// How many bytes of a block are known.
    fn known_length(&self, block: u64) -> u64 {
        let slot = usize::try_from(block).ok().and_then(|block| self.known.slots.get(block));
        slot.map_or(0, |(length, _)| u64::from(*length))
    }

    fn compare(&mut self, block: u64) -> io::Result<()> {
        let block = usize::try_from(block).unwrap_or(usize::MAX);
        match self.known.slots.get(block) {
            Some((_, known)) if *known != self.hasher.finalize() => {
                Err(self.differs(self.known.span(block, self.block_bytes)))
            }
            _ => Ok(()),
        }
    }

    fn differs(&mut self, how: Difference) -> io::Error {
        let error = io::Error::other(how.clone());
        self.difference = Some(how);
        error
    }

    /// Nothing follows.
    ///
    /// # Errors
    /// When more was known.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if self.early.is_some() {
            return Ok(());
        }
        let before = self.known.end.unwrap_or_default().max(self.known.bytes());
        if self.at < before {
            return Err(self.differs(Difference::Shorter { bytes: before - self.at }));
        }
        if self.known.end.is_some_and(|end| end < self.at) {
            return Err(self.differs(Difference::Grown { bytes: self.at - before }));
        }
        if let Some((_, ended)) = &mut self.unproven {
            *ended = true;
        } else if self.known.end.is_none() {
            self.known.end = Some(self.at);
            self.write(&head_of(&self.known), 0)?;
            self.sync()?;
        }
        Ok(())
    }

    fn record(&mut self, new: Slots) -> io::Result<()> {
        let Some(first) = new.first else { return Ok(()) };
        if let Some((unproven, _)) = &mut self.unproven {
            unproven.push(new);
            return Ok(());
        }
        self.write(&new.bytes, HEAD_BYTES + first * SLOT_BYTES as u64)?;
        self.unsynced += self.at - self.last;
        if self.unsynced >= SYNC_BYTES { self.sync() } else { Ok(()) }
    }

    fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let Some(table) = &self.table else { return Ok(()) };
        table.write_all_at(bytes, at).map_err(|error| self.named(&error))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.unsynced = 0;
        let Some(table) = &self.table else { return Ok(()) };
        table.sync_data().map_err(|error| self.named(&error))
    }

    fn named(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("writing {}: {error}", self.path.display()))
    }
}
