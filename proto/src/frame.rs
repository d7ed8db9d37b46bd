//! The frames: everything that one process can say to another, and their bytes.
//!
//! Owns the vocabulary and its form in bytes; refuses meaning: what a frame brings about is decided
//! by the rules. A frame is one MessagePack array, `[version, run, from, session, seq, body]`, with
//! structures as arrays and the body as a map from its name to its content; see `PROTOCOL.md`.

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use crate::dead::Dead;

use crate::{
    bounds::BoundsError,
    limits::Limits,
    plan::Stage,
    service::{Access, Cancelled, Declined, IdRange, Outcomes, Part, Standing, Submit, Ticketed},
    spread::Spread,
    turned_away::TurnedAway,
    unit::UnitId,
    units::{Span, Units},
};

/// The version of the protocol; processes of different versions do not talk.
pub const VERSION: u8 = 1;

/// One start of one process (fencing), drawn at random.
pub type PeerId = u64;

/// One run, drawn at random by its sink; 0 while it is not known yet.
pub type RunId = u64;

/// A parcel, counted by its sender from 0 in each session.
pub type ParcelId = u64;

/// A frame with its sender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`VERSION`].
    pub version: u8,
    /// The run that it belongs to; 0 in the first Hello of a process that knows of none.
    pub run: RunId,
    /// Who sends.
    pub from: PeerId,
    /// Which conversation of the two; counted by the one who said Hello.
    pub session: u32,
    /// Its place in the session in this direction, from 0. A gap is a loss.
    pub seq: u64,
    /// What is said.
    pub frame: Frame,
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Frame {
    /// The first frame of a session, by the process that dials.
    Hello(Box<Hello>),
    /// The answer; from here on both may send.
    Welcome(Box<Welcome>),
    /// The other answer: why the two cannot work together.
    Refused(Refusal),
    /// The sender has given the session up; say Hello again.
    Reset,
    /// The sender is alive.
    Beat,
    /// How much the receiver of this frame may have sent since the session began, in all.
    Credit(Credit),
    /// The workers of the next stage, all of them.
    Roster(Vec<Contact>),
    /// Units to work on.
    Work(Work),
    /// Give back what you have not begun of this parcel.
    Retract(ParcelId),
    /// The sender keeps the first `keep` units of the parcel and gives back the others, not begun.
    Returned {
        /// Which parcel.
        parcel: ParcelId,
        /// How many of its units stay.
        keep: u32,
    },
    /// Every unit kept of a parcel has been executed.
    Done(Done),
    /// Outcomes for the sink.
    Results(Results),
    /// What the sink has committed.
    Commit(Commit),
    /// The source has ended.
    End(End),
    /// Facts for the summary, from the ventilator to the sink at the end.
    Tally(Box<Tally>),
    /// What a worker has done so far, to the ventilator.
    Figures(WorkerTally),
    /// Facts for an observer.
    Report(Box<Report>),
    /// A worker takes no more work and will leave once its results are committed; or the run is asked
    /// to end: what is being worked on is finished, the rest goes back.
    Leaving,
    /// The run is over; leave.
    Stop,
    /// The sender leaves now.
    Bye,
    /// The sender, a worker, has so many units open at once: as many more may be on their way to it.
    /// Said before the first credit of a session, and only by one that has more than one.
    Concurrency(u32),
    /// Code that the units of the first stage name, from the ventilator to its workers, before the first
    /// unit that names it.
    Code(Box<Code>),
    /// An observer has the ventilator send no further units, or send them again.
    Pause(Pause),
    /// Units of a client of a service.
    Submit(Box<Submit>),
    /// Units of a client are accepted, and these are their tickets.
    Accepted(Vec<Ticketed>),
    /// Units of a client are not accepted.
    Declined(Declined),
    /// A client waits for the outcomes of these units.
    Await(Vec<IdRange>),
    /// What became of units.
    Outcomes(Box<Outcomes>),
    /// A client has the outcomes of these units; they need not be kept.
    Fetched(Vec<IdRange>),
    /// A client wants these units not to be worked on.
    Cancel(Vec<IdRange>),
    /// What became of that.
    Cancelled(Vec<Cancelled>),
    /// Whether there is a stage that has had no worker for a while.
    Vacant(bool),
    /// A client wants outputs of this unit as they come, of a stage that streams.
    Follow(UnitId),
    /// Outputs of a unit that is still worked on, for whoever follows it.
    Part(Part),
}

/// Whether the ventilator sends units. It is a state, not an event, so a repeated one does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// What the ventilator was started with, and only who started it knows: another one's means
    /// nothing.
    pub pass: u64,
    /// Nothing is sent; otherwise everything that there is.
    pub on: bool,
}

