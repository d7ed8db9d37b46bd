//! What is shown of a run at a moment.
//!
//! Owns the form of `/api/run`: what `pipeline top --output json` tells, and what is known here
//! besides. Refuses to ask anybody.

use proto::frame::OpenUnit;
use serde::Serialize;

use super::{
    letters::{Letter, Letters},
    told::{Line, RunFacts, Told},
};
use crate::runs::wire::{Details, StageStanding, Status, WorkerStanding};

/// The version of the form.
const VERSION: u32 = 1;

/// See the module.
#[derive(Debug, Serialize)]
pub(super) struct Picture<'a> {
    version: u32,
    pub(super) run: &'a RunFacts,
    /// The exit code, once the run is over.
    pub(super) over: Option<i32>,
    /// How long ago the launcher has said this.
    age_s: f64,
    pub(super) status: &'a Status,
    /// The name of the stage that limits the run, if one does.
    limits: Option<&'a str>,
    pub(super) read: u64,
    awaited: Option<u64>,
    pub(super) stages: Vec<StagePicture<'a>>,
    workers: &'a [WorkerStanding],
    oldest: &'a [OpenUnit],
    dead_letters: Vec<&'a Letter>,
    lines: &'a [Line],
}

/// A stage, and what follows from its place among the others.
#[derive(Debug, Serialize)]
pub(super) struct StagePicture<'a> {
    #[serde(flatten)]
    pub(super) standing: &'a StageStanding,
    /// Units that it has been given and not finished, those that wait included; about.
    pub(super) open: u64,
    /// Units that failed for good in it.
    pub(super) dead: u64,
    /// Executions that failed, and were not the last of their unit.
    pub(super) retried: u64,
}

impl<'a> Picture<'a> {
    /// Of what the launcher has told, and the dead letters.
    pub(super) fn of(run: &'a RunFacts, told: &'a Told, letters: &'a Letters) -> Self {
        let details = &told.details;
        Self {
            version: VERSION,
            run,
            over: told.over,
            age_s: told.at.elapsed().as_secs_f64(),
            status: &details.status,
            limits: limiting(details),
            read: details.read,
            awaited: details.awaited,
            stages: stages(details, letters),
            workers: &details.workers,
            oldest: &details.oldest,
            dead_letters: letters.last().collect(),
            lines: &told.lines,
        }
    }
}

fn limiting(details: &Details) -> Option<&str> {
    details.limiting().and_then(|index| details.stages.get(index)).map(|stage| stage.name.as_str())
}

/// What came to a stage and has not left it is open there. Processes that were started again count from
/// the beginning, so it is never more than what was read and is not committed.
fn stages<'a>(details: &'a Details, letters: &Letters) -> Vec<StagePicture<'a>> {
    let under_way = details.read.saturating_sub(details.status.done);
    let mut given = details.read;
    let told = details.stages.iter().enumerate().map(|(index, standing)| {
        let dead = letters.in_stage(&standing.name);
        let left = standing.units.saturating_sub(standing.failed).saturating_add(dead);
        let open = given.saturating_sub(left);
        // An output may become many units, which the source has not counted.
        let open = if index == 0 { open.min(under_way) } else { open };
        given = standing.outputs;
        StagePicture { standing, open, dead, retried: standing.failed.saturating_sub(dead) }
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_came_to_a_stage_and_has_not_left_it_is_open_there() {
        let stage = |units, failed, outputs| StageStanding {
            name: "s".into(),
            units,
            failed,
            outputs,
            ..StageStanding::default()
        };
        let mut details = Details {
            read: 100,
            stages: vec![stage(90, 10, 80), stage(30, 0, 30)],
            ..Details::default()
        };
        let letters = Letters::of(Path::new("/none"));
        let open = |details: &Details| -> Vec<u64> {
            stages(details, &letters).iter().map(|stage| stage.open).collect()
        };
        assert_eq!(open(&details), [20, 50]);
        assert_eq!(stages(&details, &letters)[0].retried, 10);
        // Its workers were started again, and have counted little.
        details.stages[0].units = 1;
        details.status.done = 95;
        assert_eq!(open(&details)[0], 5);
    }
}
