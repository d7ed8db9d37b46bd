//! What is taken of a stream, so that a kill at any moment loses nothing and doubles nothing.
//!
//! Owns the copy in the run directory and the record of where the stream stands. A process that
//! takes the place of a killed one assumes nothing of the stream but what that record and the lengths
//! of files say: bytes leave the stream only into a file, and which file that is, for which stream
//! and from which byte on, was recorded before. A stream that is given again is taken into a small
//! file beside the copy and compared with it, piece by piece.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::feed::{Feed, Kind};

/// The copy's name in the run directory.
pub const FILE: &str = "stdin";
/// Present once the stream has ended.
const ENDED_FILE: &str = "stdin.ended";
/// Which stream is read, and what for.
const STANDING_FILE: &str = "stdin.stream";
/// What was taken of a stream that is given again begins with this name.
const AGAIN_FILE: &str = "stdin.again";

const PIECE_BYTES: usize = 256 << 10;

/// The format of the record of the stream.
const FORMAT: u32 = 1;

/// Which stream is read, and where it stands. Replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// [`FORMAT`]. Before formats were numbered there was none, and the rest the same.
    #[serde(default = "first_format")]
    format: u32,
    /// By what it is known again.
    stream: Option<String>,
    /// Device and inode of a regular file.
    file: Option<(u64, u64)>,
    /// The byte of a regular file at which it begins.
    start: u64,
    phase: Phase,
}

fn first_format() -> u32 {
    FORMAT
}

impl Progress {
    /// The record in a run directory; none if there is none, or only what a loss of power left of one.
    fn read(folder: &Path) -> io::Result<Option<Self>> {
        /// All that other formats have in common with this one.
        #[derive(Deserialize)]
        struct Numbered {
            #[serde(default = "first_format")]
            format: u32,
        }
        let json = match fs::read(folder.join(STANDING_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            json => json?,
        };
        // It is not synced, so a loss of power may leave the beginning of it, and zeros behind.
        let written = json.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let json = json.get(..written).unwrap_or_default();
        if json.is_empty() {
            return Ok(None);
        }
        match serde_json::from_slice(json) {
            Err(error) if error.is_eof() && json.starts_with(b"{\"") => return Ok(None),
            Ok(Numbered { format: FORMAT }) => {}
            Ok(Numbered { format }) => {
                return Err(io::Error::other(format!(
                    "{STANDING_FILE} is in format {format}, and this version reads format {FORMAT}: go on with the version that began the run, or start over with --fresh"
                )));
            }
            Err(_) => return Err(no_record()),
        }
        serde_json::from_slice(json).map(Some).map_err(|_| no_record())
    }
}

fn no_record() -> io::Error {
    io::Error::other(format!(
        "{STANDING_FILE} is no record of a stream: put back what was there, or start over with --fresh"
    ))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// It stands where the copy ends.
    Copying,
    /// It is given again: its bytes before `base` are those of the copy, those behind it are in the
    /// file named after it.
    Comparing { base: u64 },
}

/// What whoever waits for the copy has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// The copy has so many bytes now.
    Copied(u64),
    /// Who has begun to give it again will also end it.
    Comparing,
    /// All was given again; whoever holds the other end may never close it.
    NothingMore,
}

/// How it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The copy is all.
    Whole,
    /// The copy ends in the middle of a line, and nobody gives the rest.
    Cut(String),
}

/// Copies a stream.
#[derive(Debug)]
pub(super) struct Copier {
    folder: PathBuf,
    feed: Feed,
    copy: File,
    bytes: u64,
    ended: bool,
    standing: Progress,
}

