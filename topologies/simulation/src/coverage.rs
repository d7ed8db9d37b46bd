//! What really happened in the runs: a simulation in which nothing goes wrong proves nothing.
//!
//! Owns the counts, by kind of fault and by rare path of the rules; refuses to judge them.

use std::fmt;

use proto::frame::{Dead, Envelope, Frame, Welcome};

use super::doom::{Extent, Job};

/// Something that is worth counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Seen {
    /// A frame vanished.
    Lost,
    /// A frame was late.
    Late,
    /// A frame came twice.
    Doubled,
    /// The ventilator was killed.
    VentilatorKilled,
    /// The sink was killed.
    SinkKilled,
    /// A worker was killed.
    WorkerKilled,
    /// A process was stopped.
    Stopped,
    /// A process found that it had been asleep.
    Asleep,
    /// A partition held frames back, dropped them, or broke connections.
    Partitioned,
    /// All connections of a process broke.
    Disconnected,
    /// A worker was asked to leave, and did.
    Left,
    /// A run was asked to end, and did before its source's end.
    Drained,
    /// What a dying sink was recording was on its disk all the same.
    RecordedUntold,
    /// An outcome died with its sink, since it waited for an earlier one in memory only.
    LostInMemory,
    /// A session was given up for a gap.
    Gap,
    /// A peer was told so.
    Reset,
    /// Units were called back.
    Retracted,
    /// A worker gave back what it had not begun.
    GivenBack,
    /// A second copy was given to an idle worker.
    Speculated,
    /// What a worker had that was not heard was for others as well.
    Lent,
    /// A parcel went without credit, since everything may have waited for it.
    Pressed,
    /// A unit was tried again.
    Retried,
    /// A unit failed for good.
    Failed,
    /// A unit killed its workers until it was given up.
    CrashLimit,
    /// The sink dropped what it had accepted before.
    Duplicate,
    /// A ventilator went on with what its predecessor had begun.
    Resumed,
    /// A sink died after the window had grown beyond what it starts with, and came back.
    WideRestart,
    /// Those that could not hear of the end had to be told.
    Reminded,
    /// A client of a service was killed.
    ClientKilled,
    /// A client was told a ticket that it, or the one before it, had been told.
    TicketAgain,
    /// Several numbers had the same unit.
    Joined,
    /// A client was told that a unit was cancelled.
    Cancelled,
    /// A unit was cancelled that the queue had given out.
    CancelledOut,
    /// A worker gave a unit back that shall not be worked on.
    Recalled,
    /// A client was told that a unit which it wanted cancelled was begun.
    Begun,
    /// The answer to a client was that its ticket was never given.
    Unknown,
    /// The answer to a client was that the outcome is not kept any more.
    OutcomeExpired,
    /// Units of clients were declined.
    Declined,
    /// What a dying ventilator was accepting was in its queue all the same.
    AcceptedUntold,
    /// Outcomes were kept though their clients had them.
    KeptAgain,
    /// Outputs of a unit that was still worked on were sent.
    Shown,
}

impl Seen {
    /// All of them.
    pub const ALL: [Self; 41] = [
        Self::Lost,
        Self::Late,
        Self::Doubled,
        Self::VentilatorKilled,
        Self::SinkKilled,
        Self::WorkerKilled,
        Self::Stopped,
        Self::Asleep,
        Self::Partitioned,
        Self::Disconnected,
        Self::Left,
        Self::Drained,
        Self::RecordedUntold,
        Self::LostInMemory,
        Self::Gap,
        Self::Reset,
        Self::Retracted,
        Self::GivenBack,
        Self::Speculated,
        Self::Lent,
        Self::Pressed,
        Self::Retried,
        Self::Failed,
        Self::CrashLimit,
        Self::Duplicate,
        Self::Resumed,
        Self::WideRestart,
        Self::Reminded,
        Self::ClientKilled,
        Self::TicketAgain,
        Self::Joined,
        Self::Cancelled,
        Self::CancelledOut,
        Self::Recalled,
        Self::Begun,
        Self::Unknown,
        Self::OutcomeExpired,
        Self::Declined,
        Self::AcceptedUntold,
        Self::KeptAgain,
        Self::Shown,
    ];

