//! Which files a run may write to.
//!
//! Owns the decision whether a file that is there already may be emptied, replaced or removed:
//! only one that is empty, that this run has made ([`Made`] has the list), or that its user has
//! given up (`--overwrite`); never one that the run reads. Refuses to touch any: whoever opens a
//! file asks here first.

use std::{
    fs::{self, Metadata},
    io::{self, Write},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use proto::{causes::innermost, durable, frame::RunId};
use serde::{Deserialize, Serialize};

use super::{
    error::OutputError,
    made::{Identity, Made},
};
use crate::names::is_own_name;

/// What becomes of a file that nobody knows to be the run's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Existing {
    /// It stays, and the run does not begin.
    #[default]
    Keep,
    /// It is written over.
    Overwrite,
}

impl Existing {
    /// Whether files stay.
    pub fn is_kept(&self) -> bool {
        *self == Self::Keep
    }
}

/// A file that a run reads, so that it is never written to, whatever it is called there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spared {
    /// What it is to the run: `the source`.
    pub what: String,
    /// The file.
    pub path: PathBuf,
}

/// What a run may write to.
#[derive(Debug, Clone, Default)]
pub struct Claim {
    /// What becomes of the files of others.
    pub existing: Existing,
    /// The files that the run reads.
    pub spared: Vec<Spared>,
    /// What the run has made, if it has a directory to remember it.
    pub made: Option<Made>,
    /// The run, for outputs that can bear its name; 0: none.
    pub run: RunId,
    /// The run has written before, and goes on.
    pub resumes: bool,
}

impl Claim {
    /// Whether a regular file may be written to from byte `recorded` on, up to which it holds what
    /// this run has written.
    ///
    /// # Errors
    /// [`OutputError::Spared`], [`OutputError::Exists`], and [`OutputError::Gone`] for a file in
    /// the place of one that was written.
    pub fn check(&self, path: &Path, data: &Metadata, recorded: u64) -> Result<(), OutputError> {
        self.spare(path, data)?;
        if data.len() <= recorded || self.owns(data) {
            return Ok(());
        }
        match (recorded, self.existing) {
            (0, Existing::Overwrite) => Ok(()),
            (0, Existing::Keep) => Err(OutputError::Exists { path: path.into() }),
            _ => Err(OutputError::Gone { path: path.into(), recorded }),
        }
    }

    /// Whether this run, or one before it in its directory, has made the file.
    pub fn owns(&self, data: &Metadata) -> bool {
        self.made.as_ref().is_some_and(|made| {
            // What was copied along with its run directory is another file, and the run's still.
            made.owns(data) || (self.resumes && made.was_copied())
        })
    }

    /// Refuses a file that the run reads.
    ///
    /// # Errors
    /// [`OutputError::Spared`].
    pub fn spare(&self, path: &Path, data: &Metadata) -> Result<(), OutputError> {
        let same = |spared: &&Spared| {
            fs::metadata(&spared.path).is_ok_and(|other| is_one_file(data, &other))
        };
        match self.spared.iter().find(same) {
            Some(spared) => Err(OutputError::Spared {
                path: path.into(),
                what: format!("{} ({})", spared.what, spared.path.display()),
            }),
            None => Ok(()),
        }
    }

    /// Remembers that the run has made a file, before anything is written to it.
    ///
    /// # Errors
    /// [`io::Error`] when the list can't be written.
    pub fn note(&self, data: &Metadata) -> io::Result<()> {
        match &self.made {
            Some(made) if !made.owns(data) => made.note(Identity::of(data)),
            _ => Ok(()),
        }
    }

    /// Whether an output that bears the name of `run` is this run's, or one's before it.
    pub fn owns_run(&self, run: RunId) -> bool {
        run == self.run || self.made.as_ref().is_some_and(|made| made.has_run(run))
    }

