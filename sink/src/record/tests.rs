//! What is committed when a recorder dies at any moment, and that the outputs hold exactly that.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proto::units::{Span, Units};

use super::*;
use crate::{
    accept::entry::{Origin, Outcome, dead},
    config::OutputSpec,
    output::claim::Claim,
    record::log::{COMMIT_LOG, header::HEADER_BYTES, read_segment},
};

/// What may wait in memory.
const MEMORY: u64 = 8 << 20;
/// Bytes of a value in a batch that is written without being logged.
const LARGE: usize = 5_000;

/// Consecutive units with one value each, of so many bytes.
fn values(first: u64, count: u64, bytes: usize) -> Entry {
    let mut units = Units::new();
    for id in first..first + count {
        let value = rmp_serde::to_vec(&format!("{id:0bytes$}")).unwrap();
        units.push(Span::one(id, vec![]), &value);
    }
    let origin = Origin { stage: 0, attempt: 1, worker: "w".into() };
    let outcome = Outcome::Values { origin, units, timing: vec![(count as u32, 5)] };
    Entry { first, count, outcome }
}

/// Batches with everything: some are large and some small, some come too early.
fn batches() -> Vec<Vec<Entry>> {
    vec![
        vec![values(0, 40, LARGE)],
        vec![values(120, 40, LARGE), values(60, 5, 8)],
        vec![values(40, 20, 8)],
        vec![values(200, 2, 8)],
        vec![values(65, 55, LARGE), values(190, 10, LARGE)],
        vec![values(160, 30, 8)],
    ]
}

const UNITS: u64 = 202;

fn config(folder: &Path) -> SinkConfig {
    SinkConfig {
        output: Some(OutputSpec::Jsonl(folder.join("out.jsonl"))),
        aggregate: vec![crate::config::Aggregate::Count],
        ..SinkConfig::default()
    }
}

/// Records a batch and makes it safe, as the other thread does; the last batch that is answered
/// for then, and those before it that are not.
fn make_safe(recorder: &mut Recorder, number: u64, entries: Vec<Entry>) -> Option<(u64, Vec<u64>)> {
    let Recorder { durable, ledger, duplicates, .. } = recorder;
    let durable = durable.as_mut().unwrap();
    let job = durable.write(vec![(number, entries)], *duplicates, ledger).unwrap();
    synced(recorder, job)
}

fn synced(recorder: &Recorder, job: SyncJob) -> Option<(u64, Vec<u64>)> {
    let mut syncer = Syncer::new(recorder.durable.as_ref().unwrap().diary.clone());
    match syncer.run(vec![SyncRequest::Sync(Box::new(job))])[..] {
        [] => None,
        [Reply::Recorded { number, ref waiting, .. }] => Some((number, waiting.clone())),
        ref other => panic!("{other:?}"),
    }
}

/// What waits for a late outcome, to be logged.
fn late(recorder: &mut Recorder) -> Option<SyncJob> {
    let Recorder { durable, ledger, .. } = recorder;
    durable.as_mut().unwrap().log_waiting(ledger)
}

fn open(folder: &Path) -> Result<(Recorder, ResumePoint), RecordError> {
    open_with(folder, MEMORY)
}

fn open_with(folder: &Path, memory_bytes_max: u64) -> Result<(Recorder, ResumePoint), RecordError> {
    let run_dir = RunDir::open(&folder.join("run")).unwrap();
    let terms = Terms {
        retention: None,
        room: Room { memory_bytes_max, waiting_bytes_max: 1 << 30 },
        claim: Claim::default(),
        summary: None,
        joblog: None,
        told: Box::new(|_, _| Ok(())),
    };
    Recorder::durable(config(folder), false, run_dir, 7, terms)
}

/// The units that a reader of the output finds there, in their order.
fn written(folder: &Path) -> Vec<u64> {
    let text = fs::read_to_string(folder.join("out.jsonl")).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| line.trim_matches('"').parse().unwrap()).collect()
}

