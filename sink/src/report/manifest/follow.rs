//! Sums an output up while it is written, so that nobody has to read it again at the end.
//!
//! Owns a thread and the blocks on their way to it; refuses to write the output. What it has
//! summed up is what was handed to the system: a file that somebody changes behind the sink's back
//! differs from it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Seek, Write},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    thread::{self, JoinHandle},
};

use memchr::memchr_iter;
use sha2::{Digest, Sha256};

use super::records::{NO_UNIT, UnitOf, hex};

/// A smaller piece waits for the next one: it is not worth waking a thread.
const BLOCK_BYTES: usize = 64 << 10;
/// Blocks on their way. Whoever writes waits for the oldest, should they be more.
const BLOCKS_MAX: usize = 4;

/// What was written, summed up. The sums of its lines are in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Bytes.
    pub bytes: u64,
    /// Lines.
    pub lines: u64,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
}

/// Goes along with an output from its first byte.
pub struct Follower {
    blocks: SyncSender<Vec<u8>>,
    // Memory of blocks that have been summed up.
    empty: Receiver<Vec<u8>>,
    gathered: Vec<u8>,
    thread: JoinHandle<io::Result<Followed>>,
}

impl Follower {
    /// Begins with an output of which nothing is written yet; the sums of its lines go to `sums`.
    ///
    /// # Errors
    /// When the file can't be made, or no thread.
    pub(super) fn start(sums: &Path, unit_of: UnitOf) -> io::Result<Self> {
        let (blocks, received) = sync_channel(BLOCKS_MAX);
        let (emptied, empty) = channel();
        let sums = LineSums::create(sums, unit_of)?;
        let thread = thread::Builder::new()
            .name("digest".into())
            .spawn(move || follow(&received, &emptied, sums))?;
        Ok(Self { blocks, empty, gathered: Vec::new(), thread })
    }

    /// Takes the whole lines in `block`, and leaves it empty. Whether it is still of use: if
    /// not, the output has to be read at the end.
    pub fn take(&mut self, block: &mut Vec<u8>) -> bool {
        if self.gathered.is_empty() && block.len() >= BLOCK_BYTES {
            std::mem::swap(&mut self.gathered, block);
        } else {
            self.gathered.extend_from_slice(block);
        }
        block.clear();
        if self.gathered.len() < BLOCK_BYTES {
            return true;
        }
        let next = self.empty.try_recv().unwrap_or_default();
        self.blocks.send(std::mem::replace(&mut self.gathered, next)).is_ok()
    }

    /// What all of it adds up to; none if that failed on the way.
    pub fn finish(self) -> Option<Followed> {
        let Self { blocks, gathered, thread, .. } = self;
        blocks.send(gathered).ok()?;
        drop(blocks);
        thread.join().ok()?.ok()
    }
}

fn follow(
    blocks: &Receiver<Vec<u8>>,
    emptied: &Sender<Vec<u8>>,
    mut sums: LineSums,
) -> io::Result<Followed> {
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    for mut block in blocks {
        hasher.update(&block);
        bytes += block.len() as u64;
        sums.add(&block)?;
        block.clear();
        // Nobody may want it any more.
        let _ = emptied.send(block);
    }
    Ok(Followed { bytes, lines: sums.finish()?, sha256: hex(hasher) })
}

/// The file of sums while it grows; units are kept apart until their number is known.
struct LineSums {
    sums: BufWriter<File>,
    units: Option<(BufWriter<File>, PathBuf)>,
    unit_of: UnitOf,
    lines: u64,
}

impl LineSums {
    fn create(path: &Path, unit_of: UnitOf) -> io::Result<Self> {
        let create = |path: &Path| {
            let mut options = OpenOptions::new();
            options.create(true).truncate(true).read(true).write(true).open(path)
        };
        let aside = path.with_extension("units");
        let units = match unit_of.is_named() {
            true => Some((BufWriter::new(create(&aside)?), aside)),
            false => None,
        };
        Ok(Self { sums: BufWriter::new(create(path)?), units, unit_of, lines: 0 })
    }

    fn add(&mut self, block: &[u8]) -> io::Result<()> {
        let mut start = 0;
        for end in memchr_iter(b'\n', block).map(|end| end + 1) {
            let line = &block[start..end];
            self.sums.write_all(&crc32fast::hash(line).to_le_bytes())?;
            if let Some((units, _)) = &mut self.units {
                let unit = self.unit_of.read(line).unwrap_or(NO_UNIT);
                units.write_all(&unit.to_le_bytes())?;
            }
            self.lines += 1;
            start = end;
        }
        // Outputs hand over whole lines.
        if start == block.len() { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// How many lines there were.
    fn finish(mut self) -> io::Result<u64> {
        if let Some((units, path)) = self.units {
            let mut units = units.into_inner().map_err(io::IntoInnerError::into_error)?;
            units.rewind()?;
            io::copy(&mut units, &mut self.sums)?;
            fs::remove_file(path)?;
        }
        self.sums.flush()?;
        Ok(self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::records, *};

    /// What a follower says of a text that comes in pieces of so many lines.
    fn followed(folder: &Path, text: &str, lines: usize, unit_of: UnitOf) -> Option<Followed> {
        let mut follower = Follower::start(&folder.join("sums"), unit_of).unwrap();
        let all: Vec<&str> = text.split_inclusive('\n').collect();
        let useful = all.chunks(lines).all(|piece| {
            let mut block = piece.concat().into_bytes();
            let useful = follower.take(&mut block);
            assert!(block.is_empty());
            useful
        });
        follower.finish().filter(|_| useful)
    }

    #[test]
    fn what_is_followed_is_what_is_read_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let (path, sums) = (folder.path().join("out"), folder.path().join("sums"));
        let line = |id: u64| format!("{{\"id\":{id},\"value\":\"{}\"}}\n", "x".repeat(id as usize));
        let text: String = (0..1_000).map(line).collect();
        fs::write(&path, &text).unwrap();
        for unit_of in [UnitOf::Unknown, UnitOf::Object] {
            let read = records::read(&path, unit_of).unwrap();
            for lines in [1, 7, 300, 1_000] {
                let followed = followed(folder.path(), &text, lines, unit_of).unwrap();
                assert_eq!((followed.bytes, &followed.sha256), (read.bytes, &read.sha256));
                assert_eq!(records::Sums::read(&sums, followed.lines), Some(read.sums.clone()));
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left over");
    }

    #[test]
    fn half_a_line_is_nothing_to_go_by() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(followed(folder.path(), "1\n2", 1, UnitOf::Unknown), None);
        let empty = followed(folder.path(), "", 1, UnitOf::Unknown).unwrap();
        assert_eq!((empty.bytes, empty.lines), (0, 0));
    }
}
