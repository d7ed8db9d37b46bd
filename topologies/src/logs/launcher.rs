//! What a launcher in the background says, kept in one file.
//!
//! Owns that this file begins with a line by which it is known later, and that somebody else's file of that name is
//! neither written nor moved. Refuses to read or to remove it.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use proto::telling;

use super::{Found, HEAD, HEAD_FOR_SCRIPTS, look};

/// A longer one makes room for a new one before a run begins.
const BYTES_MAX: u64 = 8 << 20;

/// The file, at whose end is written, and how long it is. An empty one is taken: it is what a kill leaves before
/// the first line.
///
/// # Errors
/// What the system says, or that it is somebody else's.
pub fn open(path: &Path) -> io::Result<(File, u64)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let found = look(path)?;
    let length = if found == Found::Nothing { 0 } else { fs::metadata(path)?.len() };
    if found == Found::Foreign && length > 0 {
        let problem = "it is there already, and no log of a pipeline";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
    }
    let before = path.with_extension("log.1");
    if length > BYTES_MAX && look(&before)? != Found::Foreign {
        fs::rename(path, before)?;
    }
    let mut log = File::options().read(true).append(true).create(true).open(path)?;
    if log.metadata()?.len() == 0 {
        let head = if telling::is_json() { HEAD_FOR_SCRIPTS } else { HEAD };
        log.write_all(head.as_bytes())?;
    }
    let length = log.metadata()?.len();
    Ok((log, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_gone_on_with_and_a_long_one_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/detached.log");
        let (mut log, length) = open(&path).unwrap();
        assert_eq!(length, HEAD.len() as u64);
        log.write_all(b"words\n").unwrap();
        assert_eq!(open(&path).unwrap().1, length + 6);
        log.set_len(BYTES_MAX + 1).unwrap();
        assert_eq!(open(&path).unwrap().1, length);
        assert!(fs::metadata(path.with_extension("log.1")).unwrap().len() > BYTES_MAX);
    }

    /// No harm: nothing is added to somebody else's file, and it is not moved away.
    #[test]
    fn a_file_of_somebody_elses_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("detached.log");
        fs::write(&path, "years of work").unwrap();
        assert!(open(&path).unwrap_err().to_string().contains("is there already"));
        assert_eq!(fs::read(&path).unwrap(), b"years of work");
        fs::remove_file(&path).unwrap();
        open(&path).unwrap().0.set_len(BYTES_MAX + 1).unwrap();
        fs::write(path.with_extension("log.1"), "years of work").unwrap();
        open(&path).unwrap();
        assert_eq!(fs::read(path.with_extension("log.1")).unwrap(), b"years of work");
    }
}