    /// Puts a file with these bytes at `path`, whole or not at all. A pipe or a device is
    /// written to.
    ///
    /// # Errors
    /// [`OutputError::Spared`], [`OutputError::Exists`], [`OutputError::Write`].
    pub fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
        let failed = |source| OutputError::Write { path: path.into(), source };
        let there = self.look(path, bytes)?;
        if there.as_ref().is_some_and(|data| holds(path, data, bytes)) {
            return Ok(());
        }
        if there.as_ref().is_some_and(|data| !data.is_file()) {
            let file = fs::File::options().write(true).open(path);
            return file.and_then(|mut file| file.write_all(bytes)).map_err(failed);
        }
        // A link stays one.
        let place = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
        let draft = tempfile::Builder::new()
            .prefix(".pipeline-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .tempfile_in(folder.unwrap_or(Path::new(".")))
            .map_err(|error| failed(innermost(error)))?;
        draft.as_file().write_all(bytes).map_err(failed)?;
        draft.as_file().sync_all().map_err(failed)?;
        draft.as_file().metadata().and_then(|data| self.note(&data)).map_err(failed)?;
        if there.is_some() {
            draft.persist(&place).map_err(|error| failed(error.error))?;
            return durable::sync_folder_of(&place).map_err(failed);
        }
        match draft.persist_noclobber(&place) {
            Ok(_) => durable::sync_folder_of(&place).map_err(failed),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(OutputError::Exists { path: path.into() })
            }
            Err(error) => Err(failed(error.error)),
        }
    }

    /// What is at `path`, if that may be replaced by `bytes`; a file that holds them already may.
    ///
    /// # Errors
    /// [`OutputError::Spared`], [`OutputError::Exists`].
    pub fn look(&self, path: &Path, bytes: &[u8]) -> Result<Option<Metadata>, OutputError> {
        let data = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|source| OutputError::Open { path: path.to_owned(), source })?,
        };
        if data.is_file() {
            let known = if holds(path, &data, bytes) { data.len() } else { 0 };
            self.check(path, &data, known)?;
        }
        Ok(Some(data))
    }
}

/// The files of a run by what they are to it, to find those that would be written over by it.
#[derive(Debug, Default)]
pub struct Files {
    written: Vec<(String, PathBuf)>,
    read: Vec<(String, PathBuf)>,
}

impl Files {
    /// Adds a file that the run writes.
    pub fn written(&mut self, what: &str, path: Option<&Path>) {
        self.written.extend(path.map(|path| (what.into(), path.into())));
    }

    /// Adds a file that it reads.
    pub fn read(&mut self, what: &str, path: Option<&Path>) {
        self.read.extend(path.map(|path| (what.into(), path.into())));
    }

    /// The first file that is written and something else too, in words.
    pub fn clash(&self, run_dir: Option<&Path>) -> Option<String> {
        for (index, (what, path)) in self.written.iter().enumerate() {
            let others = self.written.iter().take(index).chain(&self.read);
            for (other, at) in others {
                if leads_to_same(path, at) {
                    let (path, at) = (path.display(), at.display());
                    return Some(format!(
                        "{what} ({path}) is the same file as {other} ({at}); give it a file of its own"
                    ));
                }
            }
        }
        let kept = self.written.iter().chain(&self.read);
        let within =
            |(_, path): &&(String, PathBuf)| run_dir.is_some_and(|dir| is_kept_in(path, dir));
        kept.into_iter().find(within).map(|(what, path)| {
            format!("{what} ({}) has the name of a file that the run keeps in its directory; give it another name", path.display())
        })
    }
}

/// Whether a path leads to what a run keeps in its directory under a name of its own.
pub fn is_kept_in(path: &Path, run_dir: &Path) -> bool {
    let place = fs::canonicalize(path).unwrap_or_else(|_| destination(path));
    let dir = fs::canonicalize(run_dir).unwrap_or_else(|_| destination(run_dir));
    place.parent() == Some(&dir) && place.file_name().is_some_and(is_own_name)
}

fn holds(path: &Path, data: &Metadata, bytes: &[u8]) -> bool {
    data.is_file()
        && data.len() == bytes.len() as u64
        && fs::read(path).is_ok_and(|content| content == bytes)
}

