//! The job log: how each unit ended, a line each, with GNU parallel's columns and some more.
//!
//! Owns what a run that goes on takes from it; the form of a line is the sink's. A line is appended
//! once the unit's output is written, so that what a log says is done has been seen.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::Path,
    time::UNIX_EPOCH,
};

use sink::joblog::{BEGINNING, HEAD, Line, in_a_column};

use super::jobs::Done;

/// The stage that all units of such a run are of.
const STAGE: &str = "map";

/// How units have ended before, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past(HashMap<u64, bool>);

impl Past {
    /// Whether a unit is over.
    pub fn has(&self, number: u64) -> bool {
        self.0.contains_key(&number)
    }

    /// Leaves only those that have gone well.
    pub fn forget_failed(&mut self) {
        self.0.retain(|_, good| *good);
    }

    /// Reads a log; nothing if there is none. Of a unit that is there twice the later line counts; a
    /// line that is not whole was cut off by a kill, and says nothing.
    ///
    /// # Errors
    /// A file that cannot be read, or is no job log.
    pub fn read(path: &Path) -> io::Result<Self> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut past = Self::default();
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        let mut is_head = true;
        while reader.read_until(b'\n', &mut line)? > 0 {
            if is_head {
                if !line.starts_with(BEGINNING) {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no job log"));
                }
                is_head = false;
            } else if line.ends_with(b"\n")
                && let Some((number, good)) = ending(&String::from_utf8_lossy(&line))
            {
                past.0.insert(number, good);
            }
            line.clear();
        }
        Ok(past)
    }
}

/// The number of a line's unit, and whether it went well.
fn ending(line: &str) -> Option<(u64, bool)> {
    let mut columns = line.split('\t');
    let number = columns.next()?.trim().parse().ok()?;
    let mut ends = columns.skip(5);
    let (exit, signal) = (ends.next()?.trim(), ends.next()?.trim());
    Some((number, exit == "0" && signal == "0"))
}

/// A log that is written.
#[derive(Debug)]
pub struct JobLog {
    file: File,
    host: String,
}

impl JobLog {
    /// Begins a log, or goes on with it.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn open(path: &Path, goes_on: bool, host: String) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).read(true);
        let mut file = match goes_on {
            true => options.append(true).open(path)?,
            false => options.write(true).truncate(true).open(path)?,
        };
        if file.metadata()?.len() == 0 {
            file.write_all(HEAD.as_bytes())?;
        } else if !ends_with_line(path)? {
            file.write_all(b"\n")?;
        }
        Ok(Self { file, host })
    }

    /// Appends a unit's line.
    ///
    /// # Errors
    /// A full disk, for example.
    pub fn put(&mut self, done: &Done) -> io::Result<()> {
        let command = in_a_column(&done.command.to_string_lossy());
        let mut line = Vec::new();
        Line {
            number: done.number,
            host: &self.host,
            began: done.began.duration_since(UNIX_EPOCH).unwrap_or_default(),
            took: done.took,
            received: done.printed.len() as u64,
            exit: done.exit,
            signal: done.signal,
            command: &command,
            attempt: done.attempt,
            stage: STAGE,
        }
        .write(done.number - 1, &mut line);
        self.file.write_all(&line)
    }
}

fn ends_with_line(path: &Path) -> io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn done(number: u64, exit: i32) -> Done {
        Done {
            number,
            values: vec![],
            command: "echo a\tb".into(),
            began: SystemTime::now(),
            took: Duration::from_millis(1_500),
            exit,
            signal: 0,
            attempt: 1,
            printed: b"12345".to_vec(),
            trouble: None,
            begun: true,
        }
    }

    #[test]
    fn a_log_tells_what_is_over_and_what_has_failed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert_eq!(Past::read(&path).unwrap(), Past::default());
        let mut log = JobLog::open(&path, true, "here".into()).unwrap();
        log.put(&done(1, 0)).unwrap();
        log.put(&done(2, 3)).unwrap();
        drop(log);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("     1.500\t0\t5\t3\t0\techo a\\tb\t1\t1\tmap\n"), "{text}");
        // As a kill may leave it.
        std::fs::write(&path, format!("{text}3\there")).unwrap();
        let mut past = Past::read(&path).unwrap();
        assert_eq!([1, 2, 3].map(|number| past.has(number)), [true, true, false]);
        past.forget_failed();
        assert_eq!([1, 2].map(|number| past.has(number)), [true, false]);
        let mut log = JobLog::open(&path, true, "here".into()).unwrap();
        log.put(&done(2, 0)).unwrap();
        let mut past = Past::read(&path).unwrap();
        past.forget_failed();
        assert!(past.has(2), "the later line counts");
    }

    #[test]
    fn a_file_that_is_no_log_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "a thesis\n").unwrap();
        assert!(Past::read(&path).is_err());
    }
}
