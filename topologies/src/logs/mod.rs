//! What the processes of a run have written, kept in its run directory.
//!
//! Owns the folder, the names and the form of these files: `logs/PROCESS.log`, before that `.log.1` and
//! `.log.2`. [`writer`] writes them, for the launcher; [`reader`] reads them, for whoever asks; [`launcher`]
//! is about what a launcher in the background says itself. Refuses every file that does not begin with
//! [`HEAD`]: it is somebody else's.
//!
//! A line is `TIME PROCESS UNIT STREAM TEXT`: RFC 3339 in UTC, and `-` where no unit is known.

pub mod launcher;
pub mod reader;
pub mod writer;

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use proto::lines::Stream;
use rustix::fs::fstat;

/// The folder of these files in a run directory.
pub const FOLDER: &str = "logs";
/// The first line of each.
pub const HEAD: &str = "# a log of a pipeline\n";
/// The same where every line is an object.
pub const HEAD_FOR_SCRIPTS: &str = "{\"log\":\"of a pipeline\"}\n";
/// How many files are kept of each process.
const FILES_MAX: u32 = 3;
/// What a process's own name ends in.
const ENDING: &str = ".log";

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was read from the process.
    pub at: SystemTime,
    /// Whose it is, as `fetch-1` or `sink`.
    pub process: String,
    /// The unit that it is about, if that is known.
    pub unit: Option<String>,
    /// Where it was written to.
    pub stream: Stream,
    /// Without its line end.
    pub text: String,
}

impl Entry {
    /// Reads a line; nothing if it is none of a log.
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(5, ' ');
        let at = humantime::parse_rfc3339(parts.next()?).ok()?;
        let process = parts.next()?.to_owned();
        let unit = Some(parts.next()?.to_owned()).filter(|unit| unit != "-");
        let stream = Stream::of_name(parts.next()?)?;
        Some(Self { at, process, unit, stream, text: parts.next()?.to_owned() })
    }

    /// The name of the stage whose worker has written it.
    pub fn stage(&self) -> Option<&str> {
        stage_of(&self.process)
    }

    /// Whether it is about this unit, or what became of it in later stages.
    pub fn is_about(&self, unit: &str) -> bool {
        let rest = self.unit.as_ref().and_then(|own| own.strip_prefix(unit));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// The stage of a worker of this name.
fn stage_of(process: &str) -> Option<&str> {
    let (stage, number) = process.rsplit_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(stage)
}

/// The file of a process, or that which was so many files before it.
fn path_of(folder: &Path, process: &str, before: u32) -> PathBuf {
    let name = match before {
        0 => format!("{process}{ENDING}"),
        before => format!("{process}{ENDING}.{before}"),
    };
    folder.join(name)
}

/// The process whose file has this name, be it the newest or not.
fn process_of(name: &str) -> Option<&str> {
    let before = (1..FILES_MAX).find_map(|before| name.strip_suffix(&format!(".{before}")));
    before.unwrap_or(name).strip_suffix(ENDING).filter(|process| !process.is_empty())
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Log,
    Foreign,
}

fn look(path: &Path) -> io::Result<Found> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
        // A pipe would wait.
        Ok(data) if !data.is_file() => return Ok(Found::Foreign),
        Ok(_) => {}
    }
    let heads = [HEAD, HEAD_FOR_SCRIPTS];
    let longest = heads.map(str::len).into_iter().max().unwrap_or_default();
    let mut begins = Vec::new();
    File::open(path)?.take(longest as u64).read_to_end(&mut begins)?;
    let is_log = heads.iter().any(|head| begins.starts_with(head.as_bytes()));
    Ok(if is_log { Found::Log } else { Found::Foreign })
}

/// Whether this process writes its own words there, as a launcher in the background does.
fn is_own_log(path: &Path) -> bool {
    let own = fstat(io::stderr()).map(|own| (own.st_dev, own.st_ino));
    fs::metadata(path).is_ok_and(|data| own == Ok((data.dev(), data.ino())))
}

/// Removes the logs of the run in `run_dir`, and their folder if nothing else is in it. What this process
/// writes to stays.
///
/// # Errors
/// What the system says.
pub fn forget(run_dir: &Path) -> io::Result<()> {
    let folder = run_dir.join(FOLDER);
    if !fs::symlink_metadata(&folder).is_ok_and(|data| data.is_dir()) {
        return Ok(());
    }
    for entry in fs::read_dir(&folder)?.flatten() {
        let is_named = entry.file_name().to_str().is_some_and(|name| process_of(name).is_some());
        let path = entry.path();
        if is_named && look(&path)? == Found::Log && !is_own_log(&path) {
            fs::remove_file(path)?;
        }
    }
    match fs::remove_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_who_about_what_and_where() {
        let line = "2026-01-02T03:04:05.000006Z a-b-12 7.0 stdout  two words ";
        let entry = Entry::parse(line).unwrap();
        assert_eq!(entry.at, humantime::parse_rfc3339("2026-01-02T03:04:05.000006Z").unwrap());
        assert_eq!((entry.process.as_str(), entry.stage()), ("a-b-12", Some("a-b")));
        assert_eq!((entry.stream, entry.text.as_str()), (Stream::Stdout, " two words "));
        assert!(entry.is_about("7") && entry.is_about("7.0") && !entry.is_about("70"));
        let none = Entry::parse("2026-01-02T03:04:05Z sink - stderr ").unwrap();
        assert_eq!((none.unit.as_deref(), none.stage(), none.text.as_str()), (None, None, ""));
        for torn in ["", HEAD.trim(), "2026-01-02T03:04:05Z sink - std", "x sink - stderr a"] {
            assert_eq!(Entry::parse(torn), None, "{torn}");
        }
    }

    #[test]
    fn files_are_known_by_their_names() {
        for (name, process) in [
            ("fetch-1.log", Some("fetch-1")),
            ("fetch-1.log.2", Some("fetch-1")),
            ("fetch-1.log.3", None),
            (".log", None),
            ("thesis.tex", None),
        ] {
            assert_eq!(process_of(name), process, "{name}");
        }
    }

    /// No harm: what the run did not write stays.
    #[test]
    fn only_logs_are_forgotten() {
        let run_dir = tempfile::tempdir().unwrap();
        let folder = run_dir.path().join(FOLDER);
        let ours = || {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("a-1.log"), HEAD).unwrap();
            fs::write(folder.join("a-1.log.1"), HEAD).unwrap();
            launcher::open(&folder.join("detached.log")).unwrap();
            fs::write(folder.join("detached.log.1"), HEAD_FOR_SCRIPTS).unwrap();
        };
        ours();
        forget(run_dir.path()).unwrap();
        assert!(!folder.exists());
        ours();
        fs::write(folder.join("mine.log"), "years").unwrap();
        fs::write(folder.join("empty.log"), "").unwrap();
        forget(run_dir.path()).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        forget(&run_dir.path().join("nowhere")).unwrap();
    }
}
