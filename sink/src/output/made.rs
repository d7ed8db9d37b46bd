//! The list of what the runs in a run directory have made outside it.
//!
//! Owns the file `made`, a line each: a file by its inode and its birth, a run by its number, for
//! outputs that can bear one. It is appended to, and safe before the first byte goes to what it
//! names, so a run that is killed at any moment knows its own files again. It outlives `--fresh`,
//! so that a run may replace what the one before it in this directory made. Its first line names
//! the list itself: in a copy of a run directory it is another file, and the inodes mean nothing.

use std::{
    fs::{self, File, Metadata},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use proto::{durable, frame::RunId};

use crate::names::DATABASE;

/// Its name in the run directory.
pub const FILE: &str = crate::names::MADE;

/// What tells a file from another one that has its name later: device numbers change with a
/// machine's start, and inodes are used again, but not with the same moment of birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    inode: u64,
    born_ns: u128,
}

impl Identity {
    /// That of a file.
    pub fn of(data: &Metadata) -> Self {
        let born = data.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        Self { inode: data.ino(), born_ns: born.map_or(0, |born| born.as_nanos()) }
    }

    fn parse(words: &[&str]) -> Option<Self> {
        let [inode, born_ns] = words else { return None };
        Some(Self { inode: inode.parse().ok()?, born_ns: born_ns.parse().ok()? })
    }
}

#[derive(Debug, Default)]
struct Content {
    home: Option<Identity>,
    files: Vec<Identity>,
    runs: Vec<RunId>,
}

/// See the module. Clones are the same list.
#[derive(Debug, Clone)]
pub struct Made {
    path: PathBuf,
    copied: bool,
    content: Arc<Mutex<Content>>,
}

impl Made {
    /// Opens the list of a run directory, or makes it.
    ///
    /// # Errors
    /// [`io::Error`] when it can't be read or made.
    pub fn open(run_dir: &Path) -> io::Result<Self> {
        let path = run_dir.join(FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let mut content = read(&text);
        let here = |path: &Path| fs::metadata(path).map(|data| Identity::of(&data));
        let mut copied = false;
        if content.home.is_none() {
            File::options().create(true).append(true).open(&path)?;
            // A run of an older version has no list, but files; no file has this name.
            let nowhere = Identity { inode: 0, born_ns: 0 };
            copied = text.is_empty() && run_dir.join(DATABASE).is_file();
            let home = if copied { nowhere } else { here(&path)? };
            content.home = Some(home);
            append(&path, &format!("home {} {}", home.inode, home.born_ns))?;
            durable::sync_folder_of(&path)?;
        } else if content.home != Some(here(&path)?) {
            copied = true;
            content.files.clear();
        }
        Ok(Self { path, copied, content: Arc::new(Mutex::new(content)) })
    }

    /// Whether this is a copy of the list that was written.
    pub fn was_copied(&self) -> bool {
        self.copied
    }

    /// Whether a file is one of the list.
    pub fn owns(&self, data: &Metadata) -> bool {
        self.content().files.contains(&Identity::of(data))
    }

    /// Whether a run is one of the list.
    pub fn has_run(&self, run: RunId) -> bool {
        self.content().runs.contains(&run)
    }

    /// Adds a file; it is safe when this returns.
    ///
    /// # Errors
    /// [`io::Error`] when the list can't be written.
    pub fn note(&self, file: Identity) -> io::Result<()> {
        append(&self.path, &format!("file {} {}", file.inode, file.born_ns))?;
        self.content().files.push(file);
        Ok(())
    }

    /// Adds a run, unless it is there; it is safe when this returns.
    ///
    /// # Errors
    /// [`io::Error`] when the list can't be written.
    pub fn note_run(&self, run: RunId) -> io::Result<()> {
        if !self.has_run(run) {
            append(&self.path, &format!("run {run}"))?;
            self.content().runs.push(run);
        }
        Ok(())
    }

    /// Whether nothing was ever made.
    pub fn is_empty(&self) -> bool {
        let content = self.content();
        content.files.is_empty() && content.runs.is_empty()
    }

    fn content(&self) -> std::sync::MutexGuard<'_, Content> {
        // A list that a panic left is one that lacks its last line at most.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines that are torn, by a kill or a full disk, name nothing.
fn read(text: &str) -> Content {
    let mut content = Content::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.split_first() {
            Some((&"home", rest)) => content.home = content.home.or(Identity::parse(rest)),
            Some((&"file", rest)) => content.files.extend(Identity::parse(rest)),
            Some((&"run", [run])) => content.runs.extend(run.parse::<RunId>()),
            _ => {}
        }
    }
    content
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = File::options().append(true).open(path)?;
    // What was torn before must not tear this.
    file.write_all(format!("\n{line}\n").as_bytes())?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_knows_its_files_and_runs_again_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let made = Made::open(folder.path()).unwrap();
        assert!(made.is_empty());
        fs::write(path("a"), "x").unwrap();
        fs::write(path("b"), "x").unwrap();
        let data = |name: &str| fs::metadata(path(name)).unwrap();
        made.note(Identity::of(&data("a"))).unwrap();
        made.note_run(7).unwrap();
        let again = Made::open(folder.path()).unwrap();
        assert!(again.owns(&data("a")) && again.has_run(7) && !again.was_copied());
        assert!(!again.owns(&data("b")) && !again.has_run(8));
        fs::rename(path("a"), path("c")).unwrap();
        assert!(again.owns(&data("c")), "the same file under another name");
    }

    #[test]
    fn in_a_copy_of_a_run_directory_inodes_mean_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let made = Made::open(folder.path()).unwrap();
        made.note(Identity::of(&fs::metadata(folder.path().join(FILE)).unwrap())).unwrap();
        let copy = tempfile::tempdir().unwrap();
        fs::copy(folder.path().join(FILE), copy.path().join(FILE)).unwrap();
        let copied = Made::open(copy.path()).unwrap();
        assert!(copied.was_copied() && copied.is_empty());
    }

    #[test]
    fn a_line_that_was_torn_names_nothing() {
        let content = read("\nhome 1 2\nfile 3 4\nfile 5\nrun 6\nfile 7 8 9\nru");
        assert_eq!(content.home, Some(Identity { inode: 1, born_ns: 2 }));
        assert_eq!(content.files, [Identity { inode: 3, born_ns: 4 }]);
        assert_eq!(content.runs, [6]);
    }
}
