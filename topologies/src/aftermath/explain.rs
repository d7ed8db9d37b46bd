//! The life of one unit, from the diaries of ventilator and sink.
//!
//! Owns the choice of the entries that concern a unit and their order; refuses to guess: what no
//! diary holds is not told.

use std::{fmt, io, path::Path};

use proto::diary::{self, Event, Fate, Note};
use serde::Serialize;
use sink::{figures::counted, run_dir::fact_of_others};

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

/// What the diaries in a run directory tell of a unit.
///
/// # Errors
/// When there is no diary, or it can't be read.
pub fn explain(run_dir: &Path, unit: u64) -> io::Result<Life> {
    let mut entries = Vec::new();
    let mut found = false;
    for file in [diary::VENTILATOR_FILE, diary::SINK_FILE] {
        match diary::read(&run_dir.join(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(diary) => {
                found = true;
                entries.extend(concerning(diary, unit));
            }
        }
    }
    if !found {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no diary"));
    }
    entries.sort_by_key(|entry| entry.ms);
    let stages: Option<Vec<String>> = fact_of_others(run_dir, "stages").ok().flatten();
    let stages = stages.unwrap_or_default();
    let steps =
        entries.into_iter().map(|entry| Step { ms: entry.ms, what: told(&entry.event, &stages) });
    Ok(Life { unit, input: None, steps: steps.collect() })
}

/// The entries that concern a unit, or a worker that has it at that moment.
fn concerning(diary: impl Iterator<Item = Note>, unit: u64) -> Vec<Note> {
    let mut holders: Vec<String> = Vec::new();
    let within = |first: u64, count: u64| (first..first.saturating_add(count)).contains(&unit);
    diary
        .filter(|entry| match &entry.event {
            Event::Sent { first, count, worker, .. } => {
                let mine = within(*first, u64::from(*count));
                if mine {
                    holders.push(worker.clone());
                }
                mine
            }
            Event::Failed { unit: failed, worker, .. } => {
                let mine = *failed == unit;
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
            Event::Unwritable { unit: dead, .. } => *dead == unit,
            Event::Started => {
                holders.clear();
                false
            }
        })
        .collect()
}

fn told(event: &Event, stages: &[String]) -> String {
    match event {
        Event::Sent { count: 1, worker, attempt, .. } => {
            format!("sent to {worker}, alone, attempt {attempt}")
        }
        Event::Sent { count, worker, attempt, .. } => {
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
            Some(input) => writeln!(f, "unit {}: {}", self.unit, in_a_line(input))?,
            None => writeln!(f, "unit {}", self.unit)?,
        }
        for step in &self.steps {
            let since = (step.ms - first.ms) as f64 / 1e3;
            writeln!(f, "  {since:>10.3} s  {}", step.what)?;
        }
        Ok(())
    }
}

/// The start of a text, in one line.
fn in_a_line(text: &str) -> String {
    const CHARS_MAX: usize = 100;
    let mut line: String = text.chars().take(CHARS_MAX).collect();
    if line.len() < text.len() {
        line.push('…');
    }
    line.replace(char::is_control, " ")
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
        let life = explain(folder.path(), 5).unwrap();
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
        assert!(explain(folder.path(), 99).unwrap().to_string().contains("nothing is known"));
    }

    #[test]
    fn without_a_diary_there_is_nothing_to_tell() {
        assert!(explain(Path::new("/no/such/run"), 1).is_err());
    }
}
