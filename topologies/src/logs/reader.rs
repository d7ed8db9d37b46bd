//! The side of whoever asks: all logs of a run in the order of time, now or as they grow.
//!
//! Owns which files belong together, whatever was put aside meanwhile; refuses to print, and to write or lock
//! anything in the run directory. Lines that are none are left out: a kill can tear the last one.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{Entry, FILES_MAX, FOLDER, Found, look, path_of, process_of};

/// The logs of a run, read up to somewhere.
#[derive(Debug)]
pub struct Logs {
    folder: PathBuf,
    trails: BTreeMap<String, Trail>,
}

impl Logs {
    /// Those in `run_dir`, from their beginning.
    pub fn of(run_dir: &Path) -> Self {
        Self { folder: run_dir.join(FOLDER), trails: BTreeMap::new() }
    }

    /// Gives what is there and was not given yet, in the order of time, for as long as `each` wants more;
    /// whether it did to the end.
    pub fn read(&mut self, each: &mut dyn FnMut(&Entry) -> bool) -> bool {
        self.find();
        let folder = &self.folder;
        let mut trails: Vec<&mut Trail> = self.trails.values_mut().collect();
        let mut next = BinaryHeap::new();
        let mut heads: Vec<Option<Entry>> = Vec::new();
        for (index, trail) in trails.iter_mut().enumerate() {
            let head = trail.next(folder);
            next.extend(head.as_ref().map(|entry| Reverse((entry.at, index))));
            heads.push(head);
        }
        while let Some(Reverse((_, index))) = next.pop() {
            let Some(entry) = heads[index].take() else { continue };
            if !each(&entry) {
                return false;
            }
            heads[index] = trails[index].next(folder);
            // What a process has written stays in its order, whatever the clock did.
            let at = |head: &Entry| head.at.max(entry.at);
            next.extend(heads[index].as_ref().map(|head| Reverse((at(head), index))));
        }
        true
    }

    /// The processes that have written anything.
    pub fn processes(&self) -> impl Iterator<Item = &str> {
        self.trails.keys().map(String::as_str)
    }

    /// Looks for processes that have begun to write.
    fn find(&mut self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if let Some(process) = name.to_str().and_then(process_of)
                && !self.trails.contains_key(process)
            {
                self.trails.insert(process.into(), Trail::of(process));
            }
        }
    }
}

/// Which file it is, whatever its name is now.
type Identity = (u64, u64);

fn identity(data: &fs::Metadata) -> Identity {
    (data.dev(), data.ino())
}

/// The files of one process, read up to somewhere.
#[derive(Debug)]
struct Trail {
    process: String,
    file: Option<(Identity, BufReader<File>)>,
    // A line whose end has not been written yet.
    begun: Vec<u8>,
}

impl Trail {
    fn of(process: &str) -> Self {
        Self { process: process.into(), file: None, begun: Vec::new() }
    }

    fn next(&mut self, folder: &Path) -> Option<Entry> {
        loop {
            if let Some(line) = self.line() {
                match Entry::parse(&line) {
                    Some(entry) => return Some(entry),
                    None => continue,
                }
            }
            let following = self.following(folder)?;
            // What was written between the last look and the moment at which it was put aside.
            if let Some(entry) = self.line().as_deref().and_then(Entry::parse) {
                return Some(entry);
            }
            let data = following.metadata().ok()?;
            self.begun.clear();
            self.file = Some((identity(&data), BufReader::new(following)));
        }
    }

    fn line(&mut self) -> Option<String> {
        let (_, file) = self.file.as_mut()?;
        file.read_until(b'\n', &mut self.begun).ok()?;
        let line = String::from_utf8_lossy(self.begun.strip_suffix(b"\n")?).into_owned();
        self.begun.clear();
        Some(line)
    }

    /// The file behind the one that is read; of one that is not there any more the oldest.
    fn following(&self, folder: &Path) -> Option<File> {
        let path = |before| path_of(folder, &self.process, before);
        let is_read = |before: &u32| {
            let read = self.file.as_ref().map(|(identity, _)| *identity);
            read.is_some() && fs::metadata(path(*before)).ok().map(|d| identity(&d)) == read
        };
        let found = match (0..FILES_MAX).find(is_read) {
            Some(0) => return None,
            Some(before) => before - 1,
            None => (0..FILES_MAX).rev().find(|before| path(*before).is_file())?,
        };
        let is_log = look(&path(found)).is_ok_and(|found| found == Found::Log);
        is_log.then(|| File::open(path(found)).ok()).flatten()
    }
}

