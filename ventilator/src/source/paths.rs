//! Many paths in little memory.
//!
//! Owns how they are kept: a folder once, and the names in it in one piece. Refuses to know what
//! they are for.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::walk::join;

/// Paths in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Paths {
    // Each with the index of its first path.
    folders: Vec<(usize, PathBuf)>,
    names: Vec<u8>,
    ends: Vec<usize>,
}

impl Paths {
    pub(super) fn push(&mut self, folder: &Path, name: &OsStr) {
        if self.folders.last().is_none_or(|(_, last)| last != folder) {
            self.folders.push((self.ends.len(), folder.into()));
        }
        self.names.extend_from_slice(name.as_bytes());
        self.ends.push(self.names.len());
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The one at `index`.
    pub(super) fn get(&self, index: usize) -> Option<PathBuf> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        let folder = self.folders.partition_point(|(first, _)| *first <= index) - 1;
        Some(join(&self.folders[folder].1, OsStr::from_bytes(&self.names[start..end])))
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = PathBuf> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}
