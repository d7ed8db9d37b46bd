//! That outcomes come out in the order of units, wherever they waited, and after a kill as well.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proto::{causes::with_causes, frame::Dead, ranges::RangeSet};

use super::{record::HEADER_BYTES, *};
use crate::accept::entry::{Origin, Outcome};

/// So little memory that nearly everything goes to disk.
const MEMORY: u64 = 4 << 10;

fn entry(first: UnitId, bytes: usize) -> Entry {
    let origin = Origin { stage: 0, attempt: 1, worker: "w".into() };
    let dead = Dead {
        root: first,
        path: vec![],
        stage: 0,
        input: vec![7; bytes],
        error: String::new(),
        attempts: 1,
        worker: "w".into(),
    };
    Entry { first, count: 1, outcome: Outcome::Dead { origin, dead } }
}

fn span(first: UnitId, count: u64) -> Entry {
    Entry { first, count, outcome: Outcome::Filtered(0) }
}

/// Numbers that look drawn, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }

    /// Entries over all units from 0 on, in an order that is `disorder` entries wide.
    fn entries(&mut self, entries: usize, disorder: u64) -> Vec<Entry> {
        let mut first = 0;
        let mut all: Vec<(u64, Entry)> = (0..entries as u64)
            .map(|place| {
                let entry = match self.below(3) {
                    0 => span(first, 1 + self.below(50)),
                    _ => entry(first, self.below(300) as usize),
                };
                first += entry.count;
                (place + self.below(disorder), entry)
            })
            .collect();
        all.sort_by_key(|(place, _)| *place);
        all.into_iter().map(|(_, entry)| entry).collect()
    }
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by_key(|entry| entry.first);
    entries
}

fn released(waiting: &mut Waiting) -> Vec<Entry> {
    std::iter::from_fn(|| waiting.pop().unwrap()).collect()
}

#[test]
fn whatever_the_order_of_arrival_outcomes_come_out_as_if_they_were_sorted() {
    for (seed, disorder) in [(1, 1), (2, 3), (3, 100), (4, 3_000), (5, 3_000)] {
        let folder = tempfile::tempdir().unwrap();
        let entries = Chance(seed).entries(3_000, disorder);
        let mut waiting = Waiting::new(Order::Input, 0);
        waiting.bound(MEMORY, Runs::temporary(folder.path().into(), 1 << 20));
        let mut found = Vec::new();
        let (late, others): (Vec<Entry>, Vec<Entry>) =
            entries.iter().cloned().partition(|entry| entry.first == 0);
        for entry in others {
            waiting.push(entry).unwrap();
            found.extend(released(&mut waiting));
            waiting.make_room().unwrap();
            assert!(waiting.memory_bytes() <= MEMORY);
            assert!(waiting.runs().unwrap().len() <= 32);
            assert_eq!(files(folder.path()), [""; 0], "a file that a kill would leave");
        }
        assert!(found.is_empty() && waiting.bytes() > 4 * MEMORY);
        late.into_iter().for_each(|entry| waiting.push(entry).unwrap());
        found.extend(released(&mut waiting));
        assert!(found == sorted(entries), "seed {seed}");
        assert_eq!((waiting.memory_bytes(), waiting.bytes()), (0, 0));
    }
}

#[test]
fn what_comes_nearly_in_order_goes_to_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut waiting = Waiting::new(Order::Input, 0);
    waiting.bound(MEMORY, Runs::temporary(folder.path().into(), 1 << 20));
    for entry in Chance(7).entries(5_000, 4).into_iter().filter(|entry| entry.first > 0) {
        waiting.push(entry).unwrap();
        waiting.make_room().unwrap();
    }
    let runs = waiting.runs().unwrap().len();
    assert!(runs <= 3, "{runs} runs");
}

#[test]
fn what_waits_for_nothing_any_more_comes_out_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let entries = Chance(3).entries(500, 500);
    let mut waiting = Waiting::new(Order::Input, 0);
    waiting.bound(MEMORY, Runs::temporary(folder.path().into(), 1 << 20));
    let some: Vec<Entry> = entries.into_iter().filter(|entry| entry.first % 3 != 0).collect();
    for entry in some.clone() {
        waiting.push(entry).unwrap();
        waiting.make_room().unwrap();
    }
    let found: Vec<Entry> = std::iter::from_fn(|| waiting.pop_held().unwrap()).collect();
    assert!(found == sorted(some));
}

/// As the recorder does it: everything is in a log, until a checkpoint lists the runs.
struct Kept {
    folder: PathBuf,
    waiting: Waiting,
    taken: RangeSet,
    log: Vec<Entry>,
    found: Vec<Entry>,
    // The checkpoint: runs, watermark and how many outcomes had been released.
    checkpoint: (Vec<RunMark>, UnitId, usize),
}

impl Kept {
    fn new(folder: &Path) -> Self {
        let mut kept = Self {
            folder: folder.into(),
            waiting: Waiting::new(Order::Input, 0),
            taken: RangeSet::new(),
            log: Vec::new(),
            found: Vec::new(),
            checkpoint: (Vec::new(), 0, 0),
        };
        kept.die();
        kept
    }

    fn take(&mut self, entry: Entry) {
        self.log.push(entry.clone());
        self.taken.insert(entry.first..entry.first + entry.count);
        self.waiting.push(entry).unwrap();
        self.found.extend(released(&mut self.waiting));
        self.waiting.make_room().unwrap();
    }

