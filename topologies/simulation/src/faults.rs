//! What goes wrong in one run, and when.
//!
//! Owns the plan of faults, drawn from the seed before the run begins; refuses to carry it out.
//! The rates are high for a while, the storm; then nothing more goes wrong, and the run must end.

use std::{fmt, time::Duration};

use clap::ValueEnum;
use fastrand::Rng;

use super::{
    clock::Moment,
    doom::Doom,
    places::{Duty, SINK, VENTILATOR, WORKERS},
};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum FaultKind {
    /// Frames vanish, and nobody is told.
    Loss,
    /// Frames, replies and disks take long, each lane and each disk for itself.
    Delay,
    /// Frames arrive twice, the second time at any later moment.
    Duplicate,
    /// Processes die and are started again; what was in their memory and their lanes is gone.
    Kill,
    /// Processes die in the middle of something that they asked for: before it is begun, when it is
    /// half done, or when nobody has been told yet that it is.
    Crash,
    /// Processes are stopped and continued.
    Stop,
    /// Processes cannot reach each other for a while; connections break.
    Partition,
    /// Workers are asked to leave, and others are started in their place.
    Leave,
    /// The run is asked to end, and once it has, it is taken up again.
    Drain,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Loss,
        Self::Delay,
        Self::Duplicate,
        Self::Kill,
        Self::Crash,
        Self::Stop,
        Self::Partition,
        Self::Leave,
        Self::Drain,
    ];
}

/// Which kinds of faults may happen in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<FaultKind>);

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Everything may go wrong.
    pub fn all() -> Self {
        Self::of(&FaultKind::ALL)
    }

    /// These kinds may happen.
    pub fn of(kinds: &[FaultKind]) -> Self {
        let mut kinds = kinds.to_vec();
        kinds.sort_unstable();
        kinds.dedup();
        Self(kinds)
    }

    /// Whether this kind may happen.
    pub fn has(&self, kind: FaultKind) -> bool {
        self.0.contains(&kind)
    }

    /// Whether anything may get lost, a frame or a process with what it knew.
    pub(super) fn lose(&self) -> bool {
        self.0.iter().any(|kind| !matches!(kind, FaultKind::Delay | FaultKind::Duplicate))
    }

    /// Whether a process may hear nothing for so long that the others leave without it.
    pub(super) fn cut_off(&self) -> bool {
        self.has(FaultKind::Stop) || self.has(FaultKind::Partition)
    }
}

/// As `--faults` takes them.
impl fmt::Display for Faults {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => to.write_str("none"),
            kinds if kinds.len() == FaultKind::ALL.len() => to.write_str("all"),
            kinds => {
                let names = kinds.iter().filter_map(ValueEnum::to_possible_value);
                let names: Vec<_> = names.map(|name| name.get_name().to_owned()).collect();
                to.write_str(&names.join(","))
            }
        }
    }
}

/// What befalls processes at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Blow {
    /// It dies, and is started again after a while.
    Kill { process: usize, back_after: Duration },
    /// It does nothing for a while.
    Stop { process: usize, lasts: Duration },
    /// Those inside cannot be reached from outside, nor reach anyone there, for a while.
    Partition { inside: Vec<usize>, lasts: Duration, how: Cut },
    /// All connections of a process break.
    Reset { process: usize },
    /// It is asked to leave.
    Leave { process: usize },
    /// The run is asked to end.
    Drain,
}

/// What becomes of frames that meet a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// They arrive once it has healed, as TCP repeats them.
    Hold,
    /// They vanish.
    Drop,
    /// The connections break, and the senders learn of it once it has healed.
    Reset,
}

/// What goes wrong in one run.
#[derive(Debug, Clone)]
pub(super) struct FaultPlan {
    /// When the storm ends.
    pub quiet_at: Moment,
    /// The part of the frames that vanish.
    pub loss: f64,
    /// The part of the frames that come twice.
    pub duplicate: f64,
    /// The part of the frames that are late, and by how much at most.
    pub late: f64,
    /// How late they are at most.
    pub late_max: Duration,
    /// How long a disk takes to sync, at most.
    pub sync_max: Duration,
    /// The part of the outcomes that the sink does not write twice.
    pub large: f64,
    /// Whether the source keeps its last units back until the storm is over.
    pub source_waits: bool,
    /// How long the source takes for a read, at most.
    pub read_max: Duration,
    /// A worker that is started again listens where it did before.
    pub same_endpoint: bool,
    /// Blow by blow, in order of time.
    pub blows: Vec<(Moment, Blow)>,
    /// How starts of processes end, each as (process, how), in the order of the starts.
    pub dooms: Vec<(usize, Doom)>,
}