/// A copy of every file, and the way back to it.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let run = fs::read_dir(folder.join("run")).unwrap();
    let all = run.chain(fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    all.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn put_back(folder: &Path, files: &[(PathBuf, Vec<u8>)]) {
    fs::remove_dir_all(folder.join("run")).unwrap();
    fs::create_dir(folder.join("run")).unwrap();
    for (path, bytes) in files {
        fs::write(path, bytes).unwrap();
    }
}

/// The sink is started again with other limits, by the ventilator that it had before.
#[test]
fn what_a_next_sink_has_to_know_of_a_begun_run_is_safe_when_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (window_units, known, widest) in
        [(500, None, 500), (90, Some(500), 500), (700, Some(500), 700)]
    {
        let (mut recorder, point) = open(folder.path()).unwrap();
        assert_eq!(point.window_units, known);
        assert_eq!(point.plan.is_some(), known.is_some());
        let (plan, stages) = ("plan".to_owned(), vec!["s".to_owned()]);
        let begin = Request::Begin { ventilator: 3, committed: 0, plan, stages, window_units };
        let mut replies = Vec::new();
        recorder.serve(vec![begin], &mut replies).unwrap();
        assert!(matches!(replies[..], [Reply::Begun]), "{replies:?}");
        // A kill: nothing of the recorder does anything any more.
        drop(recorder);
        let (recorder, point) = open(folder.path()).unwrap();
        assert_eq!((point.plan.as_deref(), point.window_units), (Some("plan"), Some(widest)));
        assert_eq!(recorder.ledger.stages(), ["s"]);
    }
}

#[test]
fn large_outcomes_in_order_are_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut recorder, point) = open(folder.path()).unwrap();
    assert_eq!(point.committed.len(), 0);
    for first in 0..20 {
        let answered = make_safe(&mut recorder, first, vec![values(first * 40, 40, LARGE)]);
        assert_eq!(answered, Some((first, vec![])));
    }
    let logged = recorder.durable.as_ref().unwrap().log.bytes();
    assert!(logged < 20_000, "{logged} bytes in the log");
    drop(recorder);
    let (recorder, point) = open(folder.path()).unwrap();
    assert_eq!(point.committed.watermark(), 800);
    assert_eq!(recorder.ledger.counts().results, 800);
    assert_eq!(recorder.ledger.aggregates().report()["count"], 800);
    assert!(written(folder.path()).into_iter().eq(0..800));
}

#[test]
fn a_recorder_that_dies_anywhere_goes_on_with_what_its_log_says_and_writes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (mut recorder, _) = open(folder.path()).unwrap();
    for (number, batch) in (0..).zip(batches()) {
        make_safe(&mut recorder, number, batch);
    }
    let segment = recorder.durable.as_ref().unwrap().log.segment();
    drop(recorder);
    assert!(written(folder.path()).into_iter().eq(0..UNITS));
    let log = folder.path().join("run").join(format!("log-{segment:08}"));
    let (kept, all) = (files(folder.path()), fs::read(&log).unwrap());
    let mut ends = vec![0, HEADER_BYTES as usize];
    read_segment(COMMIT_LOG, &folder.path().join("run"), segment, |record| {
        ends.push(ends.last().unwrap() + 8 + record.len());
    })
    .unwrap();
    assert_eq!(ends.last(), Some(&all.len()));
    let mut known = 0;
    for end in ends.iter().flat_map(|end| [end.saturating_sub(1), *end]) {
        // The output may hold more than the log knows of, and that torn in the middle of a line.
        put_back(folder.path(), &kept);
        fs::write(&log, &all[..end]).unwrap();
        let (mut recorder, point) = open(folder.path()).unwrap();
        assert!(point.committed.len() >= known, "what was known is known");
        known = point.committed.len();
        assert!(written(folder.path()).into_iter().eq(0..point.committed.watermark()));
        for (number, batch) in (0..).zip(batches()) {
            make_safe(&mut recorder, number, batch);
        }
        assert_eq!(recorder.ledger.counts().results, UNITS);
        assert_eq!(recorder.ledger.aggregates().report()["count"], UNITS);
        recorder.checkpoint().unwrap();
        assert!(written(folder.path()).into_iter().eq(0..UNITS), "the log ends at {end}");
    }
    assert_eq!(known, UNITS);
}

#[test]
fn an_output_that_lacks_what_the_log_counts_on_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (mut recorder, _) = open(folder.path()).unwrap();
    make_safe(&mut recorder, 0, vec![values(0, 40, LARGE)]);
    drop(recorder);
    let output = folder.path().join("out.jsonl");
    let length = fs::metadata(&output).unwrap().len();
    fs::File::options().write(true).open(&output).unwrap().set_len(length - 1).unwrap();
    let refused = open(folder.path()).err().unwrap().to_string();
    assert!(refused.contains("put it back, or start over"), "{refused}");
    assert_eq!(fs::metadata(&output).unwrap().len(), length - 1);
}

