//! The files that a pattern matches, in the order of their paths.
//!
//! Owns the walk through the folders and what it leaves out; refuses to follow links from folder
//! to folder under `**`, where they could lead round in circles. Each path comes once: the parts of
//! a pattern that may match next are kept as a set.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, FileType},
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use super::{
    SourceError,
    left_out::{LeftOut, Reason},
    own::Own,
    paths::Paths,
    pattern::{Part, Pattern, characters},
};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub paths: Paths,
    pub left_out: LeftOut,
}

/// Looks a pattern up, below `folder` if it is not absolute; what is the run's own is no input.
///
/// # Errors
/// [`SourceError::Io`] when a folder can't be read.
pub(super) fn find(pattern: &Pattern, folder: &Path, own: &Own) -> Result<Found, SourceError> {
    let start = if pattern.absolute { Path::new("/") } else { folder };
    let mut walk = Walk { parts: &pattern.parts, own, found: Found::default() };
    walk.folder(start, &walk.reached(vec![0]))?;
    Ok(walk.found)
}

struct Walk<'a> {
    parts: &'a [Part],
    own: &'a Own,
    found: Found,
}

/// The names in a folder, in one piece of memory: there may be a million.
#[derive(Default)]
struct Listing {
    names: Vec<u8>,
    entries: Vec<(usize, usize, Option<FileType>)>,
}

impl Listing {
    /// None where there is no such folder, or none that may be looked into by its kind.
    fn of(folder: &Path) -> io::Result<Option<Self>> {
        let shown = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let read = match fs::read_dir(shown) {
            Err(error) if is_nothing(&error) => return Ok(None),
            read => read?,
        };
        let mut listing = Self::default();
        for entry in read {
            let entry = entry?;
            let start = listing.names.len();
            listing.names.extend_from_slice(entry.file_name().as_bytes());
            listing.entries.push((start, listing.names.len(), entry.file_type().ok()));
        }
        let names = &listing.names;
        listing.entries.sort_unstable_by(|a, b| names[a.0..a.1].cmp(&names[b.0..b.1]));
        Ok(Some(listing))
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl Walk<'_> {
    /// The places in the pattern that are reached with these: `**` may stand for nothing.
    fn reached(&self, mut places: Vec<usize>) -> Vec<usize> {
        for at in places.clone() {
            if self.parts.get(at) == Some(&Part::Below) {
                places.push(at + 1);
            }
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    /// The places that are reached by going into `name`.
    fn after(&self, places: &[usize], name: &OsStr) -> Vec<usize> {
        let characters = characters(name);
        let next = places.iter().filter_map(|at| match self.parts.get(*at) {
            Some(Part::Below) => Some(*at),
            Some(part) if part.matches(name, &characters) => Some(at + 1),
            _ => None,
        });
        self.reached(next.collect())
    }

    fn folder(&mut self, folder: &Path, places: &[usize]) -> Result<(), SourceError> {
        if let [at] = places
            && let Some(Part::Name(name)) = self.parts.get(*at)
        {
            // Nothing to choose from: the folder need not be readable.
            return self.entry(folder, name, None, places);
        }
        let failed = |source| SourceError::Io { path: folder.into(), source };
        let Some(listing) = Listing::of(folder).map_err(failed)? else { return Ok(()) };
        for (start, end, kind) in &listing.entries {
            let name = OsStr::from_bytes(&listing.names[*start..*end]);
            self.entry(folder, name, *kind, places)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        folder: &Path,
        name: &OsStr,
        kind: Option<FileType>,
        places: &[usize],
    ) -> Result<(), SourceError> {
        let mut next = self.after(places, name);
        if next.is_empty() {
            return Ok(());
        }
        let linked = kind.is_some_and(|kind| kind.is_symlink());
        let path = join(folder, name);
        let kind = match kind.filter(|_| !linked) {
            Some(kind) => Some(kind),
            None => kind_of(&path)?,
        };
        let end = self.parts.len();
        let is_match = next.pop_if(|last| *last == end).is_some();
        match kind {
            Some(kind) if kind.is_dir() && linked => self.linked_folder(&path, places, name),
            Some(kind) if kind.is_dir() => self.below(&path, &next),
            Some(kind) if is_match => {
                self.file(folder, name, &path, kind);
                Ok(())
            }
            None if is_match && fs::symlink_metadata(&path).is_ok() => {
                self.found.left_out.note(&path, Reason::DanglingLink);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn below(&mut self, path: &Path, places: &[usize]) -> Result<(), SourceError> {
        if places.is_empty() || self.own.holds(path) {
            return Ok(());
        }
        self.folder(path, places)
    }

    /// A link to a folder is gone into by a part of the pattern that names or matches it, and not
    /// by a `**` that would take any.
    fn linked_folder(
        &mut self,
        path: &Path,
        places: &[usize],
        name: &OsStr,
    ) -> Result<(), SourceError> {
        let is_below = |at: &usize| self.parts.get(*at) == Some(&Part::Below);
        let chosen: Vec<usize> = places.iter().copied().filter(|at| !is_below(at)).collect();
        if chosen.len() < places.len() {
            self.found.left_out.note(path, Reason::LinkedFolder);
        }
        let mut next = self.after(&chosen, name);
        next.retain(|at| *at < self.parts.len());
        self.below(path, &next)
    }

    fn file(&mut self, folder: &Path, name: &OsStr, path: &Path, kind: FileType) {
        if self.own.is(folder, name) {
            self.found.left_out.note(path, Reason::Own);
        } else if kind.is_file() {
            self.found.paths.push(folder, name);
        } else {
            self.found.left_out.note(path, Reason::NoFile);
        }
    }
}

/// What is at a path, or at the end of the link there; nothing where that leads nowhere.
fn kind_of(path: &Path) -> Result<Option<FileType>, SourceError> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta.file_type())),
        Err(error) if is_nothing(&error) || path.is_symlink() => Ok(None),
        Err(source) => Err(SourceError::Io { path: path.into(), source }),
    }
}

/// As [`Path::join`], for a folder that may be the current one by no name.
pub(super) fn join(folder: &Path, name: &OsStr) -> PathBuf {
    let mut bytes = folder.as_os_str().as_bytes().to_vec();
    if !bytes.is_empty() && !bytes.ends_with(b"/") {
        bytes.push(b'/');
    }
    bytes.extend_from_slice(name.as_bytes());
    PathBuf::from(OsString::from_vec(bytes))
}
