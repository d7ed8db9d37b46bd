//! The launcher's side: one thread that writes all logs of a run.
//!
//! Owns the files as long as the run lasts, and their rotation; refuses to hold up anybody for longer than its
//! queue lasts, and to end a run: when a file can't be written, that is said once and no more is kept. Nothing
//! is written before there is a run: a folder that is refused stays as it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::SystemTime,
};

use sink::names::DATABASE;

use super::{FILES_MAX, FOLDER, Found, HEAD, look, path_of};
use crate::up::relay::{Lines, Said};

/// A file that would grow beyond this is put aside for the next one.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// What waits to be written: chunks of up to 64 KiB of lines.
const CHUNKS_MAX: usize = 32;
/// What is held back until there is a run.
const HELD_CHUNKS_MAX: usize = 1_000;
/// Files that are open at a time.
const OPEN_MAX: usize = 64;

enum Task {
    Keep(Chunk),
    Close,
}

struct Chunk {
    process: Arc<str>,
    at: SystemTime,
    lines: Lines,
}

/// The way to the thread that writes.
#[derive(Clone)]
pub struct Log {
    tasks: SyncSender<Task>,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl Log {
    /// Begins to keep what is written in the run of `run_dir`; the thread ends after [`close`](Self::close).
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(run_dir: &Path) -> io::Result<(Self, JoinHandle<()>)> {
        let (tasks, wanted) = sync_channel(CHUNKS_MAX);
        let log = Self { tasks, warnings: Arc::default() };
        let writer = Writer::new(run_dir, log.warnings.clone());
        let thread =
            thread::Builder::new().name("logs".into()).spawn(move || writer.run(&wanted))?;
        Ok((log, thread))
    }

    /// Keeps lines of a process that came now; waits if much else waits.
    pub fn keep(&self, process: &Arc<str>, lines: Lines) {
        let chunk = Chunk { process: process.clone(), at: SystemTime::now(), lines };
        let _ = self.tasks.send(Task::Keep(chunk));
    }

    /// Keeps a line of the launcher's own, if there is room: it waits for nobody.
    pub fn note(&self, process: &str, text: &str) {
        let lines = Lines::new(vec![Said::by_role(text.to_owned())]);
        let chunk = Chunk { process: process.into(), at: SystemTime::now(), lines };
        let _ = self.tasks.try_send(Task::Keep(chunk));
    }

    /// What people have to know of it, once.
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has the thread end once everything before this is written.
    pub fn close(&self) {
        let _ = self.tasks.send(Task::Close);
    }
}

/// A file and its length.
struct Open {
    file: File,
    bytes: u64,
}

struct Writer {
    run_dir: PathBuf,
    folder: PathBuf,
    warnings: Arc<Mutex<Vec<String>>>,
    // Until there is a run.
    held: Option<Vec<Chunk>>,
    files: BTreeMap<Arc<str>, Open>,
    // Whose files are somebody else's.
    foreign: BTreeSet<Arc<str>>,
    failed: bool,
    text: Vec<u8>,
}

impl Writer {
    fn new(run_dir: &Path, warnings: Arc<Mutex<Vec<String>>>) -> Self {
        Self {
            run_dir: run_dir.into(),
            folder: run_dir.join(FOLDER),
            warnings,
            held: Some(Vec::new()),
            files: BTreeMap::new(),
            foreign: BTreeSet::new(),
            failed: false,
            text: Vec::new(),
        }
    }

    fn run(mut self, wanted: &Receiver<Task>) {
        while let Ok(Task::Keep(chunk)) = wanted.recv() {
            self.take(chunk);
        }
        self.release();
    }

    fn take(&mut self, chunk: Chunk) {
        match &mut self.held {
            Some(held) => {
                if held.len() < HELD_CHUNKS_MAX {
                    held.push(chunk);
                }
                self.release();
            }
            None => self.write(&chunk),
        }
    }

    fn release(&mut self) {
        if self.run_dir.join(DATABASE).is_file() {
            self.held.take().into_iter().flatten().for_each(|chunk| self.write(&chunk));
        }
    }

    fn write(&mut self, chunk: &Chunk) {
        if self.failed || self.foreign.contains(&chunk.process) {
            return;
        }
        self.render(chunk);
        if let Err(error) = self.append(&chunk.process) {
            let path = path_of(&self.folder, &chunk.process, 0);
            self.files.remove(&chunk.process);
            self.warn(format!("cannot write {}: {error}", path.display()));
        }
    }