#[test]
fn large_outcomes_that_come_too_early_are_neither_logged_nor_answered_for_until_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let (mut recorder, _) = open(folder.path()).unwrap();
    let large = |first| vec![values(first, 40, LARGE)];
    let before = recorder.durable.as_ref().unwrap().log.bytes();
    for (number, pair) in (0..10).zip((0..).step_by(80)) {
        assert_eq!(make_safe(&mut recorder, 2 * number, large(pair + 40)), None);
        let all = Some((2 * number + 1, vec![]));
        assert_eq!(make_safe(&mut recorder, 2 * number + 1, large(pair)), all);
    }
    let logged = recorder.durable.as_ref().unwrap().log.bytes() - before;
    assert!(logged < 20_000, "{logged} bytes in the log");
    assert_eq!(make_safe(&mut recorder, 20, large(840)), None);
    drop(recorder);
    let (_, point) = open(folder.path()).unwrap();
    assert_eq!(point.committed.watermark(), 800);
    assert_eq!(point.committed.len(), 800, "nobody was told of the others");
    assert!(written(folder.path()).into_iter().eq(0..800));
}

#[test]
fn what_waits_for_a_late_outcome_is_logged_until_that_has_come() {
    let folder = tempfile::tempdir().unwrap();
    let (mut recorder, _) = open(folder.path()).unwrap();
    let large = |first| vec![values(first, 40, LARGE)];
    assert_eq!(make_safe(&mut recorder, 0, large(80)), None);
    let batch = late(&mut recorder).unwrap();
    let all_to = |number| Some((number, vec![]));
    assert_eq!(synced(&recorder, batch), all_to(0));
    assert!(late(&mut recorder).is_none());
    assert_eq!(make_safe(&mut recorder, 1, large(120)), all_to(1), "the first one is still late");
    let copy = files(folder.path());
    assert_eq!(make_safe(&mut recorder, 2, vec![values(0, 80, LARGE)]), all_to(2));
    assert_eq!(make_safe(&mut recorder, 3, large(280)), None, "nothing is late any more");
    assert_eq!(make_safe(&mut recorder, 4, large(160)), Some((4, vec![3])));
    assert_eq!(make_safe(&mut recorder, 5, vec![values(200, 80, 8)]), all_to(5));
    drop(recorder);
    let (recorder, point) = open(folder.path()).unwrap();
    assert_eq!(point.committed.watermark(), 320);
    assert!(written(folder.path()).into_iter().eq(0..320));
    drop(recorder);
    put_back(folder.path(), &copy);
    let (_, point) = open(folder.path()).unwrap();
    assert_eq!(point.committed.above().collect::<Vec<_>>(), [(80, 160)]);
}

/// The names of files in which outcomes wait.
fn waiting_files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder.join("run")).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.starts_with("waiting-")).collect()
}

#[test]
fn what_waits_on_disk_is_there_after_a_kill_at_any_moment_and_its_files_go() {
    const BATCHES: u64 = 60;
    const LITTLE: u64 = 16 << 10;
    let folder = tempfile::tempdir().unwrap();
    // Unit 0 is late; the others come nearly in order.
    let batch = |number: u64| vec![values(1 + (number ^ 1) * 20, 20, 50)];
    let (mut recorder, _) = open_with(folder.path(), LITTLE).unwrap();
    let mut copies = Vec::new();
    for number in 0..BATCHES {
        let answered = make_safe(&mut recorder, number, batch(number));
        assert_eq!(answered, Some((number, vec![])), "it is in the log");
        assert!(recorder.ledger.held_bytes() <= LITTLE);
        if number % 7 == 6 {
            recorder.checkpoint().unwrap();
        }
        copies.push((number + 1, files(folder.path())));
    }
    assert!(recorder.ledger.waiting_bytes() > 4 * recorder.ledger.held_bytes());
    assert!(!waiting_files(folder.path()).is_empty());
    drop(recorder);
    for (batches, copy) in copies {
        put_back(folder.path(), &copy);
        let (mut recorder, point) = open_with(folder.path(), LITTLE).unwrap();
        assert_eq!((point.committed.len(), point.committed.watermark()), (batches * 20, 0));
        assert!(recorder.ledger.held_bytes() <= LITTLE);
        for number in batches..BATCHES {
            make_safe(&mut recorder, number, batch(number));
        }
        assert!(written(folder.path()).is_empty());
        make_safe(&mut recorder, BATCHES, vec![values(0, 1, 50)]);
        assert!(written(folder.path()).into_iter().eq(0..=BATCHES * 20), "{batches} batches");
        assert_eq!(recorder.ledger.waiting_bytes(), 0);
        recorder.close(Some(1 + BATCHES * 20)).unwrap();
        assert_eq!(waiting_files(folder.path()), [""; 0]);
    }
}