/// Whether writing to the one changes the other. Devices can be shared.
fn is_one_file(a: &Metadata, b: &Metadata) -> bool {
    !a.file_type().is_char_device() && (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Whether two paths lead to one file, which need not be there yet: through links, by other names
/// of a folder, by `..`. Devices can be shared, so they are never one.
pub fn leads_to_same(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => is_one_file(&a, &b),
        (Err(_), Err(_)) => destination(a) == destination(b),
        _ => false,
    }
}

/// Where a file would be made that is not there.
pub fn destination(path: &Path) -> PathBuf {
    const LINKS_MAX: usize = 40;
    let mut path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    for _ in 0..LINKS_MAX {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.into());
        path = folder.join(path.file_name().unwrap_or_default());
        match fs::read_link(&path) {
            Ok(target) => path = folder.join(target),
            Err(_) => break,
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn claim(folder: &Path) -> Claim {
        Claim { made: Some(Made::open(folder).unwrap()), ..Claim::default() }
    }

    /// The output is the input under another name: every name of a file is found out, also of one
    /// that is not there yet.
    #[test]
    fn one_file_is_found_under_all_of_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("in"), "x").unwrap();
        fs::create_dir(path("sub")).unwrap();
        symlink("in", path("link")).unwrap();
        symlink("sub", path("folder")).unwrap();
        symlink("sub/new", path("dangling")).unwrap();
        fs::hard_link(path("in"), path("hard")).unwrap();
        for name in ["in", "link", "hard", "sub/../in", "folder/../in", "./in"] {
            assert!(leads_to_same(&path(name), &path("in")), "{name}");
        }
        for name in ["sub/new", "folder/new", "sub/../sub/new", "dangling", "folder/./new"] {
            assert!(leads_to_same(&path(name), &path("sub/new")), "{name}");
        }
        assert!(!leads_to_same(&path("in"), &path("sub/new")));
        assert!(!leads_to_same(&path("new"), &path("sub/new")));
        assert!(!leads_to_same(Path::new("/dev/null"), Path::new("/dev/null")));
    }

    /// The output is the input under another name: each file against each, and against what the
    /// run keeps in its directory.
    #[test]
    fn files_that_would_be_written_over_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("run")).unwrap();
        fs::write(path("key"), "x").unwrap();
        fs::hard_link(path("key"), path("summary.json")).unwrap();
        let clash = |written: &str, other: &str| {
            let mut files = Files::default();
            files.written("--output", Some(&path("out.jsonl")));
            files.written("--summary", Some(&path(written)));
            files.read("the key file", Some(&path(other)));
            files.clash(Some(&path("run")))
        };
        assert_eq!(clash("s.json", "key"), None);
        assert_eq!(clash("run/s.json", "key"), None);
        for (written, other, told) in [
            ("summary.json", "key", "the key file"),
            ("run/../out.jsonl", "key", "--output"),
            ("run/manifest.json", "key", "a file that the run keeps"),
            ("s.json", "run/log-00000001", "the key file"),
        ] {
            let clash = clash(written, other).unwrap();
            assert!(clash.contains(told), "{clash}");
        }
    }

    #[test]
    fn a_file_is_put_in_place_of_nothing_and_of_what_the_run_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        let claim = claim(folder.path());
        claim.put(&path, b"1").unwrap();
        claim.put(&path, b"22").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"22");
        let names = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 2, "the file and the list of what was made");
    }

    /// No harm: whoever did not make a file does not replace it, and a link stays a link.
    #[test]
    fn a_file_that_nobody_of_ours_made_stays_unless_it_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("notes"), "a thesis").unwrap();
        symlink("notes", path("link")).unwrap();
        fs::write(path("link.new"), "mine").unwrap();
        let claim = claim(folder.path());
        for name in ["notes", "link"] {
            assert!(matches!(claim.put(&path(name), b"{}"), Err(OutputError::Exists { .. })));
        }
        assert_eq!(fs::read(path("notes")).unwrap(), b"a thesis");
        // What is there already need not be written.
        claim.put(&path("notes"), b"a thesis").unwrap();
        let spared = vec![Spared { what: "the source".into(), path: path("notes") }];
        let over = Claim { existing: Existing::Overwrite, ..Claim::default() };
        let error = Claim { spared, ..over.clone() }.put(&path("link"), b"{}").unwrap_err();
        assert!(matches!(error, OutputError::Spared { .. }), "{error}");
        over.put(&path("link"), b"{}").unwrap();
        assert_eq!(fs::read(path("notes")).unwrap(), b"{}");
        assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
        assert_eq!(fs::read(path("link.new")).unwrap(), b"mine");
    }
}