/// What is asked for.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only workers of this stage.
    pub stage: Option<String>,
    /// Only this process.
    pub worker: Option<String>,
    /// Only what is about this unit, or what became of it.
    pub unit: Option<String>,
    /// Nothing from before.
    pub since: Option<SystemTime>,
}

impl Filter {
    /// Whether a line is asked for.
    pub fn admits(&self, entry: &Entry) -> bool {
        let is = |wanted: &Option<String>, found| wanted.is_none() || wanted.as_deref() == found;
        is(&self.stage, entry.stage())
            && is(&self.worker, Some(&entry.process))
            && self.unit.as_ref().is_none_or(|unit| entry.is_about(unit))
            && self.since.is_none_or(|since| entry.at >= since)
    }

    /// Whether a process of this name can have written what is asked for.
    pub fn admits_process(&self, process: &str) -> bool {
        let is = |wanted: &Option<String>, found| wanted.is_none() || wanted.as_deref() == found;
        is(&self.stage, super::stage_of(process)) && is(&self.worker, Some(process))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::logs::HEAD;

    fn append(folder: &Path, name: &str, lines: &[(u32, &str)]) {
        let path = folder.join(name);
        let is_new = !path.exists();
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        if is_new {
            file.write_all(HEAD.as_bytes()).unwrap();
        }
        let process = process_of(name).unwrap();
        for (second, text) in lines {
            writeln!(file, "2026-01-02T03:04:{second:02}Z {process} - stderr {text}").unwrap();
        }
    }

    fn read(logs: &mut Logs) -> Vec<String> {
        let mut texts = Vec::new();
        logs.read(&mut |entry| {
            texts.push(entry.text.clone());
            true
        });
        texts
    }

    #[test]
    fn lines_of_all_processes_come_in_the_order_of_time_and_follow_what_is_put_aside() {
        let run_dir = tempfile::tempdir().unwrap();
        let folder = run_dir.path().join(FOLDER);
        let mut logs = Logs::of(run_dir.path());
        assert!(read(&mut logs).is_empty());
        fs::create_dir(&folder).unwrap();
        append(&folder, "a-1.log.1", &[(1, "a1"), (3, "a3")]);
        append(&folder, "a-1.log", &[(5, "a5")]);
        append(&folder, "b-1.log", &[(2, "b2"), (4, "b4"), (3, "b3, late clock")]);
        fs::write(folder.join("mine.log"), "years").unwrap();
        assert_eq!(read(&mut logs), ["a1", "b2", "a3", "b4", "b3, late clock", "a5"]);
        append(&folder, "a-1.log", &[(6, "a6")]);
        for before in [1, 0] {
            let path = |before| path_of(&folder, "a-1", before);
            fs::rename(path(before), path(before + 1)).unwrap();
        }
        append(&folder, "a-1.log", &[(7, "a7")]);
        append(&folder, "c-1.log", &[(8, "c8")]);
        assert_eq!(read(&mut logs), ["a6", "a7", "c8"]);
        assert!(read(&mut logs).is_empty());
        // Begun anew.
        fs::remove_dir_all(&folder).unwrap();
        assert!(read(&mut logs).is_empty());
        fs::create_dir(&folder).unwrap();
        append(&folder, "a-1.log", &[(9, "again")]);
        assert_eq!(read(&mut logs), ["again"]);
    }

    #[test]
    fn a_line_that_is_being_written_is_waited_for() {
        let run_dir = tempfile::tempdir().unwrap();
        let folder = run_dir.path().join(FOLDER);
        fs::create_dir(&folder).unwrap();
        append(&folder, "a-1.log", &[(1, "whole")]);
        let mut file = fs::OpenOptions::new().append(true).open(folder.join("a-1.log")).unwrap();
        file.write_all(b"2026-01-02T03:04:02Z a-1 - std").unwrap();
        let mut logs = Logs::of(run_dir.path());
        assert_eq!(read(&mut logs), ["whole"]);
        file.write_all(b"err second\n").unwrap();
        assert_eq!(read(&mut logs), ["second"]);
    }
}
