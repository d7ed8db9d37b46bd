//! The job log: how each unit ended, a line each, with GNU parallel's columns and some more.
//!
//! Owns the form of a line and the file of a run. Lines are appended once their units are known to be
//! new and before they are committed, so that nothing that is committed is missing after a kill;
//! of a unit that is there twice the later line counts. Refuses to be waited for: nobody syncs it.

use std::{
    fmt::Display,
    fs,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proto::unit::UnitName;
use serde::{Deserialize, Serialize};

use crate::{
    accept::entry::{Entry, Outcome},
    output::{claim::Claim, error::OutputError, tail::Tail},
};

/// The names of the columns.
pub const HEAD: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\tUnit\tAttempt\tStage\n";

/// What every job log begins with.
pub const BEGINNING: &[u8] = b"Seq\tHost\t";

/// How one unit ended.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// Where it ran.
    pub host: &'a str,
    /// Since 1970.
    pub began: Duration,
    /// How long it took.
    pub took: Duration,
    /// Bytes that it gave.
    pub received: u64,
    /// Its exit code; 0 is good.
    pub exit: i32,
    /// The signal that ended it; 0: none.
    pub signal: i32,
    /// What ran.
    pub command: &'a str,
    /// Which try it was, from 1.
    pub attempt: u32,
    /// The stage.
    pub stage: &'a str,
}

impl Line<'_> {
    /// Appends the line, with the unit's name as the run knows it.
    pub fn write(&self, unit: impl Display, out: &mut Vec<u8>) {
        let Self { number, host, began, took, received, exit, signal, .. } = *self;
        let Self { command, attempt, stage, .. } = *self;
        // Writing to a vector cannot fail.
        let _ = writeln!(
            out,
            "{number}\t{host}\t{}.{:03}\t{:6}.{:03}\t0\t{received}\t{exit}\t{signal}\t{command}\t{unit}\t{attempt}\t{stage}",
            began.as_secs(),
            began.subsec_millis(),
            took.as_secs(),
            took.subsec_millis(),
        );
    }
}

/// A text in one column of one line.
pub fn in_a_column(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
}

/// Where the job log of a run goes, and what ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLogSpec {
    /// The file.
    pub path: PathBuf,
    /// What each stage runs, for the column `Command`.
    #[serde(default)]
    pub commands: Vec<String>,
}

/// The job log of a run.
pub(crate) struct JobLog {
    tail: Tail,
    commands: Vec<String>,
    stages: Vec<String>,
}

impl JobLog {
    /// Opens the file, anew or, in a run that goes on and has made it, behind its last whole line.
    pub fn open(spec: &JobLogSpec, claim: &Claim) -> Result<Self, OutputError> {
        let open_error = |source| OutputError::Open { path: spec.path.clone(), source };
        let goes_on = claim.resumes
            && fs::metadata(&spec.path).is_ok_and(|data| data.is_file() && claim.owns(&data));
        let whole = match goes_on {
            true => Some(whole_lines(&spec.path).map_err(open_error)?),
            false => None,
        };
        let mut tail = Tail::open(&spec.path, whole.filter(|len| *len > 0), claim)?;
        if tail.is_empty() {
            tail.append(|out| {
                out.extend_from_slice(HEAD.as_bytes());
                Ok::<_, OutputError>(())
            })?;
            tail.flush()?;
        }
        let commands = spec.commands.iter().map(|command| in_a_column(command)).collect();
        Ok(Self { tail, commands, stages: Vec::new() })
    }

    /// The names of the stages.
    pub fn set_stages(&mut self, stages: &[String]) {
        self.stages = stages.iter().map(|stage| in_a_column(stage)).collect();
    }

    /// Appends a line for each unit of these.
    pub fn put<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) -> Result<(), OutputError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let Self { tail, commands, stages } = self;
        for entry in entries {
            tail.append(|out| {
                put(entry, now, commands, stages, out);
                Ok::<_, OutputError>(())
            })?;
        }
        tail.flush()
    }
}

