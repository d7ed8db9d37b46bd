//! What a run writes itself, and so is no input of it.
//!
//! Owns the comparison, which holds under whatever name a folder was reached; refuses to know what
//! the files are.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// What SQLite puts beside a database while it is open.
const COMPANIONS: [&[u8]; 4] = [b"", b"-wal", b"-shm", b"-journal"];

/// Files and folders of a run, which need not be there yet.
#[derive(Debug, Default)]
pub(super) struct Own(Vec<PathBuf>);

impl Own {
    pub(super) fn new(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| real(path)).collect())
    }

    /// Whether the file is one of them, or lies in one.
    pub(super) fn is(&self, folder: &Path, name: &OsStr) -> bool {
        let is_named = |own: &PathBuf| {
            let rest = own.file_name().and_then(|own| name.as_bytes().strip_prefix(own.as_bytes()));
            rest.is_some_and(|rest| COMPANIONS.contains(&rest))
        };
        // Few names are like these; only then it matters where the folder is.
        self.0.iter().any(|own| is_named(own) && own.parent() == Some(&*real(folder)))
    }

    /// Whether the folder is one of them.
    pub(super) fn holds(&self, folder: &Path) -> bool {
        let is_named = |own: &PathBuf| own.file_name() == folder.file_name();
        self.0.iter().any(|own| is_named(own) && *own == real(folder))
    }
}

/// The path without links, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    if let Ok(real) = fs::canonicalize(&path) {
        return real;
    }
    match (path.parent().map(fs::canonicalize), path.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => path,
    }
}
