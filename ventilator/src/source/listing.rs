//! The names in one folder, in their order, however many they are.
//!
//! Owns the sorting: what does not fit a small piece of memory is sorted piece by piece, put aside
//! and merged. Refuses to look at what the names stand for.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::{self, FileType},
    io,
    ops::Range,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use super::records::{Cursor, Records};

/// Bytes of names that are sorted at once.
const PIECE_BYTES: usize = 512 << 10;
/// Bytes of each piece that are read at once when they are merged.
const STEP_BYTES: usize = 8 << 10;

/// What stands under a name, as far as the folder tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    Other,
    Unknown,
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        match kind {
            kind if kind.is_file() => Self::File,
            kind if kind.is_dir() => Self::Folder,
            kind if kind.is_symlink() => Self::Link,
            _ => Self::Other,
        }
    }
}

impl Kind {
    const ALL: [Self; 5] = [Self::File, Self::Folder, Self::Link, Self::Other, Self::Unknown];

    fn of(tag: u8) -> Self {
        Self::ALL.into_iter().find(|kind| *kind as u8 == tag).unwrap_or(Self::Unknown)
    }
}

/// A name and what stands under it.
pub(super) type Entry = (Vec<u8>, Kind);

/// Names that are sorted at once, in one piece of memory.
#[derive(Debug, Default)]
struct Piece {
    names: Vec<u8>,
    entries: Vec<(u32, u32, Kind)>,
}

impl Piece {
    fn push(&mut self, name: &[u8], kind: Kind) {
        let start = self.names.len() as u32;
        self.names.extend_from_slice(name);
        self.entries.push((start, self.names.len() as u32, kind));
    }

    fn is_full(&self) -> bool {
        self.names.len() >= PIECE_BYTES
    }

    fn sort(&mut self) {
        let name = |entry: &(u32, u32, Kind)| &self.names[entry.0 as usize..entry.1 as usize];
        self.entries.sort_unstable_by(|a, b| name(a).cmp(name(b)));
    }

    fn get(&self, index: usize) -> Option<(&[u8], Kind)> {
        let (start, end, kind) = *self.entries.get(index)?;
        Some((&self.names[start as usize..end as usize], kind))
    }
}

/// What is in a folder, from the first name on.
#[derive(Debug)]
pub(super) struct Listing {
    // All of them, if they are few.
    piece: Piece,
    next: usize,
    aside: Records,
    cursors: Vec<Cursor>,
    // The next name of each piece.
    heads: BinaryHeap<Reverse<(Vec<u8>, Kind, usize)>>,
}

impl Listing {
    /// None where there is no such folder, or none that may be looked into by its kind. Names that
    /// are many are put aside in a file in `spill`.
    pub(super) fn of(folder: &Path, spill: &Path) -> io::Result<Option<Self>> {
        let shown = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let read = match fs::read_dir(shown) {
            Err(error) if is_nothing(&error) => return Ok(None),
            read => read?,
        };
        let (mut piece, mut aside) = (Piece::default(), Records::new(spill));
        let mut ranges = Vec::new();
        for entry in read {
            let entry = entry?;
            let kind = entry.file_type().map_or(Kind::Unknown, Kind::from);
            piece.push(entry.file_name().as_bytes(), kind);
            if piece.is_full() {
                ranges.push(put_aside(&mut piece, &mut aside)?);
            }
        }
        if !ranges.is_empty() {
            ranges.push(put_aside(&mut piece, &mut aside)?);
            piece = Piece::default();
        }
        piece.sort();
        let cursors = ranges.into_iter().map(|range| Cursor::over(range, STEP_BYTES)).collect();
        let mut listing = Self { piece, next: 0, aside, cursors, heads: BinaryHeap::new() };
        for index in 0..listing.cursors.len() {
            listing.draw(index)?;
        }
        Ok(Some(listing))
    }

    /// The next name.
    ///
    /// # Errors
    /// When what was put aside can't be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        if let Some((name, kind)) = self.piece.get(self.next) {
            self.next += 1;
            return Ok(Some((name.to_vec(), kind)));
        }
        let Some(Reverse((name, kind, index))) = self.heads.pop() else { return Ok(None) };
        self.draw(index)?;
        Ok(Some((name, kind)))
    }

    fn draw(&mut self, index: usize) -> io::Result<()> {
        let Some(cursor) = self.cursors.get_mut(index) else { return Ok(()) };
        if let Some((tag, name)) = cursor.next(&self.aside)? {
            self.heads.push(Reverse((name, Kind::of(tag), index)));
        }
        Ok(())
    }
}

/// Sorts a piece and puts it aside; where it lies.
fn put_aside(piece: &mut Piece, aside: &mut Records) -> io::Result<Range<u64>> {
    piece.sort();
    let start = aside.end();
    for (name, kind) in (0..).map_while(|index| piece.get(index)) {
        aside.push(kind as u8, name)?;
    }
    piece.names.clear();
    piece.entries.clear();
    Ok(start..aside.end())
}

/// Whether there is no such folder.
pub(super) fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_were_put_aside_are_merged_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (mut aside, mut piece) = (Records::new(folder.path()), Piece::default());
        let mut cursors = Vec::new();
        for number in 0..30_000_u64 {
            // A number that shares no factor with them visits each once.
            piece.push(format!("{:05}", number * 7_919 % 30_000).as_bytes(), Kind::File);
            if number % 7_000 == 6_999 {
                let range = put_aside(&mut piece, &mut aside).unwrap();
                cursors.push(Cursor::over(range, STEP_BYTES));
            }
        }
        let range = put_aside(&mut piece, &mut aside).unwrap();
        cursors.push(Cursor::over(range, STEP_BYTES));
        let heads = BinaryHeap::new();
        let mut listing = Listing { piece, next: 0, aside, cursors, heads };
        (0..listing.cursors.len()).for_each(|index| listing.draw(index).unwrap());
        for number in 0..30_000 {
            let expected = (format!("{number:05}").into_bytes(), Kind::File);
            assert_eq!(listing.next().unwrap(), Some(expected));
        }
        assert_eq!(listing.next().unwrap(), None);
    }
}
