//! Gives units that failed for good another try.
//!
//! Owns the step from a run to one that lacks these units again; refuses to run it: the next start of
//! the pipeline finds them uncommitted and does what it always does. What they give then is written
//! behind what is there, since its place in the middle has been passed; whether it is moved there at the
//! end (`in_place`) is asked for here.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use proto::ranges::RangeSet;
use thiserror::Error;

use super::run_dir::{RunDir, RunDirError, fact_of_others};
use crate::{
    ledger::{
        again::{Again, Placing},
        checkpoint::Checkpoint,
    },
    letter::DeadLetter,
    names::MANIFEST,
};

/// Why units can't be tried again.
#[derive(Debug, Error)]
pub enum RetryError {
    /// The run directory can't be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// The run has not come to its end.
    #[error("the run in {} is not finished; finish it first", path.display())]
    Unfinished {
        /// The run directory.
        path: PathBuf,
    },
    /// No letter of these units is there.
    #[error("unit {id} is not among the dead letters")]
    NotDead {
        /// The unit.
        id: u64,
    },
    /// Nobody knows where in the output its result would stand.
    #[error(
        "unit {id} has no place in the output: there is one in a jsonl or csv file with order = \"input\", not in a \
         database (whose rows are ordered by whoever asks), on a pipe, or with order = \"completion\"; without \
         --in-place its result comes behind the others"
    )]
    NoPlace {
        /// The unit.
        id: u64,
    },
    /// The letters can't be read or written.
    #[error("cannot use {}: {source}", path.display())]
    Letters {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The dead letters of a run, and the file they are in.
///
/// # Errors
/// [`RetryError`] when the file can't be read; one that does not exist holds no letters.
pub fn letters(run_dir: &RunDir) -> Result<(PathBuf, Vec<DeadLetter>), RetryError> {
    let path: PathBuf = run_dir.fact("dead_path")?.unwrap_or_default();
    let letters = parse(&path, &read(&path)?)?;
    Ok((path, letters))
}

/// The dead letters so far of a run that another process has.
///
/// # Errors
/// [`RetryError`] when the file can't be read.
pub fn letters_so_far(run_dir: &Path) -> Result<Vec<DeadLetter>, RetryError> {
    let path: PathBuf = fact_of_others(run_dir, "dead_path")?.unwrap_or_default();
    let text = read(&path)?;
    // The last line may be under way.
    let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
    parse(&path, whole)
}

fn read(path: &Path) -> Result<String, RetryError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(|source| RetryError::Letters { path: path.into(), source }),
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<DeadLetter>, RetryError> {
    let parsed = text.lines().map(serde_json::from_str::<DeadLetter>).collect::<Result<_, _>>();
    parsed.map_err(|error| RetryError::Letters {
        path: path.into(),
        source: io::Error::new(io::ErrorKind::InvalidData, error),
    })
}

/// Takes the letters of these units, or of all if none are named, out of a finished run; which
/// units they were. It happens whole or not at all, whenever it is interrupted.
///
/// # Errors
/// [`RetryError`] when the run is not finished, or a unit is not dead.
pub fn retry(path: &Path, ids: &[u64], placing: Placing) -> Result<Vec<u64>, RetryError> {
    let run_dir = RunDir::open(path)?;
    may_be_retried(&run_dir, ids, placing)?;
    put_back(&run_dir, placing, |letter| is_asked(letter, ids))
}

/// Whether [`retry`] would do it.
///
/// # Errors
/// As there.
pub fn check(path: &Path, ids: &[u64], placing: Placing) -> Result<(), RetryError> {
    may_be_retried(&RunDir::open(path)?, ids, placing)
}

fn is_asked(letter: &DeadLetter, ids: &[u64]) -> bool {
    ids.is_empty() || ids.contains(&letter.id)
}

fn may_be_retried(run_dir: &RunDir, ids: &[u64], placing: Placing) -> Result<(), RetryError> {
    if run_dir.fact("finished")? != Some(true) {
        return Err(RetryError::Unfinished { path: run_dir.path().into() });
    }
    let (_, letters) = letters(run_dir)?;
    if let Some(id) = ids.iter().find(|id| !letters.iter().any(|letter| letter.id == **id)) {
        return Err(RetryError::NotDead { id: *id });
    }
    let has_none = |letter: &&DeadLetter| letter.offset_bytes.is_none() && is_asked(letter, ids);
    match letters.iter().find(has_none).filter(|_| placing == Placing::InPlace) {
        Some(letter) => Err(RetryError::NoPlace { id: letter.id }),
        None => Ok(()),
    }
}

/// Under this name the run directory knows that what has failed is to be tried again, once a sink
/// has it.
const REVIVE: &str = "revive";

/// Has the next sink of a run try again what has failed so far, whether the run is finished or not.
///
/// # Errors
/// [`RunDirError`] when the directory can't be written.
pub fn order_revival(run_dir: &RunDir) -> Result<(), RunDirError> {
    run_dir.record(REVIVE, &true)
}

/// Whether that was ordered, and has not been done.
///
/// # Errors
/// [`RunDirError`] when the directory can't be read.
pub fn is_revival_ordered(run_dir: &RunDir) -> Result<bool, RunDirError> {
    Ok(run_dir.fact(REVIVE)?.unwrap_or_default())
}

/// Takes the letters of all units out, as it was ordered. The last checkpoint of the run directory has
/// to be all there is.
///
/// # Errors
/// [`RetryError`] when the letters or the directory can't be used.
pub(super) fn revive(run_dir: &RunDir) -> Result<(), RetryError> {
    put_back(run_dir, Placing::Behind, |_| true)?;
    Ok(run_dir.forget(REVIVE)?)
}

fn put_back(
    run_dir: &RunDir,
    placing: Placing,
    wanted: impl Fn(&DeadLetter) -> bool,
) -> Result<Vec<u64>, RetryError> {
    let unfinished = || RetryError::Unfinished { path: run_dir.path().into() };
    let mut checkpoint: Checkpoint = run_dir.fact("checkpoint")?.ok_or_else(unfinished)?;
    let (file, letters) = letters(run_dir)?;
    let (again, stay): (Vec<_>, Vec<_>) = letters.into_iter().partition(wanted);
    let mut covered = RangeSet::from_parts(0, checkpoint.covered.clone());
    for letter in &again {
        covered.remove(letter.id..letter.id + 1);
    }
    let below = (covered.watermark() > 0).then_some((0, covered.watermark()));
    checkpoint.covered = below.into_iter().chain(covered.above()).collect();
    if again.is_empty() {
        return Ok(Vec::new());
    }
    checkpoint.counts.dead -= again.len() as u64;
    let stages: Vec<String> = run_dir.fact("stages")?.unwrap_or_default();
    for letter in &again {
        if let Some(stage) = stages.iter().position(|name| *name == letter.stage) {
            checkpoint.flow.revived(stage);
        }
    }
    let is_a_beginning = covered.above().next().is_none();
    if checkpoint.counts.results == 0 && is_a_beginning {
        // Nothing is written yet, so nothing has lost its place.
        checkpoint.watermark = checkpoint.watermark.min(covered.watermark());
    } else {
        note_places(&mut checkpoint, &again, placing);
        checkpoint.late = true;
    }
    let text = DeadLetter::lines(&stay);
    checkpoint.dead.bytes = text.len() as u64;
    checkpoint.dead.rows = stay.len() as u64;
    run_dir.record_letters(&checkpoint, (&file, &text), None)?;
    let _ = fs::remove_file(run_dir.path().join(MANIFEST));
    Ok(again.iter().map(|letter| letter.id).collect())
}

/// Remembers where these units have their places.
fn note_places(checkpoint: &mut Checkpoint, again: &[DeadLetter], placing: Placing) {
    if checkpoint.again.placing == Placing::Behind {
        // Those of an earlier try have their results.
        checkpoint.again = Again { placing, had_late: checkpoint.late, ..Again::default() };
    }
    let places = again.iter().filter_map(|letter| Some((letter.id, letter.offset_bytes?)));
    checkpoint.again.places.extend(places);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Claim, SinkConfig, accept::entry::dead, ledger::Ledger};

    fn finished(folder: &Path) -> RunDir {
        let config = SinkConfig { dead: Some(folder.join("dead.jsonl")), ..SinkConfig::default() };
        let run_dir = RunDir::open(&folder.join("run")).unwrap();
        let claim = Claim { made: Some(run_dir.made().clone()), ..Claim::default() };
        let mut ledger = Ledger::open(config, false, None, &claim).unwrap();
        ledger.take(vec![dead(0), dead(1), dead(2)]).unwrap();
        run_dir.record("checkpoint", &ledger.snapshot(1, String::new()).unwrap()).unwrap();
        run_dir.record("dead_path", &folder.join("dead.jsonl")).unwrap();
        run_dir.record("finished", &true).unwrap();
        run_dir
    }

    #[test]
    fn a_retried_unit_is_uncommitted_again_and_its_letter_gone() {
        let folder = tempfile::tempdir().unwrap();
        drop(finished(folder.path()));
        let run = folder.path().join("run");
        assert_eq!(retry(&run, &[1], Placing::Behind).unwrap(), [1]);
        let run_dir = RunDir::open(&run).unwrap();
        let checkpoint: Checkpoint = run_dir.fact("checkpoint").unwrap().unwrap();
        assert_eq!(checkpoint.covered, [(0, 1), (2, 3)]);
        assert_eq!((checkpoint.counts.dead, checkpoint.dead.rows), (2, 2));
        let ids: Vec<u64> = letters(&run_dir).unwrap().1.iter().map(|letter| letter.id).collect();
        assert_eq!(ids, [0, 2]);
        assert_eq!(run_dir.fact::<bool>("finished").unwrap(), Some(false));
    }

    #[test]
    fn a_unit_that_is_not_dead_and_a_run_that_is_not_finished_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = finished(folder.path());
        let run = folder.path().join("run");
        run_dir.record("finished", &false).unwrap();
        drop(run_dir);
        assert!(matches!(retry(&run, &[], Placing::Behind), Err(RetryError::Unfinished { .. })));
        RunDir::open(&run).unwrap().record("finished", &true).unwrap();
        assert!(matches!(retry(&run, &[9], Placing::Behind), Err(RetryError::NotDead { id: 9 })));
    }
}