fn put(entry: &Entry, now: Duration, commands: &[String], stages: &[String], out: &mut Vec<u8>) {
    let (stage, host, attempt) = entry.came_of();
    let name = |names: &[String]| names.get(stage as usize).cloned().unwrap_or_default();
    let (stage, command) = (name(stages), name(commands));
    let command = if command.is_empty() { &stage } else { &command };
    let host = in_a_column(host);
    let line = Line {
        number: 0,
        host: &host,
        began: now,
        took: Duration::ZERO,
        received: 0,
        exit: 0,
        signal: 0,
        command,
        attempt: attempt.max(1),
        stage: &stage,
    };
    match &entry.outcome {
        Outcome::Values { units, timing, .. } => {
            let mut times = timing.iter().flat_map(|(count, us)| {
                std::iter::repeat_n(Duration::from_micros(u64::from(*us)), *count as usize)
            });
            let all = timing.iter().map(|(count, us)| u64::from(*count) * u64::from(*us)).sum();
            // They were worked on one after the other, and have just come.
            let mut began = now.saturating_sub(Duration::from_micros(all));
            for (index, unit) in (entry.first..entry.first + entry.count).enumerate() {
                let took = times.next().unwrap_or_default();
                let received = units.value(index).len() as u64;
                Line { number: unit + 1, began, took, received, ..line }.write(unit, out);
                began += took;
            }
        }
        Outcome::Expanded(outputs) => {
            let each = outputs.leaves().map(|leaf| (leaf.us, leaf.value.len() as u64));
            let (us, received) =
                each.fold((0, 0), |sum, (us, bytes)| (sum.0 + u64::from(us), sum.1 + bytes));
            let took = Duration::from_micros(us);
            let began = now.saturating_sub(took);
            let number = entry.first + 1;
            Line { number, began, took, received, ..line }.write(entry.first, out);
        }
        Outcome::Filtered(_) => {
            for unit in entry.first..entry.first + entry.count {
                Line { number: unit + 1, ..line }.write(unit, out);
            }
        }
        Outcome::Dead { dead, .. } => {
            let (exit, signal) = ending(&dead.error);
            let attempt = dead.attempts.max(1);
            Line { number: entry.first + 1, exit, signal, attempt, ..line }
                .write(UnitName(entry.first, dead.path.iter().map(|step| step.index)), out);
        }
    }
}

/// The exit code and the signal of a failed unit's program, as the words of `exec` tell them; of any
/// other failure 1 and none.
fn ending(error: &str) -> (i32, i32) {
    let number = |before: &str| -> Option<i32> {
        let (_, rest) = error.split_once(before)?;
        let digits = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..digits)?.parse().ok()
    };
    match (number("` ended with exit status: "), number("` ended with signal: ")) {
        (Some(exit), _) => (exit, 0),
        (None, Some(signal)) => (-1, signal),
        (None, None) => (1, 0),
    }
}