/// Code that units name by its id: functions that become known while a run goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// By what units name it; drawn by who feeds the ventilator, and never used again.
    pub id: u64,
    /// What only the worker's function understands; none once no unit names it any more.
    #[serde(with = "serde_bytes")]
    pub bytes: Option<Vec<u8>>,
}

/// Who says Hello.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// What the sender is.
    pub role: HelloRole,
    /// How people call it, as in `square-1`.
    pub name: String,
    /// Where its inbox listens, best first.
    pub endpoints: Vec<String>,
    /// Which machine it runs on: `ipc://` endpoints are of use only there.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
}

/// What a process is in a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum HelloRole {
    /// Reads the source.
    Ventilator {
        /// A digest of what decides the results: source and stages. A sink with an unfinished
        /// run accepts a restarted ventilator only of the same.
        plan: String,
        /// The run that it was part of before; 0 if none.
        run: RunId,
        /// The names of the stages, in order.
        stages: Vec<String>,
    },
    /// Computes.
    Worker {
        /// The stage that it asks for; none: the first.
        stage: Option<String>,
        /// Whether it brings a function of its own.
        own: bool,
    },
    /// Watches.
    Observer,
    /// Submits units to a service, and fetches their outcomes.
    Client {
        /// By what its units are told from those of others, over all its starts.
        client: String,
        /// What is queued of it is cancelled when it is gone.
        cancels: bool,
    },
}

/// The answer to Hello.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Welcome {
    /// To a worker, by the ventilator.
    Plan(Box<Plan>),
    /// To the ventilator, by the sink: where the run stands.
    Resume {
        /// What is committed already.
        commit: Commit,
        /// Counts starts of the sink on this run; a lower one is a process of the past.
        epoch: u64,
    },
    /// To a worker, by a sink or by a worker of the next stage.
    Peer,
    /// To a client, by the ventilator of a service.
    Access(Box<Access>),
}

/// What a worker needs to take part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The stage that it belongs to, counted from 0.
    pub stage_index: u32,
    /// How many stages there are.
    pub stages: u32,
    /// Its stage.
    pub stage: Stage,
    /// The rules for failures in the next stage, unless this is the last.
    pub next: Option<Stage>,
    /// Where the sink listens.
    pub sink: Vec<String>,
    /// The limits of the run.
    pub limits: Limits,
    /// The values are pairs: what the source gave, then the value itself.
    pub carries_input: bool,
}

/// Why two processes cannot work together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum Refusal {
    /// No such stage.
    #[error("there is no stage `{asked}`; there are {}", stages.join(", "))]
    Stage {
        /// The stage that the worker asked for.
        asked: String,
        /// The stages that there are.
        stages: Vec<String>,
    },
    /// The stage's function is the worker's own, and the worker has none.
    #[error("stage `{stage}` leaves the function to the worker; give it one, as in --run square")]
    NoFunction {
        /// The stage.
        stage: String,
    },
    /// A run of another plan is unfinished here.
    #[error("it holds an unfinished run of another source or other stages")]
    OtherPlan,
    /// A frame of another run.
    #[error("it is part of another run")]
    OtherRun,
    /// Too many peers.
    #[error("it already has {max} peers")]
    Full {
        /// The limit.
        max: u32,
    },
    /// The run is no service: its units come from a source.
    #[error("it is no service: its units come from a source, so it takes none from clients")]
    NoService,
}

/// How much may have been sent in a session, in all: cumulative, so that a repeated or late
/// frame does no harm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// Units.
    pub units: u64,
    /// Bytes of values.
    pub bytes: u64,
}

/// Where a worker of the next stage can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Its incarnation.
    pub peer: PeerId,
    /// Its name.
    pub name: String,
    /// Its machine.
    pub host: String,
    /// Its inbox.
    pub endpoints: Vec<String>,
}

/// A parcel of units to work on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Which parcel.
    pub parcel: ParcelId,
    /// Which try of its units, from 1.
    pub attempt: u32,
    /// The units.
    pub units: Units,
}

/// A parcel has been executed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Which parcel.
    pub parcel: ParcelId,
    /// Nanoseconds that the function ran for it; of units that are open at once each counts for its
    /// share of the time.
    pub busy_ns: u64,
    /// The units that failed, by ascending index in the parcel.
    pub failed: Vec<Failed>,
}

/// A unit failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Its index in the parcel.
    pub index: u32,
    /// What the worker said.
    pub error: String,
}

