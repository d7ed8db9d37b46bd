//! The life of one unit, from the diaries of the ventilator, of workers that send to others, and of the sink.
//!
//! Owns the choice of the entries that concern a unit and their order; refuses to guess: what no
//! diary holds is not told.

use std::{fmt, fs, io, path::Path};

use proto::{
    diary::{self, Event, Fate, Note},
    gist::beginning,
};
use serde::Serialize;
use sink::{figures::counted, run_dir::fact_of_others};

/// So much of an input is shown.
const INPUT_CHARS_MAX: usize = 100;

/// One step in the life of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When, in milliseconds since 1970.
    pub ms: u64,
    /// What happened.
    pub what: String,
}

/// The life of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Life {
    /// Which unit.
    pub unit: u64,
    /// What it was given, if it was looked for by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// What happened to it, oldest first.
    pub steps: Vec<Step>,
}

/// What the diaries in a run directory tell of these units, each.
///
/// # Errors
/// When there is no diary, or it can't be read.
pub fn explain(run_dir: &Path, units: &[u64]) -> io::Result<Vec<Life>> {
    let mut concerns: Vec<Concern> = units.iter().map(|unit| Concern::of(*unit)).collect();
    let mut found = false;
    let stages: Option<Vec<String>> = fact_of_others(run_dir, "stages").ok().flatten();
    let stages = stages.unwrap_or_default();
    for file in diaries(run_dir, &stages) {
        let Some(diary) = diary::read_if_there(&run_dir.join(file))? else { continue };
        found = true;
        concerns.iter_mut().for_each(|concern| concern.holders.clear());
        for entry in diary {
            concerns.iter_mut().for_each(|concern| concern.see(&entry));
        }
    }
    if !found {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no diary"));
    }
    Ok(concerns.into_iter().map(|concern| concern.life(&stages)).collect())
}