/// Large ones are in memory only while they wait: on disk nobody would know of them after a kill.
#[test]
fn large_outcomes_that_go_to_disk_are_logged_before() {
    const LITTLE: u64 = 16 << 10;
    let folder = tempfile::tempdir().unwrap();
    let (mut recorder, _) = open_with(folder.path(), LITTLE).unwrap();
    assert_eq!(make_safe(&mut recorder, 0, vec![values(40, 40, LARGE)]), Some((0, vec![])));
    assert!(!waiting_files(folder.path()).is_empty());
    drop(recorder);
    let (_, point) = open_with(folder.path(), LITTLE).unwrap();
    assert_eq!(point.committed.above().collect::<Vec<_>>(), [(40, 80)]);
}

/// No harm: what another version has recorded is not cut, and neither is the output.
#[test]
fn a_log_of_another_version_is_refused_before_anything_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut recorder, _) = open(folder.path()).unwrap();
    make_safe(&mut recorder, 0, vec![values(0, 40, 8)]);
    let segment = recorder.durable.as_ref().unwrap().log.segment();
    drop(recorder);
    let log = folder.path().join("run").join(format!("log-{segment:08}"));
    let ours = fs::read(&log).unwrap();
    let mut theirs = ours.clone();
    theirs[7] += 1;
    fs::write(&log, &theirs).unwrap();
    let output = fs::read(folder.path().join("out.jsonl")).unwrap();
    assert!(!output.is_empty());
    let refused = with_causes(&open(folder.path()).err().unwrap());
    let problem = format!("cannot read the commit log {}: it is in format 2", log.display());
    assert!(refused.starts_with(&problem), "{refused}");
    assert!(fs::read(&log).unwrap() == theirs);
    assert!(fs::read(folder.path().join("out.jsonl")).unwrap() == output);
    fs::write(&log, &ours).unwrap();
    let (_, point) = open(folder.path()).unwrap();
    assert_eq!(point.committed.len(), 40);
}

/// Units that failed are done again by the next sink, whether their letters are written or wait; what
/// was good stays, and what is left keeps its order behind it.
#[test]
fn what_has_failed_is_tried_again_in_a_run_that_is_not_finished() {
    let folder = tempfile::tempdir().unwrap();
    let (mut recorder, _) = open(folder.path()).unwrap();
    let entries =
        vec![values(0, 3, 8), dead(3), dead(4), values(5, 2, 8), dead(9), values(8, 1, 8)];
    make_safe(&mut recorder, 0, entries);
    late(&mut recorder).map(|job| synced(&recorder, job));
    drop(recorder);
    retry::order_revival(&RunDir::open(&folder.path().join("run")).unwrap()).unwrap();
    let (mut recorder, point) = open(folder.path()).unwrap();
    let committed: Vec<_> = point.committed.iter().collect();
    assert_eq!(committed, [0..3, 5..7, 8..9]);
    assert_eq!(recorder.ledger.counts().dead, 0);
    assert!(fs::read(folder.path().join("out.jsonl.dead.jsonl")).is_err());
    // A parcel may hold units of both kinds.
    make_safe(&mut recorder, 0, vec![values(3, 2, 8), values(7, 1, 8)]);
    drop(recorder);
    let (mut recorder, point) = open(folder.path()).unwrap();
    let committed: Vec<_> = point.committed.iter().map(|range| (range.start, range.end)).collect();
    assert_eq!(committed, [(0, 9)]);
    make_safe(&mut recorder, 1, vec![values(9, 1, 8)]);
    drop(recorder);
    assert_eq!(written(folder.path()), [0, 1, 2, 5, 6, 3, 4, 7, 8, 9]);
}

/// Nothing is written yet, so the order of units can be kept.
#[test]
fn a_run_in_which_everything_has_failed_begins_anew_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (mut recorder, _) = open(folder.path()).unwrap();
    make_safe(&mut recorder, 0, (0..5).map(dead).collect());
    drop(recorder);
    retry::order_revival(&RunDir::open(&folder.path().join("run")).unwrap()).unwrap();
    let (mut recorder, point) = open(folder.path()).unwrap();
    assert!(point.committed.is_empty());
    make_safe(&mut recorder, 0, vec![values(3, 4, 8), values(0, 3, 8)]);
    drop(recorder);
    open(folder.path()).unwrap();
    assert_eq!(written(folder.path()), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn an_entry_is_cut_with_its_values_and_their_times() {
    let entry = values(10, 5, 8);
    let (low, high) = entry.clone().cut(12);
    let high = high.unwrap();
    assert_eq!((low.first, low.count, high.first, high.count), (10, 2, 12, 3));
    for part in [&low, &high] {
        let Outcome::Values { units, timing, .. } = &part.outcome else { panic!("{part:?}") };
        assert_eq!((units.len() as u64, timing[0].0 as u64), (part.count, part.count));
    }
    assert_eq!(entry.clone().cut(10).1, None);
    assert_eq!(entry.cut(99).1, None);
}
