//! Where the paths of a topology lead, and whether anything is there.
//!
//! Owns the rule that a path in the file is relative to the file's folder and one in a flag to
//! the current folder; opens nothing.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::topology::{
    diagnose::nearest,
    location::{Located, Origin},
};

/// The folder of a topology, by two names.
#[derive(Debug, Clone)]
pub(in crate::topology) struct Files {
    /// Absolute, for the processes, which may be started elsewhere.
    directory: PathBuf,
    /// As the user named it, for messages.
    shown: PathBuf,
}

impl Files {
    pub fn new(topology: &Path) -> Self {
        let shown = topology.parent().unwrap_or(Path::new("")).to_owned();
        Self {
            directory: absolute(if shown.as_os_str().is_empty() { Path::new(".") } else { &shown }),
            shown,
        }
    }

    /// The topology's folder, absolute.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The absolute path that a written one means.
    pub fn resolve(&self, written: &Located<String>) -> PathBuf {
        match written.place.origin {
            Origin::File | Origin::Python(_) => self.directory.join(&written.value),
            Origin::Set(_) => absolute(Path::new(&written.value)),
        }
    }

    /// The folder, absolute, from which a written path that is relative leads on.
    pub fn base(&self, written: &Located<String>) -> PathBuf {
        match written.place.origin {
            Origin::File | Origin::Python(_) => self.directory.clone(),
            Origin::Set(_) => absolute(Path::new(".")),
        }
    }

    /// A program's absolute path when it is written as a path; its bare name is left to the PATH.
    pub fn program(&self, written: &Located<String>) -> PathBuf {
        if written.value.contains('/') {
            self.resolve(written)
        } else {
            PathBuf::from(&written.value)
        }
    }

    /// The path for a message: short where the user's own words are.
    pub fn shown(&self, written: &Located<String>) -> String {
        let path = match written.place.origin {
            Origin::File | Origin::Python(_) => self.shown.join(&written.value),
            Origin::Set(_) => PathBuf::from(&written.value),
        };
        path.display().to_string()
    }

    /// A path that is absolute, for a message: the same way where it leads into the folder.
    pub fn named(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.directory).map(|inside| self.shown.join(inside));
        inside.unwrap_or_else(|_| path.to_owned()).display().to_string()
    }

    /// Whether a path that is absolute leads into the folder.
    pub fn holds(&self, path: &Path) -> bool {
        path.starts_with(&self.directory)
    }

    /// The folder, for a message, in which the file would be made, when that folder is missing.
    pub fn missing_folder(&self, written: &Located<String>) -> Option<String> {
        let exists = self.resolve(written).parent().is_none_or(Path::is_dir);
        let shown = PathBuf::from(self.shown(written));
        (!exists).then(|| shown.parent().unwrap_or(&shown).display().to_string())
    }

    /// The file beside a missing one whose name is nearest to its own, as it would be written.
    pub fn similar(&self, written: &Located<String>) -> Option<String> {
        let beside = similar(&self.resolve(written))?;
        let path = Path::new(&written.value).with_file_name(beside);
        Some(path.display().to_string())
    }
}

/// The name beside `missing` that is nearest to its own.
pub(in crate::topology) fn similar(missing: &Path) -> Option<String> {
    let name = missing.file_name()?.to_str()?;
    let folder = match missing.parent()? {
        empty if empty.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    let mut names: Vec<String> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    // The folder's own order is chance.
    names.sort();
    nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

/// Whether a program is there: as a path, or by a bare name on the PATH.
pub(super) fn is_program(path: &Path) -> bool {
    if path.is_absolute() {
        return path.is_file();
    }
    env::var_os("PATH")
        .is_some_and(|paths| env::split_paths(&paths).any(|folder| folder.join(path).is_file()))
}

/// Whether a program is there, and may be started: a path, or a name in one of the folders of `paths`.
pub fn is_executable(program: &Path, paths: Option<&OsStr>) -> bool {
    let fits = |path: &Path| {
        let data = path.metadata();
        data.is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    if program.components().count() > 1 {
        return fits(program);
    }
    paths.is_some_and(|paths| env::split_paths(paths).any(|folder| fits(&folder.join(program))))
}

/// Without touching the disk; a current folder that is gone leaves the path as it was.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