    /// What is counted, in a few words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "frames lost",
            Self::Late => "frames late",
            Self::Doubled => "frames doubled",
            Self::VentilatorKilled => "ventilators killed",
            Self::SinkKilled => "sinks killed",
            Self::WorkerKilled => "workers killed",
            Self::Stopped => "processes stopped",
            Self::Asleep => "processes that slept long",
            Self::Partitioned => "partitions",
            Self::Disconnected => "processes disconnected",
            Self::Left => "workers that left early",
            Self::Drained => "runs drained and resumed",
            Self::RecordedUntold => "commits nobody was told of",
            Self::LostInMemory => "outcomes lost while they waited",
            Self::Gap => "gaps",
            Self::Reset => "resets",
            Self::Retracted => "parcels called back",
            Self::GivenBack => "parcels given back",
            Self::Speculated => "second copies",
            Self::Lent => "parcels of quiet workers lent",
            Self::Pressed => "parcels without credit",
            Self::Retried => "parcels tried again",
            Self::Failed => "units that failed for good",
            Self::CrashLimit => "units that killed workers",
            Self::Duplicate => "duplicates dropped",
            Self::Resumed => "ventilators that resumed",
            Self::WideRestart => "sinks restarted with a wide window",
            Self::Reminded => "processes told of the end",
            Self::ClientKilled => "clients killed",
            Self::TicketAgain => "tickets told again",
            Self::Joined => "units joined by their keys",
            Self::Cancelled => "units told to be cancelled",
            Self::CancelledOut => "units cancelled that were given out",
            Self::Recalled => "units given back by workers to be cancelled",
            Self::Begun => "units told to be begun",
            Self::Unknown => "tickets that were never given",
            Self::OutcomeExpired => "outcomes told to be expired",
            Self::Declined => "units declined",
            Self::AcceptedUntold => "units accepted nobody was told of",
            Self::KeptAgain => "outcomes kept again",
            Self::Shown => "outputs shown early",
        }
    }
}

/// How often each of them was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    seen: [u64; Seen::ALL.len()],
    died: [[u64; Extent::ALL.len()]; Job::ALL.len()],
}

impl Default for Coverage {
    fn default() -> Self {
        Self { seen: [0; Seen::ALL.len()], died: Default::default() }
    }
}

impl Coverage {
    /// How often this was seen.
    pub fn of(&self, seen: Seen) -> u64 {
        self.seen[seen as usize]
    }

    /// What was never seen.
    pub fn never(&self) -> Vec<Seen> {
        Seen::ALL.into_iter().filter(|seen| self.of(*seen) == 0).collect()
    }

    /// How often a process died in the middle of this, when so much of it was done.
    pub fn died_during(&self, job: Job, extent: Extent) -> u64 {
        self.died[job as usize][extent as usize]
    }

    /// In the middle of what no process ever died, and when.
    pub fn never_died_during(&self) -> Vec<(Job, Extent)> {
        let all = Job::ALL.into_iter().flat_map(|job| Extent::ALL.map(|extent| (job, extent)));
        all.filter(|(job, extent)| self.died_during(*job, *extent) == 0).collect()
    }

    /// Adds what was seen in another run.
    pub fn add(&mut self, other: &Self) {
        let died = self.died.iter_mut().flatten().zip(other.died.into_iter().flatten());
        for (sum, count) in self.seen.iter_mut().zip(other.seen).chain(died) {
            *sum += count;
        }
    }

    pub(super) fn saw(&mut self, seen: Seen, count: u64) {
        self.seen[seen as usize] += count;
    }

    pub(super) fn died(&mut self, job: Job, extent: Extent) {
        self.died[job as usize][extent as usize] += 1;
    }

    /// Counts what a frame tells of its sender.
    pub(super) fn sent(&mut self, envelope: &Envelope) {
        match &envelope.frame {
            Frame::Reset => self.saw(Seen::Gap, 1),
            Frame::Retract(_) => self.saw(Seen::Retracted, 1),
            Frame::Part(_) => self.saw(Seen::Shown, 1),
            Frame::Returned { .. } => self.saw(Seen::GivenBack, 1),
            Frame::Work(work) => self.saw(Seen::Retried, u64::from(work.attempt > 1)),
            Frame::Results(results) => {
                for dead in &results.dead {
                    self.saw(
                        if killed_its_workers(dead) { Seen::CrashLimit } else { Seen::Failed },
                        1,
                    );
                }
            }
            Frame::Welcome(welcome) => {
                if let Welcome::Resume { commit, .. } = welcome.as_ref() {
                    let begun = commit.watermark > 0 || !commit.above.is_empty();
                    self.saw(Seen::Resumed, u64::from(begun));
                }
            }
            _ => {}
        }
    }
}

/// Whether a unit was given up for its workers' deaths.
pub(super) fn killed_its_workers(dead: &Dead) -> bool {
    dead.error.contains("died while executing")
}

/// One line each.
impl fmt::Display for Coverage {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for seen in Seen::ALL {
            writeln!(to, "{:>12}  {}", self.of(seen), seen.name())?;
        }
        for job in Job::ALL {
            let [nothing, half, all] = Extent::ALL.map(|extent| self.died_during(job, extent));
            let died = nothing + half + all;
            writeln!(to, "{died:>12}  deaths while {} ({half} half-way, {all} done)", job.name())?;
        }
        Ok(())
    }
}