/// Outcomes of one stage for the sink.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Which parcel.
    pub parcel: ParcelId,
    /// The stage that gave them, counted from 0.
    pub stage: u32,
    /// Which try of the units it was, from 1.
    pub attempt: u32,
    /// Values that leave the last stage.
    pub units: Units,
    /// Units that a stage gave no output for.
    pub filtered: Vec<Span>,
    /// Units that failed for good.
    pub dead: Vec<Dead>,
    /// Microseconds that each unit took, run-length encoded: how many units in a row, how long
    /// each; first the units with values, in order.
    pub timing: Vec<(u32, u32)>,
}

/// A part of what the sink has committed, which only grows: a session begins with all of it, and
/// each part that follows adds what is new since the one before. Each one says the watermark.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// All units below are committed.
    pub watermark: UnitId,
    /// Ranges above it that are committed too, start and exclusive end, lowest first; at most
    /// [`COMMIT_RANGES_MAX`] of them.
    pub above: Vec<(UnitId, UnitId)>,
    /// No unit at or beyond it may be sent; 0 if another part follows at once.
    pub horizon: UnitId,
    /// Everything is committed and the outputs are closed.
    pub complete: bool,
    /// The unit that gets on where there is no room, as a service's ventilator tells workers; otherwise
    /// it is the oldest that is not committed. It stays so until it is committed.
    pub urgent: Option<UnitId>,
}

/// How many ranges a [`Commit`] lists at most.
pub const COMMIT_RANGES_MAX: usize = 4_096;

/// The source has ended, or the ventilator was told to drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How many units there were.
    pub units: u64,
    /// Whether the source may have more: the run stops here, and can be resumed.
    pub drained: bool,
}

/// What the ventilator knows for the summary.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Tries of units in the first stage.
    pub attempts: u64,
    /// From a unit's leaving to its commit as seen by the ventilator, in microseconds:
    /// 50th, 90th and 99th percentile and maximum.
    pub latency_us: [u64; 4],
    /// Milliseconds from a worker's loss to the moment its units were with another; the longest.
    pub recovery_ms: Option<f64>,
    /// The workers of all stages.
    pub workers: Vec<WorkerTally>,
    /// What the ventilator has turned away.
    pub turned_away: TurnedAway,
}

/// What one worker did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerTally {
    /// Its name.
    pub name: String,
    /// Its stage, counted from 0.
    pub stage: u32,
    /// Units executed.
    pub units: u64,
    /// Outputs that they gave.
    pub outputs: u64,
    /// Nanoseconds in the function; of one that has several units open at once, with any open.
    pub busy_ns: u64,
    /// Nanoseconds since it joined.
    pub present_ns: u64,
    /// What it has turned away.
    pub turned_away: TurnedAway,
    /// Nanoseconds from each unit's beginning to its end, summed up: divided by `busy_ns` it is how many
    /// were open at once, in the mean.
    #[serde(default)]
    pub open_ns: u64,
    /// Executions that failed, of those in `units`.
    #[serde(default)]
    pub failed: u64,
    /// How long units took in the function; those of a parcel count with their mean.
    #[serde(default)]
    pub spread: Spread,
    /// One of the outputs since this was told last.
    #[serde(default)]
    pub sample: Option<Box<Sample>>,
}

/// An output of a worker, for whoever looks on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The place of its unit in the source.
    pub root: UnitId,
    /// Which output of which output it is.
    pub indices: Vec<u32>,
    /// The value; nothing if it is larger than [`SAMPLE_BYTES_MAX`].
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
    /// Bytes of the value.
    pub bytes: u64,
}

/// The largest value in a [`Sample`].
pub const SAMPLE_BYTES_MAX: usize = 1 << 10;

impl Sample {
    /// The first of these outputs.
    pub fn of(units: &Units) -> Option<Self> {
        let (root, path, value) = units.iter().next()?;
        let kept = if value.len() > SAMPLE_BYTES_MAX { &[] } else { value };
        let indices = path.iter().map(|step| step.index).collect();
        Some(Self { root, indices, value: kept.to_vec(), bytes: value.len() as u64 })
    }

    /// Whether it keeps to the bounds.
    pub fn is_bounded(&self) -> bool {
        self.value.len() <= SAMPLE_BYTES_MAX && self.indices.len() <= SAMPLE_BYTES_MAX
    }
}

/// A sample, and where it was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// Its number: each has a higher one than those before.
    pub number: u64,
    /// The stage that gave it, counted from 0.
    pub stage: u32,
    /// The worker that gave it.
    pub worker: String,
    /// What was given.
    pub sample: Sample,
}

/// So many samples are told of in a [`Report`].
pub const PASSED_MAX: usize = 16;

