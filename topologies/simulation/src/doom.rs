//! Deaths in the middle of things: which request of a process is its last, and how far it gets.
//!
//! Owns the names of all requests of all roles, and the choice; what is left of a request that was
//! cut short is the business of the model that carries it out.

use std::time::Duration;

use fastrand::Rng;

use super::{faults::between, places::Duty};

/// Something that a role asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Job {
    /// The sink: a run has begun, or goes on.
    Begin,
    /// The sink: outcomes are recorded.
    Record,
    /// The sink: what waits for a late outcome is recorded too.
    LogWaiting,
    /// The sink: the outputs are closed.
    Close,
    /// The sink: the run is over.
    Conclude,
    /// The ventilator: the source is read from some unit on.
    Seek,
    /// The ventilator: units are read.
    Read,
    /// The ventilator: something is noted for people.
    Note,
    /// The ventilator of a service: units are accepted.
    Submit,
    /// The ventilator of a service: queued units are cancelled.
    Cancel,
    /// The ventilator of a service: units came back that shall not be worked on.
    Recalled,
    /// The ventilator of a service: queued units are given out.
    GiveOut,
    /// The ventilator of a service: its queue hears of something.
    Queue,
    /// The sink of a service: a client asks for outcomes.
    Await,
    /// The sink of a service: a client has outcomes.
    Fetched,
    /// A client: it learns of tickets.
    Accepted,
    /// A client: it learns of outcomes.
    Outcomes,
    /// A client: it says which outcomes it has.
    Fetch,
    /// A worker: its function is made ready.
    Load,
    /// A worker: a parcel is executed.
    Execute,
    /// A worker: a part of its parcel is given up.
    Truncate,
    /// A worker: the outputs so far are fetched.
    Collect,
}

impl Job {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Begin,
        Self::Record,
        Self::LogWaiting,
        Self::Close,
        Self::Conclude,
        Self::Seek,
        Self::Read,
        Self::Note,
        Self::Submit,
        Self::Cancel,
        Self::Recalled,
        Self::GiveOut,
        Self::Queue,
        Self::Await,
        Self::Fetched,
        Self::Accepted,
        Self::Outcomes,
        Self::Fetch,
        Self::Load,
        Self::Execute,
        Self::Truncate,
        Self::Collect,
    ];

    /// What it is, in a few words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Begin => "recording that a run begins",
            Self::Record => "recording outcomes",
            Self::LogWaiting => "recording what waits",
            Self::Close => "closing outputs",
            Self::Conclude => "concluding the run",
            Self::Seek => "going to a place in the source",
            Self::Read => "reading the source",
            Self::Note => "noting for people",
            Self::Submit => "accepting units",
            Self::Cancel => "cancelling units",
            Self::Recalled => "cancelling what came back",
            Self::GiveOut => "giving units out",
            Self::Queue => "telling the queue",
            Self::Await => "answering a client",
            Self::Fetched => "noting that a client has its outcomes",
            Self::Accepted => "learning of tickets",
            Self::Outcomes => "learning of outcomes",
            Self::Fetch => "saying what was learnt",
            Self::Load => "loading a function",
            Self::Execute => "executing a parcel",
            Self::Truncate => "giving units up",
            Self::Collect => "fetching outputs",
        }
    }

    /// Those of a process, and how many of each there may be before the one that is cut short.
    fn of(duty: Duty, serves: bool) -> &'static [(Self, u32)] {
        match duty {
            Duty::Ventilator if serves => &[
                (Self::Submit, 16),
                (Self::Cancel, 2),
                (Self::Recalled, 2),
                (Self::GiveOut, 16),
                (Self::Queue, 16),
                (Self::Note, 4),
            ],
            Duty::Sink if serves => &[
                (Self::Begin, 1),
                (Self::Record, 32),
                (Self::LogWaiting, 2),
                (Self::Await, 16),
                (Self::Fetched, 8),
                (Self::Close, 1),
                (Self::Conclude, 1),
            ],
            Duty::Client(_) => &[(Self::Accepted, 8), (Self::Outcomes, 8), (Self::Fetch, 4)],
            Duty::Ventilator => &[(Self::Seek, 1), (Self::Read, 16), (Self::Note, 4)],
            Duty::Sink => &[
                (Self::Begin, 1),
                (Self::Record, 32),
                (Self::LogWaiting, 2),
                (Self::Close, 1),
                (Self::Conclude, 1),
            ],
            Duty::Worker(_) => {
                &[(Self::Load, 1), (Self::Execute, 16), (Self::Truncate, 2), (Self::Collect, 4)]
            }
        }
    }
}

/// How much of a request is done when its process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Extent {
    /// It was only asked for.
    Nothing,
    /// A part.
    Half,
    /// All of it, but nobody was told.
    All,
}

impl Extent {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Half, Self::All];
}

/// How a request ends that is its process's last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    pub job: Job,
    pub extent: Extent,
    /// The process dies so long after it asked; it does everything else meanwhile.
    pub lingers: Duration,
}

/// One request of one start of a process, and how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Doom {
    /// How many of the same kind come before it.
    before: u32,
    fate: Fate,
}

impl Doom {
    /// One for a start of a process, of a service or not.
    pub fn draw(rng: &mut Rng, duty: Duty, serves: bool) -> Self {
        let jobs = Job::of(duty, serves);
        let (job, most) = jobs[rng.usize(0..jobs.len())];
        let extent = Extent::ALL[rng.usize(0..Extent::ALL.len())];
        let lingers = between(rng, Duration::from_micros(10), Duration::from_secs(1));
        // Most are early: what is rare happens only in the first moments.
        let before = rng.u32(0..most).min(rng.u32(0..most));
        Self { before, fate: Fate { job, extent, lingers } }
    }

    /// Whether this request is the one.
    pub fn meets(&mut self, job: Job) -> Option<Fate> {
        if job != self.fate.job {
            return None;
        }
        let met = self.before == 0;
        self.before = self.before.wrapping_sub(1);
        met.then_some(self.fate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_cut_short_once_after_those_before_it() {
        let fate = Fate { job: Job::Read, extent: Extent::Half, lingers: Duration::ZERO };
        let mut doom = Doom { before: 2, fate };
        let met: Vec<_> = (0..5).map(|_| doom.meets(Job::Read).is_some()).collect();
        assert_eq!(met, [false, false, true, false, false]);
        assert_eq!(doom.meets(Job::Seek), None);
    }
}