    fn checkpoint(&mut self) {
        self.log = self.waiting.in_memory().cloned().collect();
        let runs = self.waiting.sync().unwrap();
        self.checkpoint = (runs, self.waiting.watermark(), self.found.len());
        self.waiting.checkpointed();
    }

    /// A kill; then a start, up to the checkpoint that each start makes.
    fn die(&mut self) {
        let (marks, watermark, released) = self.checkpoint.clone();
        self.found.truncate(released);
        self.waiting = Waiting::new(Order::Input, watermark);
        let mut taken = RangeSet::from_parts(watermark, []);
        let found = |entry: &Entry| {
            let units = entry.first..entry.first + entry.count;
            assert!(!taken.intersects(units.clone()), "{units:?} twice");
            taken.insert(units);
        };
        let folder = self.folder.clone();
        let runs = Runs::kept(folder, &marks, watermark, found, 1 << 20).unwrap();
        self.waiting.bound(MEMORY, runs);
        self.taken = taken;
        for entry in std::mem::take(&mut self.log) {
            if !self.taken.intersects(entry.first..entry.first + entry.count) {
                self.take(entry);
            }
        }
    }
}

#[test]
fn after_kills_at_any_moment_outcomes_come_out_once_and_in_order_and_no_file_stays() {
    for seed in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let mut chance = Chance(seed);
        let entries = chance.entries(1_500, [5, 200, 1_500][seed as usize % 3]);
        let mut kept = Kept::new(folder.path());
        for entry in &entries {
            kept.take(entry.clone());
            match chance.below(40) {
                0 => kept.checkpoint(),
                1 => kept.die(),
                2 => {
                    kept.die();
                    kept.checkpoint();
                }
                _ => {}
            }
        }
        kept.die();
        assert!(kept.found == sorted(entries), "seed {seed}");
        kept.checkpoint();
        assert_eq!(files(folder.path()), [""; 0]);
    }
}

/// Runs that wait for unit 0, and what a checkpoint says of them.
fn some_runs(folder: &Path) -> Vec<RunMark> {
    let mut kept = Kept::new(folder);
    (1..200).for_each(|unit| kept.take(entry(unit, 100)));
    kept.checkpoint();
    assert!(!kept.checkpoint.0.is_empty());
    kept.checkpoint.0
}

fn refused(folder: &Path, marks: &[RunMark]) -> String {
    let opened = Runs::kept(folder.into(), marks, 0, |_| {}, 1 << 20);
    with_causes(&opened.map(drop).unwrap_err())
}

#[test]
fn a_file_that_is_not_what_was_recorded_is_refused_by_its_name_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let marks = some_runs(folder.path());
    let path = folder.path().join(format!("waiting-{:08}", marks[0].number));
    let whole = fs::read(&path).unwrap();
    let changed = |at: usize, by: u8| {
        let mut bytes = whole.clone();
        bytes[at] = bytes[at].wrapping_add(by);
        bytes
    };
    let last = whole.len() - 1;
    for (bytes, problem) in [
        (changed(7, 1), "it is in format 2, and this version reads format 1"),
        (changed(0, 1), "it was not written by this run"),
        (whole[..5].to_vec(), "it holds 5 bytes, but"),
        (whole[..last].to_vec(), "were recorded"),
        (changed(HEADER_BYTES as usize + 4, 1), "it is damaged at byte 8"),
        (changed(last, 1), "it is damaged at byte"),
    ] {
        fs::write(&path, &bytes).unwrap();
        let told = refused(folder.path(), &marks);
        let named = format!("cannot read {}, where outcomes wait", path.display());
        assert!(told.starts_with(&named) && told.contains(problem), "{told}");
        assert!(fs::read(&path).unwrap() == bytes, "{problem}");
    }
    fs::remove_file(&path).unwrap();
    assert!(refused(folder.path(), &marks).starts_with(&format!("cannot open {}", path.display())));
}

#[test]
fn files_that_no_checkpoint_lists_go_and_those_of_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let marks = some_runs(folder.path());
    let before = files(folder.path());
    let others = ["waiting-00000077", "waiting-5", "waiting-00000078.txt"];
    others.iter().for_each(|name| fs::write(folder.path().join(name), "a thesis").unwrap());
    for (name, bytes) in [("waiting-00000079", &b"piper"[..]), ("waiting-00000080", b"piperun\x01")]
    {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let runs = Runs::kept(folder.path().into(), &marks, 0, |_| {}, 1 << 20).unwrap();
    let mut expected: Vec<String> = before.into_iter().chain(others.map(String::from)).collect();
    expected.sort();
    assert_eq!(files(folder.path()), expected);
    let mut waiting = Waiting::new(Order::Input, 0);
    waiting.bound(MEMORY, runs);
    // What makes a new run, since it lies below those that there are.
    let entry = Entry { first: 0, count: 1, outcome: Outcome::Filtered(0) };
    waiting.overflow.as_mut().unwrap().runs.append([entry].into_iter()).unwrap();
    assert!(files(folder.path()).contains(&"waiting-00000081".to_owned()), "after all others");
}

#[test]
fn what_the_disk_has_no_room_for_is_told_with_its_place() {
    let gone = tempfile::tempdir().unwrap().path().join("gone");
    let mut waiting = Waiting::new(Order::Input, 0);
    waiting.bound(MEMORY, Runs::temporary(gone.clone(), 1 << 20));
    (1..200).for_each(|unit| waiting.push(entry(unit, 100)).unwrap());
    let told = with_causes(&waiting.make_room().unwrap_err());
    let beginning = format!("cannot make a temporary file in {}, where", gone.display());
    assert!(told.starts_with(&beginning) && told.contains("No such file"), "{told}");
}