impl Copier {
    /// Finds out where the stream stands; of one that is not known it's recorded that it begins.
    pub(super) fn open(folder: &Path, feed: Feed) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let copy = options.create(true).truncate(false).write(true).open(folder.join(FILE))?;
        let bytes = copy.metadata()?.len();
        let ended = folder.join(ENDED_FILE).exists();
        let known = Progress::read(folder)?;
        let (standing, is_new) = match known {
            Some(known)
                if feed.identity().is_some() && known.stream.as_deref() == feed.identity() =>
            {
                (known, false)
            }
            known => {
                let fresh = bytes == 0 && !ended;
                let phase = if fresh { Phase::Copying } else { Phase::Comparing { base: 0 } };
                (new_standing(&feed, known.as_ref(), phase)?, true)
            }
        };
        let copier = Self { folder: folder.into(), feed, copy, bytes, ended, standing };
        match is_new {
            true => copier.begin()?,
            false => copier.refuse_what_a_kill_may_have_lost()?,
        }
        Ok(copier)
    }

    /// How many bytes are copied.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the copy is complete.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether somebody has begun to give again what was copied.
    pub(super) fn is_comparing(&self) -> bool {
        let Phase::Comparing { base } = self.standing.phase else { return false };
        let taken = || fs::metadata(self.again(base)).is_ok_and(|data| data.len() > 0);
        !self.is_done() && (base > 0 || taken() || self.feed.offers())
    }

    /// Whether nothing is to be taken: the copy is complete, and is of this stream, or nobody gives
    /// anything.
    pub(super) fn is_done(&self) -> bool {
        self.ended && (self.standing.phase == Phase::Copying || self.feed.is_terminal())
    }

    /// Takes the stream to its end.
    pub(super) fn run(&mut self, tell: impl Fn(News)) -> io::Result<End> {
        if let Phase::Comparing { base } = self.standing.phase {
            let given = self.compare(base, &tell)?;
            if !self.ended && given == Given::Nothing {
                return self.end_alone();
            }
        }
        while !self.ended {
            let at = self.standing.start + self.bytes;
            let took = self.feed.take(at, &self.copy, self.bytes, PIECE_BYTES);
            let count = took.map_err(|error| self.named(&error))?;
            moment()?;
            if count == 0 {
                self.end()?;
            } else {
                self.copy.sync_data()?;
                self.bytes += count as u64;
                tell(News::Copied(self.bytes));
            }
        }
        Ok(End::Whole)
    }

    /// A new stream: it stands at its beginning. Recorded before a byte of it is taken.
    fn begin(&self) -> io::Result<()> {
        if let Phase::Comparing { base } = self.standing.phase {
            moment()?;
            File::create(self.again(base))?;
        }
        self.record()?;
        self.tidy()
    }

    /// What was taken of streams that were given before is of no use any more.
    fn tidy(&self) -> io::Result<()> {
        let kept = match self.standing.phase {
            Phase::Comparing { base } => Some(self.again(base)),
            Phase::Copying => None,
        };
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let is_again = entry.file_name().to_string_lossy().starts_with(AGAIN_FILE);
            if is_again && Some(entry.path()) != kept {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Bytes of a socket or a device that were read and not written are nowhere.
    fn refuse_what_a_kill_may_have_lost(&self) -> io::Result<()> {
        if self.feed.kind() == Kind::Other && !self.ended {
            return Err(io::Error::other(
                "how far a socket or a device was read before is not known; give the input again from its beginning, or start over with --fresh",
            ));
        }
        Ok(())
    }

    fn again(&self, base: u64) -> PathBuf {
        self.folder.join(format!("{AGAIN_FILE}-{base}"))
    }

    fn record(&self) -> io::Result<()> {
        moment()?;
        let draft = self.folder.join(STANDING_FILE).with_extension("new");
        fs::write(&draft, serde_json::to_vec(&self.standing)?)?;
        moment()?;
        fs::rename(&draft, self.folder.join(STANDING_FILE))
    }

    fn enter(&mut self, phase: Phase) -> io::Result<()> {
        let before = std::mem::replace(&mut self.standing.phase, phase);
        if let Phase::Comparing { base } = phase {
            moment()?;
            File::create(self.again(base))?;
        }
        self.record()?;
        moment()?;
        match before {
            Phase::Comparing { base } => fs::remove_file(self.again(base)),
            Phase::Copying => Ok(()),
        }
    }

    /// The stream is given again: it has to begin with what was copied.
    fn compare(&mut self, mut base: u64, tell: &impl Fn(News)) -> io::Result<Given> {
        loop {
            let again = self.again(base);
            let mut options = OpenOptions::new();
            let again = options.create(true).truncate(false).read(true).write(true).open(again)?;
            match self.compare_piece(base, &again, tell)? {
                Piece::Full(count) => {
                    base += count;
                    self.enter(Phase::Comparing { base })?;
                }
                Piece::Last(given) => return Ok(given),
            }
        }
    }

    /// Takes a piece of what is given again and compares it.
    fn compare_piece(
        &mut self,
        base: u64,
        again: &File,
        tell: &impl Fn(News),
    ) -> io::Result<Piece> {
        let (mut compared, mut taken) = (0, again.metadata()?.len());
        loop {
            self.compare_bytes(base, again, compared, taken)?;
            compared = taken;
            let at = base + taken;
            if at > self.bytes {
                return Err(self.differs(self.bytes, "goes on"));
            }
            if at == self.bytes && !self.ended {
                self.enter(Phase::Copying)?;
                return Ok(Piece::Last(Given::All));
            }
            let room = PIECE_BYTES as u64 - taken;
            if room == 0 {
                return Ok(Piece::Full(taken));
            }
            if at == self.bytes && !self.feed.offers() {
                tell(News::NothingMore);
            }
            // One byte more shows that it goes on.
            let most = room.min(self.bytes + u64::from(self.ended) - at);
            let most = usize::try_from(most).unwrap_or(PIECE_BYTES);
            let took = self.feed.take(self.standing.start + at, again, taken, most);
            let count = took.map_err(|error| self.named(&error))?;
            moment()?;
            match count {
                0 if at == 0 && self.bytes > 0 => return Ok(Piece::Last(Given::Nothing)),
                0 if at < self.bytes => return Err(self.differs(at, "ends")),
                0 => {
                    self.enter(Phase::Copying)?;
                    return Ok(Piece::Last(Given::All));
                }
                count => taken += count as u64,
            }
            tell(News::Comparing);
        }
    }

    /// What was taken has to be what was copied, as far as that goes.
    fn compare_bytes(&self, base: u64, again: &File, from: u64, to: u64) -> io::Result<()> {
        let to = to.min(self.bytes.saturating_sub(base));
        let count = usize::try_from(to.saturating_sub(from)).unwrap_or(PIECE_BYTES);
        let (mut offered, mut copied) = (vec![0; count], vec![0; count]);
        again.read_exact_at(&mut offered, from)?;
        File::open(self.folder.join(FILE))?.read_exact_at(&mut copied, base + from)?;
        match offered.iter().zip(&copied).position(|(offered, copied)| offered != copied) {
            Some(place) => Err(self.differs(base + from + place as u64, "differs")),
            None => Ok(()),
        }
    }

    fn differs(&self, at: u64, how: &str) -> io::Error {
        let line = self.line_at(at).unwrap_or_default();
        io::Error::other(format!(
            "it {how} at byte {at} (line {line}), unlike what this run was begun with; give the same input again, none, or start over with --fresh"
        ))
    }

    /// The line of the copy in which a byte lies.
    fn line_at(&self, at: u64) -> io::Result<u64> {
        let mut copied = BufReader::new(File::open(self.folder.join(FILE))?.take(at));
        let mut line = 1;
        loop {
            let bytes = copied.fill_buf()?;
            let count = bytes.len();
            if count == 0 {
                return Ok(line);
            }
            line += memchr::memchr_iter(b'\n', bytes).count() as u64;
            copied.consume(count);
        }
    }

    /// Nobody gives anything: the run goes on with what it has, unless that is half a line.
    fn end_alone(&mut self) -> io::Result<End> {
        let mut last = [0];
        let copied = File::open(self.folder.join(FILE))?;
        copied.read_exact_at(&mut last, self.bytes.saturating_sub(1))?;
        if last != *b"\n" {
            let (bytes, line) = (self.bytes, self.line_at(self.bytes)?);
            return Ok(End::Cut(format!(
                "it is empty now, and what was copied of the first one ends at byte {bytes}, in the middle of line {line}; give the same input again, or start over with --fresh"
            )));
        }
        tracing::warn!(
            bytes = self.bytes,
            "standard input is empty; the run goes on with what was copied of the first one, as if that were all"
        );
        self.end()?;
        Ok(End::Whole)
    }

    fn end(&mut self) -> io::Result<()> {
        moment()?;
        File::create(self.folder.join(ENDED_FILE))?.sync_all()?;
        self.ended = true;
        Ok(())
    }

    /// The system says only that there is no room, and not where.
    fn named(&self, error: &io::Error) -> io::Error {
        let path = self.folder.join(FILE);
        io::Error::new(error.kind(), format!("copying it to {}: {error}", path.display()))
    }
}

/// Whether anything was given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    All,
    Nothing,
}

enum Piece {
    /// So many bytes were compared; more may follow.
    Full(u64),
    /// Nothing is left to compare.
    Last(Given),
}

/// A stream that was not seen before. A file that somebody has read a part of before this run did
/// begins behind that part, also for those who come later and have the same place in it.
fn new_standing(feed: &Feed, known: Option<&Progress>, phase: Phase) -> io::Result<Progress> {
    let (file, offset) = (feed.place()?, feed.offset()?);
    let begun = known.filter(|known| file.is_some() && known.file == file);
    let start = begun.map_or(offset, |known| known.start.min(offset));
    Ok(Progress { format: FORMAT, stream: feed.identity().map(Into::into), file, start, phase })
}

/// A moment at which a kill leaves something else behind than one before it: tests end it here.
#[cfg(not(test))]
fn moment() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
use tests::moment;

#[cfg(test)]
#[path = "copier_tests.rs"]
mod tests;