/// What the workers of a stage have done, those that have left included.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StageTally {
    /// Those that are there.
    pub workers: u32,
    /// Units executed.
    pub units: u64,
    /// Outputs that they gave.
    pub outputs: u64,
    /// Executions that failed, of those in `units`.
    pub failed: u64,
    /// Nanoseconds in the function, of all workers together.
    pub busy_ns: u64,
    /// Nanoseconds since each joined.
    pub present_ns: u64,
    /// Nanoseconds from each unit's beginning to its end.
    pub open_ns: u64,
    /// How long units took in the function.
    pub spread: Spread,
}

impl StageTally {
    /// A worker has done this.
    pub fn add(&mut self, worker: &WorkerTally) {
        let sums = [
            (&mut self.units, worker.units),
            (&mut self.outputs, worker.outputs),
            (&mut self.failed, worker.failed),
            (&mut self.busy_ns, worker.busy_ns),
            (&mut self.present_ns, worker.present_ns),
            (&mut self.open_ns, worker.open_ns),
        ];
        for (sum, more) in sums {
            *sum = sum.saturating_add(more);
        }
        self.spread.add(&worker.spread);
    }
}

/// A unit that was sent to a worker and is not done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenUnit {
    /// Which.
    pub unit: UnitId,
    /// Who has it.
    pub worker: String,
    /// Milliseconds since it was sent.
    pub ms: u64,
}

/// Progress, for whoever asked to be told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Units read from the source so far.
    pub read: u64,
    /// Units in the source, once known.
    pub total: Option<u64>,
    /// Units committed.
    pub committed: u64,
    /// Units dead-lettered.
    pub dead: u64,
    /// Workers at work.
    pub workers: u32,
    /// The sink has closed its outputs; its exit code.
    pub finished: Option<i32>,
    /// The sink's summary as JSON, once finished.
    pub summary: Option<String>,
    /// The unit that the output has waited for, for a while.
    pub awaited: Option<Awaited>,
    /// Of a run that was asked to end: what is worked on.
    pub running: Option<Running>,
    /// What the workers have done that are there, at most [`TALLIES_MAX`] of them.
    #[serde(default)]
    pub tallies: Vec<WorkerTally>,
    /// A stage that no unit has come through since the sink began.
    #[serde(default)]
    pub failing: Option<Failing>,
    /// What each stage has done.
    #[serde(default)]
    pub stages: Vec<StageTally>,
    /// The units that workers of the first stage have had longest, at most [`OLDEST_MAX`].
    #[serde(default)]
    pub oldest: Vec<OpenUnit>,
    /// What passed of late, the oldest first, at most [`PASSED_MAX`].
    #[serde(default)]
    pub passed: Vec<Passed>,
    /// What a service has: of the queue by its ventilator, of the outcomes by its sink.
    #[serde(default)]
    pub service: Option<Standing>,
}

/// A stage in which every unit has failed so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Its name.
    pub stage: String,
    /// Units that it has dead-lettered.
    pub dead: u64,
    /// What the first of them failed with, in a line.
    pub error: String,
}

/// So many open units are told of in a [`Report`].
pub const OLDEST_MAX: usize = 20;

/// So many workers are told of in a [`Report`].
pub const TALLIES_MAX: usize = 256;

/// What functions work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Units that are begun and not finished.
    pub units: u64,
    /// Milliseconds since the oldest of them was begun.
    pub longest_ms: u64,
}

/// The unit that the output waits for, since results are written in the order of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    /// The first unit without an outcome.
    pub unit: UnitId,
    /// Milliseconds since the one before it was written.
    pub ms: u64,
}

/// Why bytes are not a frame.
#[derive(Debug, Error)]
pub enum FrameError {
    /// Not an envelope of this protocol.
    #[error("not a frame: {0}")]
    Malformed(#[from] rmp_serde::decode::Error),
    /// More than a frame may hold.
    #[error("a frame with too much: {0}")]
    Bounds(#[from] BoundsError),
    /// Of another version.
    #[error("a frame of version {found}, this process speaks {VERSION}")]
    Version {
        /// What it says.
        found: u8,
    },
}

impl Envelope {
    /// The bytes to send.
    ///
    /// # Panics
    /// Never: every field has a MessagePack form.
    #[expect(clippy::expect_used, reason = "this process's own frames, not a peer's")]
    pub fn encode(&self) -> Vec<u8> {
        let payload = match &self.frame {
            Frame::Work(work) => work.units.bytes(),
            Frame::Results(results) => results.units.bytes(),
            Frame::Submit(submit) => submit.units.bytes(),
            Frame::Outcomes(outcomes) => outcomes.units.bytes(),
            _ => 0,
        };
        let mut bytes = Vec::with_capacity(payload + 128);
        let mut to = rmp_serde::Serializer::new(&mut bytes);
        self.serialize(&mut to).expect("every field of a frame has a MessagePack form");
        bytes
    }
}
