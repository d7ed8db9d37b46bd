//! Calls a target very often, with mutations of a corpus.
//!
//! Owns the corpus, what is kept of what a run finds, and how a crash is told. The same seed and
//! corpus give the same inputs, whatever the machine.

use std::cell::RefCell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use fastrand::Rng;
use rustix::time::{ClockId, clock_gettime};

use super::Target;
use super::mutate::mutate;

/// An input that takes longer is a finding.
pub const SLOW: Duration = Duration::from_secs(2);

/// So many inputs that showed something new are kept beside the corpus.
const KEPT_MAX: usize = 4_096;

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From here on a panic is told once, in its finding, with the place where it happened.
pub fn listen() {
    std::panic::set_hook(Box::new(|panic| LAST_PANIC.set(panic.to_string())));
}

/// How an input broke a promise.
#[derive(Debug)]
pub struct Finding {
    /// The input.
    pub input: Vec<u8>,
    /// What the target said, or how long it took.
    pub told: String,
}

/// What a run amounted to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// Inputs that were tried.
    pub executions: u64,
    /// Different fingerprints among them, as far as they were kept.
    pub shapes: usize,
    /// The longest that one took.
    pub longest: Duration,
}

/// Where a target's corpus is.
pub fn corpus_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

/// The inputs of a folder, by their names; none if it is not there.
///
/// # Errors
/// When it can't be read.
pub fn corpus(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    paths.iter().filter(|path| path.is_file()).map(fs::read).collect()
}

/// Calls `target` with each input of its corpus, then with mutations until there were `executions`.
///
/// # Errors
/// The first finding.
pub fn run(
    target: &Target,
    corpus: Vec<Vec<u8>>,
    seed: u64,
    executions: u64,
) -> Result<Figures, Finding> {
    let mut rng = Rng::with_seed(seed);
    let mut pool = corpus;
    pool.push(Vec::new());
    let given = pool.len();
    let mut seen = HashSet::new();
    let mut figures = Figures::default();
    for input in &pool {
        seen.insert(call(target, input, &mut figures)?);
    }
    let mut input = Vec::new();
    while figures.executions < executions {
        input.clone_from(&pool[rng.usize(..pool.len())]);
        let other = rng.usize(..pool.len());
        mutate(&mut input, &pool[other], &mut rng);
        let shape = call(target, &input, &mut figures)?;
        // Some are also forgotten again, or the first thousands would be all there ever is.
        if seen.len() < 1 << 22 && seen.insert(shape) {
            if pool.len() < given + KEPT_MAX {
                pool.push(input.clone());
            } else if rng.u32(0..8) == 0 {
                let place = rng.usize(given..pool.len());
                pool[place].clone_from(&input);
            }
        }
    }
    figures.shapes = seen.len();
    Ok(figures)
}

/// How long this thread has computed: others on the machine do not count.
fn busy() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.cast_unsigned(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

fn call(target: &Target, input: &[u8], figures: &mut Figures) -> Result<u64, Finding> {
    let start = busy();
    let called = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let took = busy().saturating_sub(start);
    figures.executions += 1;
    figures.longest = figures.longest.max(took);
    let finding = |told| Err(Finding { input: input.to_vec(), told });
    match called {
        Ok(_) if took > SLOW => finding(format!("took {took:?}")),
        Ok(shape) => Ok(shape),
        Err(_) => finding(LAST_PANIC.take()),
    }
}

/// The same finding with as few bytes as removing pieces leads to.
pub fn shrink(target: &Target, finding: Finding) -> Finding {
    let mut smallest = finding;
    let mut piece = smallest.input.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < smallest.input.len() {
            let mut input = smallest.input.clone();
            input.drain(at..(at + piece).min(input.len()));
            match call(target, &input, &mut Figures::default()) {
                Err(finding) => smallest = finding,
                Ok(_) => at += piece,
            }
        }
        piece /= 2;
    }
    smallest
}