/// The names that diaries can have here, in the order in which a unit passes those who keep them: what
/// happened in the same millisecond is told so.
fn diaries(run_dir: &Path, stages: &[String]) -> Vec<String> {
    let entries = fs::read_dir(run_dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut files: Vec<String> = names.filter(|name| diary::worker_of(name).is_some()).collect();
    let stage_of = |name: &str| {
        let (stage, _) = diary::worker_of(name)?.rsplit_once('-')?;
        stages.iter().position(|known| known == stage)
    };
    files.sort_by_cached_key(|name| (stage_of(name), name.clone()));
    files.insert(0, diary::VENTILATOR_FILE.into());
    files.push(diary::SINK_FILE.into());
    files
}

/// The entries that concern a unit, or a worker that has it at that moment.
struct Concern {
    unit: u64,
    holders: Vec<String>,
    entries: Vec<Note>,
}

impl Concern {
    fn of(unit: u64) -> Self {
        Self { unit, holders: Vec::new(), entries: Vec::new() }
    }

    fn see(&mut self, entry: &Note) {
        if self.is_mine(&entry.event) {
            self.entries.push(entry.clone());
        }
    }

    fn is_mine(&mut self, event: &Event) -> bool {
        let Self { unit, holders, .. } = self;
        let within = |first: u64, count: u64| (first..first.saturating_add(count)).contains(unit);
        match event {
            Event::Sent { first, count, worker, .. } => {
                let mine = within(*first, u64::from(*count));
                holders.extend(mine.then(|| worker.clone()));
                mine
            }
            Event::SentSome { units, worker, .. } => {
                let mut units = units.iter();
                let mine = units.any(|(first, count)| within(*first, u64::from(*count)));
                holders.extend(mine.then(|| worker.clone()));
                mine
            }
            Event::Failed { unit: failed, worker, .. } => {
                let mine = failed == unit;
                if mine {
                    holders.retain(|holder| holder != worker);
                }
                mine
            }
            Event::Lost { worker, .. } => {
                let before = holders.len();
                holders.retain(|holder| holder != worker);
                holders.len() < before
            }
            Event::Committed { first, count, .. } => within(*first, *count),
            Event::Unwritable { unit: dead, .. } => dead == unit,
            Event::Started => {
                holders.clear();
                false
            }
        }
    }

    fn life(mut self, stages: &[String]) -> Life {
        self.entries.sort_by_key(|entry| entry.ms);
        let is_committed = |entry: &Note| matches!(entry.event, Event::Committed { .. });
        let committed = self.entries.iter().position(is_committed).unwrap_or(usize::MAX);
        // Of a committed unit nothing is lost with a worker that has had it.
        let matters = |&(at, entry): &(usize, &Note)| at < committed || !is_loss(&entry.event);
        let steps = self.entries.iter().enumerate().filter(matters).map(|(_, entry)| entry);
        let steps = steps.map(|entry| Step { ms: entry.ms, what: told(&entry.event, stages) });
        Life { unit: self.unit, input: None, steps: steps.collect() }
    }
}

fn is_loss(event: &Event) -> bool {
    matches!(event, Event::Lost { .. })
}

fn told(event: &Event, stages: &[String]) -> String {
    match event {
        Event::Sent { count: 1, worker, attempt, .. }
        | Event::SentSome { values: 1, worker, attempt, .. } => {
            format!("sent to {worker}, alone, attempt {attempt}")
        }
        Event::Sent { count, worker, attempt, .. }
        | Event::SentSome { values: count, worker, attempt, .. } => {
            format!("sent to {worker} in a parcel of {count}, attempt {attempt}")
        }
        Event::Failed { worker, error, .. } => format!("failed at {worker}: {error}"),
        Event::Lost { worker, loss } => format!("{worker} was lost ({loss})"),
        Event::Committed { fate, stage, worker, attempt, .. } => {
            let fate = match fate {
                Fate::Result => "result",
                Fate::Results(count) => {
                    return format!(
                        "committed: {}",
                        counted(u64::from(*count), ["result", "results"])
                    );
                }
                Fate::Filtered => return "committed: filtered".into(),
                Fate::Dead => "dead",
            };
            let number = stage.to_string();
            let stage = stages.get(*stage as usize).unwrap_or(&number);
            format!("committed: {fate} of {worker}, stage {stage}, attempt {attempt}")
        }
        Event::Unwritable { error, .. } => format!("dead all the same: {error}"),
        Event::Started => "the process started".into(),
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.steps.first() else {
            return writeln!(f, "unit {}: nothing is known of it", self.unit);
        };
        match &self.input {
            Some(input) => writeln!(
                f,
                "unit {}: {}",
                self.unit,
                beginning(input, INPUT_CHARS_MAX).replace(char::is_control, " ")
            )?,
            None => writeln!(f, "unit {}", self.unit)?,
        }
        for step in &self.steps {
            let since = (step.ms - first.ms) as f64 / 1e3;
            writeln!(f, "  {since:>10.3} s  {}", step.what)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proto::diary::Diary;

    use super::*;

    #[test]
    fn a_life_tells_every_try_and_the_losses_that_matter() {
        let folder = tempfile::tempdir().unwrap();
        let sent = |first, worker: &str, attempt| Event::Sent {
            first,
            count: 10,
            worker: worker.into(),
            attempt,
        };
        let lost = |worker: &str| Event::Lost { worker: worker.into(), loss: "silent".into() };
        let mut diary = Diary::open(&folder.path().join(diary::VENTILATOR_FILE)).unwrap();
        for event in [sent(0, "a", 1), sent(10, "b", 1), lost("b"), lost("a"), sent(0, "c", 1)] {
            diary.note(event);
        }
        drop(diary);
        let mut diary = Diary::open(&folder.path().join(diary::SINK_FILE)).unwrap();
        diary.note(Event::Committed {
            first: 3,
            count: 4,
            fate: Fate::Result,
            stage: 0,
            worker: "c".into(),
            attempt: 1,
        });
        drop(diary);
        let lives = explain(folder.path(), &[5, 99]).unwrap();
        let life = &lives[0];
        let told: Vec<&str> = life.steps.iter().map(|step| step.what.as_str()).collect();
        assert_eq!(
            told,
            [
                "sent to a in a parcel of 10, attempt 1",
                "a was lost (silent)",
                "sent to c in a parcel of 10, attempt 1",
                "committed: result of c, stage 0, attempt 1",
            ]
        );
        assert!(lives[1].to_string().contains("nothing is known"));
    }

    #[test]
    fn a_life_tells_what_workers_send_each_other_in_the_order_of_the_stages() {
        let folder = tempfile::tempdir().unwrap();
        let keep = |file: &str, events: Vec<Event>| {
            let mut diary = Diary::open(&folder.path().join(file)).unwrap();
            events.into_iter().for_each(|event| diary.note(event));
        };
        let (first, count, attempt) = (4, 2, 1);
        let to = |worker: &str| worker.to_owned();
        let lost = Event::Lost { worker: "b-1".into(), loss: "silent".into() };
        let failed = Event::Failed { unit: 5, worker: "c-2".into(), error: "no page".into() };
        let fate = Fate::Results(3);
        keep(
            "diary-worker-b-1",
            vec![
                Event::SentSome {
                    units: vec![(1, 2), (4, 3)],
                    values: 7,
                    worker: to("c-2"),
                    attempt,
                },
                failed,
            ],
        );
        keep(
            "diary-worker-a-1",
            vec![Event::Sent { first, count, worker: to("b-1"), attempt }, lost],
        );
        keep(
            diary::SINK_FILE,
            vec![Event::Committed {
                first: 5,
                count: 1,
                fate,
                stage: 2,
                worker: to("c-2"),
                attempt,
            }],
        );
        keep(
            diary::VENTILATOR_FILE,
            vec![Event::Sent { first, count, worker: to("a-1"), attempt }],
        );
        keep("diary-worker-notes", vec![Event::Sent { first, count, worker: to("x"), attempt }]);
        let files = diaries(folder.path(), &["b", "a"].map(String::from));
        assert_eq!(
            files,
            ["diary-ventilator", "diary-worker-b-1", "diary-worker-a-1", "diary-sink"]
        );
        let mut life = explain(folder.path(), &[5]).unwrap().remove(0);
        // The clock may have moved on in between.
        life.steps.sort_by(|a, b| a.what.cmp(&b.what));
        let told: Vec<&str> = life.steps.iter().map(|step| step.what.as_str()).collect();
        assert_eq!(
            told,
            [
                "b-1 was lost (silent)",
                "committed: 3 results",
                "failed at c-2: no page",
                "sent to a-1 in a parcel of 2, attempt 1",
                "sent to b-1 in a parcel of 2, attempt 1",
                "sent to c-2 in a parcel of 7, attempt 1",
            ]
        );
    }

    /// A worker that leaves at the end of a run may be gone before it is heard that it leaves.
    #[test]
    fn a_worker_that_is_lost_after_the_commit_is_not_told() {
        let note = |ms, event| Note { ms, event };
        let (first, worker, attempt) = (3, "a".to_owned(), 1);
        let lost = Event::Lost { worker: worker.clone(), loss: "disconnected".into() };
        let sent = Event::Sent { first, count: 1, worker: worker.clone(), attempt };
        let fate = Fate::Filtered;
        let committed = Event::Committed { first, count: 1, fate, stage: 0, worker, attempt };
        let mut concern = Concern::of(3);
        let notes = [note(1, sent.clone()), note(2, lost.clone()), note(3, sent), note(5, lost)];
        notes.iter().chain([&note(4, committed)]).for_each(|note| concern.see(note));
        let told: Vec<u64> = concern.life(&[]).steps.iter().map(|step| step.ms).collect();
        assert_eq!(told, [1, 2, 3, 4]);
    }

    #[test]
    fn without_a_diary_there_is_nothing_to_tell() {
        assert!(explain(Path::new("/no/such/run"), &[1]).is_err());
    }
}
