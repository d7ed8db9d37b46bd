//! Where the files of runs are, and how long they stay.
//!
//! A run that keeps nothing has files without a name beside its output: however its sink ends, they are
//! gone with it. A durable one has named files in its run directory. Owns names and their removal; a
//! file that nobody here has written is neither written to nor removed. Refuses to know what is in them.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{Seek, Write},
    path::{Path, PathBuf},
};

use proto::durable;

use super::{
    fault::{RunFault, WaitingError},
    record::{Beginning, header, read_header},
};
use crate::{config::OutputSpec, names::WAITING};

/// Where files are made.
#[derive(Debug)]
pub(super) enum Place {
    /// Without a name, in that folder.
    Temporary(PathBuf),
    /// Named, in that run directory.
    Kept(PathBuf),
}

/// A file, and what it is called when something is wrong with it.
#[derive(Debug)]
pub(super) struct RunFile {
    pub file: File,
    pub number: u64,
    path: Option<PathBuf>,
    told: String,
}

/// Where what an output waits for may lie meanwhile, if it must not stay: beside it, since there is
/// where its user has room, or where the system keeps such files if it is no file.
pub fn beside(output: Option<&OutputSpec>) -> PathBuf {
    let path = output.and_then(OutputSpec::path).filter(|path| {
        let is_file = |path: &Path| path.metadata().map_or(true, |data| data.is_file());
        is_file(path)
    });
    match path.and_then(Path::parent) {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.into(),
        None => env::temp_dir(),
    }
}

fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{WAITING}{number:08}"))
}

impl Place {
    /// A new file with a header.
    pub fn make(&self, number: u64) -> Result<RunFile, WaitingError> {
        let (path, told) = self.names(number);
        let (Self::Temporary(folder) | Self::Kept(folder)) = self;
        let file = match &path {
            Some(path) => OpenOptions::new().read(true).write(true).create_new(true).open(path),
            None => tempfile::tempfile_in(folder),
        };
        let failed = |action, source: std::io::Error| WaitingError {
            action,
            file: told.clone(),
            source: source.into(),
        };
        let mut file = file.map_err(|error| failed("make", error))?;
        file.write_all(&header()).map_err(|error| failed("write", error))?;
        Ok(RunFile { file, number, path, told })
    }

    /// A file that is there.
    pub fn open(&self, number: u64) -> Result<RunFile, WaitingError> {
        let (path, told) = self.names(number);
        let at = path.as_deref().unwrap_or(Path::new(""));
        match OpenOptions::new().read(true).write(true).open(at) {
            Ok(file) => Ok(RunFile { file, number, path, told }),
            Err(error) => Err(WaitingError { action: "open", file: told, source: error.into() }),
        }
    }

    fn names(&self, number: u64) -> (Option<PathBuf>, String) {
        match self {
            Self::Temporary(folder) => (None, format!("a temporary file in {}", folder.display())),
            Self::Kept(folder) => {
                let path = path_of(folder, number);
                let told = path.display().to_string();
                (Some(path), told)
            }
        }
    }

    /// Removes the files of runs that no checkpoint lists: what is in them is in the log. The first
    /// number that no file has.
    pub fn clear(&self, is_listed: impl Fn(u64) -> bool) -> u64 {
        let Self::Kept(folder) = self else { return 1 };
        let mut next = 1;
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(WAITING)?.parse().ok());
            let Some(number): Option<u64> = number else { continue };
            let path = entry.path();
            next = next.max(number.saturating_add(1));
            let ours = || File::open(&path).is_ok_and(|mut file| read_header(&mut file).is_ok());
            if path == path_of(folder, number) && !is_listed(number) && ours() {
                // One that stays is removed at the next start.
                let _ = fs::remove_file(path);
            }
        }
        next
    }

    /// Makes the names of new files safe.
    pub fn sync(&self) -> Result<(), WaitingError> {
        let Self::Kept(folder) = self else { return Ok(()) };
        let synced = durable::sync_folder_of(&path_of(folder, 0));
        synced.map_err(|error| WaitingError {
            action: "sync",
            file: folder.display().to_string(),
            source: error.into(),
        })
    }
}

impl RunFile {
    /// What has gone wrong with it.
    pub fn failed(&self, action: &'static str, source: RunFault) -> WaitingError {
        WaitingError { action, file: self.told.clone(), source }
    }

    /// Cuts off what lies beyond so many bytes, of a file that is this format's.
    pub fn cut(&mut self, recorded: u64) -> Result<(), RunFault> {
        self.file.rewind()?;
        let is_whole = read_header(&mut self.file)? == Beginning::Whole;
        let found = self.file.metadata()?.len();
        if !is_whole || found < recorded {
            return Err(RunFault::Shorter { found, recorded });
        }
        Ok(self.file.set_len(recorded)?)
    }

    /// Nothing needs it any more.
    pub fn remove(self) {
        if let Some(path) = self.path {
            // One that stays is removed at the next start.
            let _ = fs::remove_file(path);
        }
    }
}
