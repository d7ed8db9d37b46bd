//! A program for each unit.
//!
//! Owns how a unit's values become a command, how it is run, and the ledger in which those that are
//! done wait for their turn: what they printed never travels. A program that fails is tried again as
//! often as was asked; how the last try ended is the unit's outcome, with what it printed, as in a
//! shell. Refuses to write any of it.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use worker::external::{
    job,
    slots::Slots,
    template::{Reader, Template, Values, quoted},
};

use super::arguments::Row;

/// What a shell gives for a program that is not there, and for one that can't be started.
const NOT_FOUND: i32 = 127;
const NOT_STARTED: i32 = 126;
/// A time limit in percent is known once so many units are done.
const MEDIAN_OF: usize = 3;

/// What is started for a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line for `sh -c`, whose values are quoted.
    Shell(Template),
    /// Each word an argument, without a shell.
    Words(Vec<Template>),
    /// The unit itself is a line for `sh -c`.
    Given,
}

impl Line {
    /// The command of these words: one is a line for a shell, several are a program and its arguments.
    /// Where nothing of a unit stands anywhere, its value comes last.
    pub fn of(words: &[OsString], whole: &OsStr) -> Self {
        let template = |text: &OsStr| Template::new(text, whole);
        let value = || template(whole);
        match words {
            [] => Self::Given,
            [word] if is_path(word) && !template(word).has_place() => {
                Self::Words(vec![template(word), value()])
            }
            [line] if template(line).has_place() => Self::Shell(template(line)),
            [line] => {
                let mut with_value = line.clone();
                with_value.push(" ");
                with_value.push(whole);
                Self::Shell(template(&with_value))
            }
            words => {
                let mut templates: Vec<_> = words.iter().map(|word| template(word)).collect();
                if !templates.iter().any(Template::has_place) {
                    templates.push(value());
                }
                Self::Words(templates)
            }
        }
    }

    /// What is started for these values.
    fn words(&self, values: Values<'_>) -> Vec<OsString> {
        let shell = |line: OsString| vec!["sh".into(), "-c".into(), line];
        match self {
            Self::Shell(line) => shell(line.fill(values, Reader::Shell)),
            Self::Given => shell(values.values.join(OsStr::new(" "))),
            // A word that stands for several values is as many arguments.
            Self::Words(words) => words.iter().flat_map(|word| word.fill_words(values)).collect(),
        }
    }

    /// The same as a person would type it.
    pub fn shown(&self, values: Values<'_>) -> OsString {
        self.typed(&self.words(values))
    }

    /// What is started, as a person would type it: a shell's line is what the shell is given.
    fn typed(&self, words: &[OsString]) -> OsString {
        match self {
            Self::Shell(_) | Self::Given => words.last().cloned().unwrap_or_default(),
            Self::Words(_) => {
                let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
                words.join(OsStr::new(" "))
            }
        }
    }
}

/// A program by its path, with nothing in it that a shell would do something about.
fn is_path(word: &OsStr) -> bool {
    word.as_bytes().contains(&b'/') && quoted(word) == word
}

/// How long a unit may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// So long.
    Time(Duration),
    /// This part of the median of those that are done.
    OfMedian(f64),
}

/// How a unit ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// Its number, from 1.
    pub number: u64,
    /// Its values.
    pub values: Row,
    /// What was started for it.
    pub command: OsString,
    /// When.
    pub began: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Its exit status; 0 for one that a signal ended.
    pub exit: i32,
    /// The signal that ended it, or 0.
    pub signal: i32,
    /// How many tries there were.
    pub attempt: u32,
    /// What it printed.
    pub printed: Vec<u8>,
    /// Why it has failed, where its status does not say it.
    pub trouble: Option<String>,
    /// It was begun before it was enough.
    pub begun: bool,
}

impl Done {
    /// Whether it went well.
    pub fn is_good(&self) -> bool {
        self.exit == 0 && self.signal == 0 && self.trouble.is_none()
    }

    /// Why it has failed, for people.
    pub fn problem(&self) -> String {
        match (&self.trouble, self.signal) {
            (Some(trouble), _) => trouble.clone(),
            (None, 0) => format!("exit status {}", self.exit),
            (None, signal) => format!("ended by signal {signal}"),
        }
    }
}

/// A unit as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    number: u64,
    values: Vec<ByteBuf>,
}

impl Job {
    /// Unit `number`, counted from 1.
    pub fn new(number: u64, row: Row) -> Self {
        let values = row.into_iter().map(|value| ByteBuf::from(value.into_vec())).collect();
        Self { number, values }
    }
}

/// What is wanted of all units.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// What is started.
    pub line: Line,
    /// Tries after the first.
    pub retries: u32,
    /// How long one may take.
    pub limit: Option<Limit>,
    /// Where each unit's streams are kept besides.
    pub results: Option<PathBuf>,
}