/// How many bytes of a file are whole lines; 0 if it is no job log.
fn whole_lines(path: &Path) -> std::io::Result<u64> {
    let mut file = fs::File::open(path)?;
    let mut beginning = Vec::new();
    Read::by_ref(&mut file).take(BEGINNING.len() as u64).read_to_end(&mut beginning)?;
    if beginning != BEGINNING {
        return Ok(0);
    }
    const CHUNK: u64 = 64 << 10;
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        file.seek(SeekFrom::Start(start))?;
        let mut chunk = Vec::new();
        Read::by_ref(&mut file).take(end - start).read_to_end(&mut chunk)?;
        if let Some(place) = memchr::memrchr(b'\n', &chunk) {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use proto::{frame::Dead, units::Units};

    use super::*;
    use crate::{accept::entry::Origin, output::claim::Existing};

    fn origin() -> Origin {
        Origin { stage: 0, attempt: 2, worker: "fetch-1".into() }
    }

    fn values(first: u64) -> Entry {
        let units = Units::from_source(first, vec![7, 7, 9], vec![1, 3]);
        Entry {
            first,
            count: 2,
            outcome: Outcome::Values {
                origin: origin(),
                units,
                timing: vec![(1, 1_500_000), (1, 20_000)],
            },
        }
    }

    fn dead(error: &str) -> Entry {
        let dead = Dead {
            root: 4,
            path: Vec::new(),
            stage: 0,
            input: vec![1],
            error: error.into(),
            attempts: 3,
            worker: "parse-2".into(),
        };
        Entry { first: 4, count: 1, outcome: Outcome::Dead { origin: origin(), dead } }
    }

    fn spec(path: &Path) -> JobLogSpec {
        JobLogSpec { path: path.into(), commands: vec!["exec a\tb".into()] }
    }

    fn columns(path: &Path) -> Vec<Vec<String>> {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| line.split('\t').map(str::to_owned).collect());
        lines.collect()
    }

    #[test]
    fn each_unit_has_a_line_with_its_own_time_and_exit_code() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = JobLog::open(&spec(&path), &Claim::default()).unwrap();
        log.set_stages(&["fetch".into()]);
        let filtered = Entry { first: 2, count: 2, outcome: Outcome::Filtered(0) };
        let failed = dead("`sh` ended with exit status: 3; on stderr: no");
        log.put([values(0), filtered, failed].iter()).unwrap();
        let lines = columns(&path);
        assert_eq!(lines[0].join("\t") + "\n", HEAD);
        assert!(lines.iter().all(|line| line.len() == 12), "{lines:?}");
        let column = |index: usize| -> Vec<&str> {
            lines[1..].iter().map(|line| line[index].trim()).collect()
        };
        assert_eq!(column(0), ["1", "2", "3", "4", "5"]);
        assert_eq!(column(1), ["fetch-1", "fetch-1", "", "", "parse-2"]);
        assert_eq!(column(3), ["1.500", "0.020", "0.000", "0.000", "0.000"]);
        assert_eq!(column(5), ["1", "2", "0", "0", "0"]);
        assert_eq!(column(6), ["0", "0", "0", "0", "3"]);
        assert_eq!(column(8), ["exec a\\tb"; 5]);
        assert_eq!(column(10), ["2", "2", "1", "1", "3"]);
        let began: Vec<f64> = column(2).iter().map(|text| text.parse().unwrap()).collect();
        assert!((began[1] - began[0] - 1.5).abs() < 0.002, "{began:?}");
    }

    #[test]
    fn a_run_that_goes_on_appends_behind_the_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let made = crate::output::made::Made::open(folder.path()).unwrap();
        let claim = Claim { made: Some(made), ..Claim::default() };
        JobLog::open(&spec(&path), &claim).unwrap().put([values(0)].iter()).unwrap();
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("3\tfet");
        fs::write(&path, text).unwrap();
        let resumes = Claim { resumes: true, ..claim.clone() };
        JobLog::open(&spec(&path), &resumes).unwrap().put([dead("no")].iter()).unwrap();
        let numbers: Vec<String> = columns(&path).iter().map(|line| line[0].clone()).collect();
        assert_eq!(numbers, ["Seq", "1", "2", "5"]);
        // The same run anew, and a file of somebody else's.
        JobLog::open(&spec(&path), &claim).unwrap();
        assert_eq!(columns(&path).len(), 1);
        let theirs = folder.path().join("thesis");
        fs::write(&theirs, "a thesis\n").unwrap();
        assert!(JobLog::open(&spec(&theirs), &resumes).is_err());
        let given_up = Claim { existing: Existing::Overwrite, ..Claim::default() };
        assert!(JobLog::open(&spec(&theirs), &given_up).is_ok());
    }

    #[test]
    fn how_a_program_ended_is_read_from_the_words_of_exec() {
        let told = "`sh` ended with signal: 9 (SIGKILL)";
        assert_eq!(
            [told, "boom", "`a` ended with exit status: 70"].map(ending),
            [(-1, 9), (1, 0), (70, 0)]
        );
    }
}
