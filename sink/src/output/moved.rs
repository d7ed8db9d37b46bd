//! Moves parts of an output to where they belong.
//!
//! Owns what the moved file holds, and which byte of it is which of the old one; the old one stays as
//! it is, and the new one is a draft beside it. Refuses to decide when the draft takes its name.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::{claim::Claim, error::OutputError};
use crate::ledger::again::Move;

const BUFFER_BYTES: usize = 256 << 10;

/// The parts of an output that are moved, and how.
pub struct Moves {
    /// By the place where they belong; with each the bytes of those before it.
    by_place: Vec<(u64, Move)>,
    /// Where they were, in the order of the file; the same.
    gaps: Vec<(u64, Range<u64>)>,
}

impl Moves {
    /// Those of a file whose rows begin behind `header_bytes`.
    pub fn new(mut moves: Vec<Move>, header_bytes: u64) -> Self {
        for part in &mut moves {
            part.place = part.place.max(header_bytes);
        }
        moves.sort_by_key(|part| (part.place, part.unit));
        let mut gaps: Vec<_> = moves.iter().map(|part| part.from..part.to).collect();
        gaps.sort_by_key(|gap| gap.start);
        Self {
            by_place: with_sums(moves, |part| part.to - part.from),
            gaps: with_sums(gaps, |gap| gap.end - gap.start),
        }
    }

    /// How many bytes of the moved file stand before the place of a unit that had `place` before it.
    pub fn moved_place(&self, unit: u64, place: u64) -> u64 {
        let below = self.gaps.partition_point(|(_, gap)| gap.end <= place);
        let left = below.checked_sub(1).and_then(|last| self.gaps.get(last));
        let left = left.map_or(0, |(sum, gap)| sum + gap.end - gap.start);
        let before =
            self.by_place.partition_point(|(_, part)| (part.place, part.unit) < (place, unit));
        let come = before.checked_sub(1).and_then(|last| self.by_place.get(last));
        let come = come.map_or(0, |(sum, part)| sum + part.to - part.from);
        (place + come).saturating_sub(left)
    }

    /// Writes the moved form of `file` behind each other.
    fn write(&self, file: &File, to: &mut impl Write) -> io::Result<()> {
        let mut at = 0;
        for (_, part) in &self.by_place {
            self.copy_staying(file, at..part.place, to)?;
            copy(file, part.from..part.to, to)?;
            at = part.place;
        }
        let end = file.metadata()?.len();
        self.copy_staying(file, at..end, to)
    }

    /// Copies what is not moved of a range.
    fn copy_staying(&self, file: &File, range: Range<u64>, to: &mut impl Write) -> io::Result<()> {
        let mut at = range.start;
        let first = self.gaps.partition_point(|(_, gap)| gap.start < range.start);
        let gaps = self.gaps.iter().skip(first).map(|(_, gap)| gap);
        for gap in gaps.take_while(|gap| gap.start < range.end) {
            copy(file, at..gap.start, to)?;
            at = gap.end;
        }
        copy(file, at..range.end, to)
    }
}

fn with_sums<T>(parts: Vec<T>, bytes: impl Fn(&T) -> u64) -> Vec<(u64, T)> {
    let mut sum = 0;
    let with_sum = |part: T| {
        let before = sum;
        sum += bytes(&part);
        (before, part)
    };
    parts.into_iter().map(with_sum).collect()
}

fn copy(file: &File, range: Range<u64>, to: &mut impl Write) -> io::Result<()> {
    let bytes = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
    let mut buffer = vec![0; BUFFER_BYTES.min(bytes)];
    let mut at = range.start;
    while at < range.end {
        let rest = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        let len = buffer.len().min(rest);
        let part = buffer.get_mut(..len).unwrap_or_default();
        file.read_exact_at(part, at)?;
        to.write_all(part)?;
        at += len as u64;
    }
    Ok(())
}

/// Writes the moved form of the output at `path` beside it, and makes it safe; where it is, and where
/// it belongs.
///
/// # Errors
/// [`OutputError`] when one can't be read or written; no draft stays then.
pub fn draft(path: &Path, moves: &Moves, claim: &Claim) -> Result<(PathBuf, PathBuf), OutputError> {
    // A link stays one.
    let place =
        fs::canonicalize(path).map_err(|source| OutputError::Open { path: path.into(), source })?;
    let draft = draft_of(&place);
    claim.look(&draft, b"")?;
    let drawn = draw(&place, &draft, moves, claim);
    if let Err(source) = drawn {
        // What matters is the first error.
        let _ = fs::remove_file(&draft);
        return Err(OutputError::Write { path: draft, source });
    }
    Ok((draft, place))
}

fn draw(place: &Path, draft: &Path, moves: &Moves, claim: &Claim) -> io::Result<()> {
    let old = File::open(place)?;
    let new = File::create(draft)?;
    claim.note(&new.metadata()?)?;
    new.set_permissions(old.metadata()?.permissions())?;
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, &new);
    moves.write(&old, &mut writer)?;
    writer.flush()?;
    drop(writer);
    new.sync_all()
}

/// Hidden, so that no pattern of a source takes it for a file of the user's.
fn draft_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.in-place"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The moved form of a text.
    fn moved(text: &str, header_bytes: u64, moves: &[(u64, u64, u64, u64)]) -> (String, Moves) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, text).unwrap();
        let part = |(unit, from, to, place): &(u64, u64, u64, u64)| Move {
            unit: *unit,
            from: *from,
            to: *to,
            place: *place,
        };
        let moves = Moves::new(moves.iter().map(part).collect(), header_bytes);
        let mut to = Vec::new();
        moves.write(&File::open(&path).unwrap(), &mut to).unwrap();
        (String::from_utf8(to).unwrap(), moves)
    }

    #[test]
    fn parts_come_to_their_places_in_the_order_of_their_units() {
        let parts = [(5, 3, 4, 2), (2, 4, 5, 1), (4, 5, 7, 2), (9, 7, 8, 3)];
        let (text, _) = moved("acg", 0, &[]);
        assert_eq!(text, "acg");
        let (text, moves) = moved("acgfbdei", 0, &parts);
        assert_eq!(text, "abcdefgi");
        // A unit between them that has no result is found where it was.
        assert_eq!(moves.moved_place(3, 2), 3);
        assert_eq!(moves.moved_place(8, 3), 7);
        assert_eq!(moves.moved_place(0, 0), 0);
    }

    #[test]
    fn what_was_written_between_them_stays_behind() {
        let (text, moves) = moved("acXbYd", 0, &[(2, 3, 4, 1), (4, 5, 6, 2)]);
        assert_eq!(text, "abcdXY");
        // The place of a unit that failed when `Y` had been written.
        assert_eq!(moves.moved_place(9, 5), 6);
    }

    #[test]
    fn nothing_comes_before_a_header() {
        let (text, _) = moved("h\nca", 2, &[(0, 3, 4, 0)]);
        assert_eq!(text, "h\nac");
    }
}