/// All units.
#[derive(Debug)]
pub struct Jobs {
    terms: Terms,
    slots: Slots,
    closed: AtomicBool,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    done: HashMap<u64, Done>,
    tries: HashMap<u64, u32>,
    // How long those took that are done, in order.
    times: Vec<Duration>,
}

impl Jobs {
    /// None of them is begun.
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            slots: Slots::default(),
            closed: AtomicBool::new(false),
            ledger: Mutex::default(),
        }
    }

    /// No further one is begun.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether that was said.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Works on a unit: its number, once how it ended is in the ledger.
    ///
    /// # Errors
    /// Why it has to be tried again.
    pub fn work(&self, job: Job) -> Result<u64, String> {
        let number = job.number;
        let values: Row =
            job.values.into_iter().map(|value| OsString::from_vec(value.into_vec())).collect();
        let attempt = {
            let mut ledger = self.ledger();
            let tries = ledger.tries.entry(number).or_default();
            *tries += 1;
            *tries
        };
        let done = match self.is_closed() {
            true => self.unbegun(number, values),
            false => self.run(number, values, attempt),
        };
        let mut ledger = self.ledger();
        if done.begun && !done.is_good() && attempt <= self.terms.retries && !self.is_closed() {
            return Err(done.problem());
        }
        ledger.tries.remove(&number);
        if done.is_good() && done.begun && matches!(self.terms.limit, Some(Limit::OfMedian(_))) {
            let at = ledger.times.partition_point(|time| *time < done.took);
            ledger.times.insert(at, done.took);
        }
        ledger.done.insert(number, done);
        Ok(number)
    }

    /// Takes a unit that is done out of the ledger.
    pub fn take(&self, number: u64) -> Option<Done> {
        self.ledger().done.remove(&number)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Nothing under the lock can panic halfway.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unbegun(&self, number: u64, values: Row) -> Done {
        Done {
            number,
            values,
            command: OsString::new(),
            began: SystemTime::now(),
            took: Duration::ZERO,
            exit: 0,
            signal: 0,
            attempt: 0,
            printed: Vec::new(),
            trouble: None,
            begun: false,
        }
    }

    fn run(&self, number: u64, values: Row, attempt: u32) -> Done {
        let slot = self.slots.take();
        let places = Values { values: &values, number, slot: slot.number() };
        let words = self.terms.line.words(places);
        let command = self.terms.line.typed(&words);
        let mut done = Done { command, attempt, begun: true, ..self.unbegun(number, Vec::new()) };
        let start = Instant::now();
        match self.start(&words, places) {
            Ok(ended) => {
                done.exit = ended.status.code().unwrap_or(0);
                done.signal = ended.status.signal().unwrap_or(0);
                done.printed = ended.printed;
                done.trouble = ended.timed_out.then(|| "it took longer than its limit".to_owned());
            }
            Err(error) => {
                let missing = error.kind() == io::ErrorKind::NotFound;
                done.exit = if missing { NOT_FOUND } else { NOT_STARTED };
                let program =
                    words.first().map(|word| word.display().to_string()).unwrap_or_default();
                done.trouble = Some(format!("cannot start {program}: {error}"));
            }
        }
        done.took = start.elapsed();
        done.values = values;
        if let Err(error) = self.keep(&done) {
            done.trouble.get_or_insert(format!("its results cannot be kept: {error}"));
        }
        done
    }

    fn start(&self, words: &[OsString], places: Values<'_>) -> io::Result<job::Ended> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(io::Error::other("there is no command"));
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        command.env("PARALLEL_SEQ", places.number.to_string());
        command.env("PARALLEL_JOBSLOT", places.slot.to_string());
        command.env("PIPELINE_UNIT", (places.number - 1).to_string());
        match self.folder(places.values) {
            Some(folder) => {
                fs::create_dir_all(&folder)?;
                command.stderr(File::create(folder.join("stderr"))?);
            }
            None => _ = command.stderr(Stdio::inherit()),
        }
        job::run(&mut command, || self.limit_now())
    }

    fn limit_now(&self) -> Option<Duration> {
        match self.terms.limit {
            // So long that nobody waits for its end.
            None => Some(Duration::from_secs(u64::from(u32::MAX))),
            Some(Limit::Time(limit)) => Some(limit),
            Some(Limit::OfMedian(part)) => {
                let ledger = self.ledger();
                let median = ledger.times.get(ledger.times.len() / 2)?;
                (ledger.times.len() >= MEDIAN_OF).then(|| median.mul_f64(part))
            }
        }
    }

    /// Where a unit's streams are kept: a folder for each value below the number of its place, as GNU
    /// parallel has it.
    fn folder(&self, values: &[OsString]) -> Option<PathBuf> {
        let mut folder = self.terms.results.clone()?;
        for (index, value) in values.iter().enumerate() {
            folder.push((index + 1).to_string());
            folder.push(folder_name(value));
        }
        Some(folder)
    }

    fn keep(&self, done: &Done) -> io::Result<()> {
        let Some(folder) = self.folder(&done.values) else { return Ok(()) };
        fs::write(folder.join("stdout"), &done.printed)?;
        fs::write(folder.join("seq"), done.number.to_string())
    }
}

