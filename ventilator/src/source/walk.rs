//! The files that a pattern matches, in the order of their paths.
//!
//! Owns the walk through the folders and what it leaves out; refuses to follow links from folder
//! to folder under `**`, where they could lead round in circles. Each path comes once: the parts of
//! a pattern that may match next are kept as a set.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use super::{
    SourceError,
    left_out::{LeftOut, Reason},
    listing::{Kind, Listing, is_nothing},
    own::Own,
    pattern::{Part, Pattern, characters},
};

/// Where a pattern is looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    /// Where it begins, unless it is absolute.
    pub folder: &'a Path,
    /// The run's own, which is no input.
    pub own: &'a Own,
    /// Where lists are put that are too long for the memory.
    pub spill: &'a Path,
}

/// Looks a pattern up, and gives each file away, as the folder and the name in it; what was left
/// out.
///
/// # Errors
/// [`SourceError::Io`] when a folder can't be read, or a file can't be taken.
pub(super) fn find(
    pattern: &Pattern,
    ground: Ground<'_>,
    take: &mut dyn FnMut(&Path, &OsStr) -> io::Result<()>,
) -> Result<LeftOut, SourceError> {
    let start = if pattern.absolute { Path::new("/") } else { ground.folder };
    let mut walk = Walk { parts: &pattern.parts, ground, take, left_out: LeftOut::default() };
    walk.folder(start, &walk.reached(vec![0]))?;
    Ok(walk.left_out)
}

struct Walk<'a> {
    parts: &'a [Part],
    ground: Ground<'a>,
    take: &'a mut dyn FnMut(&Path, &OsStr) -> io::Result<()>,
    left_out: LeftOut,
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
            return self.entry(folder, name, Kind::Unknown, places);
        }
        let failed = |source| SourceError::Io { path: folder.into(), source };
        let listing = Listing::of(folder, self.ground.spill).map_err(failed)?;
        let Some(mut listing) = listing else { return Ok(()) };
        while let Some((name, kind)) = listing.next().map_err(failed)? {
            self.entry(folder, OsStr::from_bytes(&name), kind, places)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        folder: &Path,
        name: &OsStr,
        kind: Kind,
        places: &[usize],
    ) -> Result<(), SourceError> {
        let mut next = self.after(places, name);
        if next.is_empty() {
            return Ok(());
        }
        let linked = kind == Kind::Link;
        let path = join(folder, name);
        let kind = match kind {
            Kind::Link | Kind::Unknown => kind_of(&path)?,
            kind => Some(kind),
        };
        let end = self.parts.len();
        let is_match = next.pop_if(|last| *last == end).is_some();
        match kind {
            Some(Kind::Folder) if linked => self.linked_folder(&path, places, name),
            Some(Kind::Folder) => self.below(&path, &next),
            Some(kind) if is_match => self.file(folder, name, &path, kind),
            None if is_match && fs::symlink_metadata(&path).is_ok() => {
                self.left_out.note(&path, Reason::DanglingLink);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn below(&mut self, path: &Path, places: &[usize]) -> Result<(), SourceError> {
        if places.is_empty() || self.ground.own.holds(path) {
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
            self.left_out.note(path, Reason::LinkedFolder);
        }
        let mut next = self.after(&chosen, name);
        next.retain(|at| *at < self.parts.len());
        self.below(path, &next)
    }

    fn file(
        &mut self,
        folder: &Path,
        name: &OsStr,
        path: &Path,
        kind: Kind,
    ) -> Result<(), SourceError> {
        if self.ground.own.is(folder, name) {
            self.left_out.note(path, Reason::Own);
        } else if kind == Kind::File {
            let spill = self.ground.spill;
            let full = |source| SourceError::Io { path: spill.into(), source };
            (self.take)(folder, name).map_err(full)?;
        } else {
            self.left_out.note(path, Reason::NoFile);
        }
        Ok(())
    }
}

/// What is at a path, or at the end of the link there; nothing where that leads nowhere.
fn kind_of(path: &Path) -> Result<Option<Kind>, SourceError> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta.file_type().into())),
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