    fn warn(&mut self, problem: String) {
        self.failed = true;
        let text = format!("{problem}; what processes write is shown, and not kept any more");
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn render(&mut self, chunk: &Chunk) {
        self.text.clear();
        let at = humantime::format_rfc3339_micros(chunk.at).to_string();
        for line in chunk.lines.iter() {
            let (unit, stream) = (line.unit.as_deref().unwrap_or("-"), line.stream.name());
            for part in [&*at, " ", &*chunk.process, " ", unit, " ", stream, " ", &*line.text, "\n"]
            {
                self.text.extend_from_slice(part.as_bytes());
            }
        }
    }

    fn append(&mut self, process: &Arc<str>) -> io::Result<()> {
        let Some(mut open) = self.open(process)? else {
            self.foreign.insert(process.clone());
            return Ok(());
        };
        let has_lines = open.bytes > HEAD.len() as u64;
        if has_lines && open.bytes + self.text.len() as u64 > FILE_BYTES_MAX {
            drop(open);
            if !rotate(&self.folder, process)? {
                self.foreign.insert(process.clone());
                return Ok(());
            }
            open = create(&path_of(&self.folder, process, 0))?;
        }
        if let Err(error) = open.file.write_all(&self.text) {
            // No line is left in part.
            let _ = open.file.set_len(open.bytes);
            return Err(error);
        }
        open.bytes += self.text.len() as u64;
        self.files.insert(process.clone(), open);
        Ok(())
    }

    /// The file of a process; none if it is somebody else's.
    fn open(&mut self, process: &Arc<str>) -> io::Result<Option<Open>> {
        if let Some(open) = self.files.remove(process) {
            return Ok(Some(open));
        }
        if self.files.len() >= OPEN_MAX {
            self.files.pop_first();
        }
        fs::create_dir_all(&self.folder)?;
        let path = path_of(&self.folder, process, 0);
        match look(&path)? {
            Found::Nothing => create(&path).map(Some),
            Found::Foreign => {
                tracing::warn!(path = %path.display(), "this is no log of a run, and is left as it is: what the process writes is not kept");
                Ok(None)
            }
            Found::Log => reopen(&path).map(Some),
        }
    }
}

fn create(path: &Path) -> io::Result<Open> {
    let mut file = OpenOptions::new().append(true).create_new(true).open(path)?;
    if let Err(error) = file.write_all(HEAD.as_bytes()) {
        // Without its head it would be nobody's.
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(Open { file, bytes: HEAD.len() as u64 })
}

/// A file of an earlier start; a line that a kill has torn is ended.
fn reopen(path: &Path) -> io::Result<Open> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    let mut bytes = file.seek(SeekFrom::End(-1))? + 1;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last != [b'\n'] {
        file.write_all(b"\n")?;
        bytes += 1;
    }
    Ok(Open { file, bytes })
}

/// Puts the files of a process one place further; the last one goes. Not if one of them is foreign.
fn rotate(folder: &Path, process: &str) -> io::Result<bool> {
    for before in 0..FILES_MAX {
        if look(&path_of(folder, process, before))? == Found::Foreign {
            return Ok(false);
        }
    }
    for before in (1..FILES_MAX).rev() {
        match fs::rename(path_of(folder, process, before - 1), path_of(folder, process, before)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Entry;

    fn lines(count: usize, bytes: usize) -> Lines {
        Lines::new(vec![Said::by_role("x".repeat(bytes)); count])
    }

    /// Keeps so many chunks of a MiB, and reads all files back, the oldest first.
    fn kept(run_dir: &Path, mib: usize) -> Vec<usize> {
        let (log, thread) = Log::start(run_dir).unwrap();
        (0..mib).for_each(|_| log.keep(&"a-1".into(), lines(1_024, 1_024)));
        log.close();
        thread.join().unwrap();
        assert!(log.take_warnings().is_empty());
        let read = |before| fs::read_to_string(path_of(&run_dir.join(FOLDER), "a-1", before));
        let texts = (0..FILES_MAX).rev().filter_map(|before| read(before).ok());
        texts.map(|text| text.lines().filter_map(Entry::parse).count()).collect()
    }

    #[test]
    fn of_a_process_that_writes_on_and_on_the_last_files_are_kept() {
        let run_dir = tempfile::tempdir().unwrap();
        fs::write(run_dir.path().join(DATABASE), "").unwrap();
        assert_eq!(kept(run_dir.path(), 3), [3 * 1_024]);
        assert_eq!(kept(run_dir.path(), 40), [7 * 1_024, 7 * 1_024, 1_024]);
        assert_eq!(fs::read_dir(run_dir.path().join(FOLDER)).unwrap().count(), 3);
    }

    #[test]
    fn nothing_is_written_where_there_is_no_run() {
        let run_dir = tempfile::tempdir().unwrap();
        assert!(kept(run_dir.path(), 1).is_empty());
        assert_eq!(fs::read_dir(run_dir.path()).unwrap().count(), 0);
    }

    /// No harm: files that are called like a log are left as they are.
    #[test]
    fn somebody_elses_file_is_not_written_to_nor_put_aside() {
        let run_dir = tempfile::tempdir().unwrap();
        fs::write(run_dir.path().join(DATABASE), "").unwrap();
        let folder = run_dir.path().join(FOLDER);
        fs::create_dir(&folder).unwrap();
        for (name, mib) in [("a-1.log", 1), ("a-1.log.2", 20)] {
            fs::write(folder.join(name), "years").unwrap();
            kept(run_dir.path(), mib);
            assert_eq!(fs::read(folder.join(name)).unwrap(), b"years");
            fs::remove_file(folder.join(name)).unwrap();
        }
    }

    #[test]
    fn a_line_that_a_kill_has_torn_is_ended() {
        let run_dir = tempfile::tempdir().unwrap();
        fs::write(run_dir.path().join(DATABASE), "").unwrap();
        let folder = run_dir.path().join(FOLDER);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a-1.log"), format!("{HEAD}2026-01-02T03:0")).unwrap();
        assert_eq!(kept(run_dir.path(), 1), [1_024]);
    }
}