/// A value as the name of a folder.
fn folder_name(value: &OsStr) -> OsString {
    let mut name = Vec::new();
    for byte in value.as_bytes() {
        match byte {
            b'/' => name.extend_from_slice(b"\\z"),
            b'\\' => name.extend_from_slice(b"\\\\"),
            byte => name.push(*byte),
        }
    }
    OsString::from_vec(match name.as_slice() {
        b"" => b"\\0".to_vec(),
        b"." | b".." => [b"\\", name.as_slice()].concat(),
        _ => name,
    })
}

/// What units have written to stderr where it is kept apart; nothing where it is not.
pub fn kept_errors(jobs: &Jobs, done: &Done) -> Vec<u8> {
    let read = |folder: &Path| fs::read(folder.join("stderr"));
    jobs.folder(&done.values).and_then(|folder| read(&folder).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(line: Line) -> Terms {
        Terms { line, retries: 0, limit: None, results: None }
    }

    fn shown(words: &[&str], values: &[&str]) -> String {
        let words: Vec<OsString> = words.iter().map(Into::into).collect();
        let values: Vec<OsString> = values.iter().map(Into::into).collect();
        let values = Values { values: &values, number: 3, slot: 1 };
        Line::of(&words, "{}".as_ref()).shown(values).into_string().unwrap()
    }

    #[test]
    fn one_word_is_a_line_for_a_shell_and_several_are_a_program_with_arguments() {
        assert_eq!(shown(&["echo {} > {/.}.txt"], &["a b/c.d"]), "echo 'a b/c.d' > c.txt");
        assert_eq!(shown(&["echo"], &["a b"]), "echo 'a b'");
        assert_eq!(shown(&["echo", "-n"], &["a b"]), "echo -n 'a b'");
        assert_eq!(shown(&["echo", "{2}", "{1}"], &["a", "b"]), "echo b a");
        assert_eq!(shown(&["echo", "{}"], &["a", "b c"]), "echo a 'b c'");
        assert_eq!(shown(&[], &["echo $HOME | wc"]), "echo $HOME | wc");
        assert!(matches!(
            Line::of(&["/bin/true".into()], "{}".as_ref()),
            Line::Words(words) if words.len() == 2
        ));
    }

    fn work(jobs: &Jobs, values: &[&str]) -> Result<Done, String> {
        let row = values.iter().map(OsString::from).collect();
        let number = jobs.work(Job::new(1, row))?;
        Ok(jobs.take(number).unwrap())
    }

    #[test]
    fn a_program_that_fails_is_tried_again_and_its_last_try_counts() {
        let folder = tempfile::tempdir().unwrap();
        let line =
            format!("cd {} && echo x >> tries; wc -l < tries; false", folder.path().display());
        let line = Line::of(&[format!("{line} {{#}}").into()], "{}".as_ref());
        let jobs = Jobs::new(Terms { retries: 1, ..terms(line) });
        assert_eq!(work(&jobs, &["a"]).unwrap_err(), "exit status 1");
        let done = work(&jobs, &["a"]).unwrap();
        assert_eq!((done.exit, done.attempt, done.printed.as_slice()), (1, 2, &b"2\n"[..]));
    }

    #[test]
    fn a_program_that_is_not_there_has_a_shells_status() {
        let jobs =
            Jobs::new(terms(Line::of(&["no-such-program".into(), "{}".into()], "{}".as_ref())));
        let done = work(&jobs, &["a"]).unwrap();
        assert_eq!(done.exit, 127);
        assert!(done.problem().starts_with("cannot start no-such-program: "), "{}", done.problem());
    }

    #[test]
    fn what_is_not_begun_when_it_is_enough_stays_so() {
        let jobs = Jobs::new(terms(Line::of(&["echo".into()], "{}".as_ref())));
        jobs.close();
        assert!(!work(&jobs, &["a"]).unwrap().begun);
    }

    #[test]
    fn streams_are_kept_in_a_folder_for_each_value() {
        let folder = tempfile::tempdir().unwrap();
        let line = Line::of(&["echo {1}; echo {2} >&2".into()], "{}".as_ref());
        let jobs = Jobs::new(Terms { results: Some(folder.path().into()), ..terms(line) });
        let done = work(&jobs, &["a/b", ".."]).unwrap();
        assert_eq!(kept_errors(&jobs, &done), b"..\n");
        let kept = fs::read(folder.path().join("1/a\\zb/2/\\../stdout")).unwrap();
        assert_eq!(kept, b"a/b\n");
    }
}