impl FaultPlan {
    /// Draws a plan for these processes, among whom it storms for `longest` at most.
    pub(super) fn draw(rng: &mut Rng, faults: &Faults, cast: Cast, longest: Duration) -> Self {
        let storm = between(rng, longest / 30, longest);
        let quiet_at = Moment::default() + storm;
        let rate = |rng: &mut Rng, kind| match faults.has(kind) {
            true => *rng.choice(&[0.0, 0.001, 0.01, 0.05]).unwrap_or(&0.0),
            false => 0.0,
        };
        let delay = faults.has(FaultKind::Delay) && rng.bool();
        let mut plan = Self {
            quiet_at,
            loss: rate(rng, FaultKind::Loss),
            duplicate: rate(rng, FaultKind::Duplicate),
            late: if delay { rng.f64() * 0.3 } else { 0.0 },
            late_max: between(rng, Duration::from_millis(1), Duration::from_millis(800)),
            sync_max: match delay {
                true => between(rng, Duration::from_millis(1), Duration::from_millis(300)),
                false => Duration::from_micros(300),
            },
            source_waits: rng.bool(),
            large: *rng.choice(&[0.0, 0.5, 1.0]).unwrap_or(&0.0),
            read_max: match rng.bool() {
                true => Duration::from_micros(100),
                false => storm / rng.u32(4..40),
            },
            same_endpoint: rng.u8(0..4) == 0,
            blows: Vec::new(),
            dooms: Vec::new(),
        };
        for kind in faults.0.iter().copied() {
            // Whoever takes a run up again makes good for much, so most runs are never asked to end.
            let blows = match kind {
                FaultKind::Drain => rng.u8(0..8).saturating_sub(4),
                _ => rng.u8(0..5),
            };
            for _ in 0..blows {
                let at = Moment::default() + storm.mul_f64(rng.f64());
                if let Some(blow) = Blow::draw(rng, kind, cast) {
                    plan.blows.push((at, blow));
                }
            }
        }
        plan.blows.sort_by_key(|(at, _)| *at);
        if faults.has(FaultKind::Crash) {
            for _ in 0..rng.u8(0..8) {
                let process = cast.victim(rng);
                plan.dooms.push((process, Doom::draw(rng, cast.duty(process), cast.clients > 0)));
            }
        }
        plan
    }
}

impl Blow {
    fn draw(rng: &mut Rng, kind: FaultKind, cast: Cast) -> Option<Self> {
        let process = cast.victim(rng);
        let lasts = between(rng, Duration::from_millis(10), Duration::from_secs(4));
        Some(match kind {
            FaultKind::Kill => Self::Kill { process, back_after: lasts / 2 },
            FaultKind::Stop => Self::Stop { process, lasts },
            FaultKind::Partition if rng.u8(0..3) == 0 => Self::Reset { process },
            FaultKind::Partition => {
                let mut inside = vec![process];
                if rng.bool() {
                    inside
                        .extend((0..cast.count()).filter(|other| *other != process && rng.bool()));
                }
                let how = *rng.choice(&[Cut::Hold, Cut::Drop, Cut::Reset])?;
                Self::Partition { inside, lasts, how }
            }
            FaultKind::Leave => Self::Leave { process: rng.usize(WORKERS..WORKERS + cast.workers) },
            FaultKind::Drain => Self::Drain,
            FaultKind::Loss | FaultKind::Delay | FaultKind::Duplicate | FaultKind::Crash => {
                return None;
            }
        })
    }
}

/// The processes that a plan is for: ventilator and sink, then workers, then clients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cast {
    pub workers: usize,
    pub clients: usize,
}

impl Cast {
    fn count(self) -> usize {
        WORKERS + self.workers + self.clients
    }

    /// Ventilator and sink are hit as often as all workers together, and as all clients.
    fn victim(self, rng: &mut Rng) -> usize {
        let clients = WORKERS + self.workers;
        if self.clients > 0 && rng.u8(0..3) == 0 {
            rng.usize(clients..self.count())
        } else if rng.bool() {
            rng.usize(0..WORKERS)
        } else {
            rng.usize(WORKERS..clients)
        }
    }

    /// What a process does; which stage a worker is of does not matter.
    fn duty(self, process: usize) -> Duty {
        match process {
            VENTILATOR => Duty::Ventilator,
            SINK => Duty::Sink,
            _ if process < WORKERS + self.workers => Duty::Worker(0),
            _ => Duty::Client(process - WORKERS - self.workers),
        }
    }
}

/// A time between two, as often in each power of two.
pub(super) fn between(rng: &mut Rng, least: Duration, most: Duration) -> Duration {
    let ratio = most.as_secs_f64() / least.as_secs_f64();
    least.mul_f64(ratio.powf(rng.f64()))
}
