//! Bugs that are put in on purpose: a checker that does not find them proves nothing.
//!
//! Owns their names; each is carried out by the model part that it concerns.

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// The recorder says that outcomes are recorded before they are on the disk.
    CommitBeforeSync,
    /// The recorder says that a run has begun before that is on the disk.
    BegunBeforeSync,
    /// The same, and the sink passes over outcomes that no sink has let be sent, as if it had taken
    /// them.
    DroppedAsTaken,
    /// The recorder says that outcomes are recorded that wait in its memory for an earlier one.
    WaitingAsRecorded,
    /// Of each range of committed units that the disk has above the watermark, a restarted sink
    /// takes one unit too many for committed.
    RangeOneTooFar,
    /// Of each range of committed units that the disk has above the watermark, a restarted sink
    /// takes one unit too few for committed.
    RangeOneTooShort,
    /// A worker forgets what it has sent to the next stage when it is given credit for it, and
    /// not when it is committed.
    ForgetOnCredit,
    /// The ventilator takes the first death of a worker that has nothing but a suspect unit for
    /// enough to give that up.
    BlamedTooSoon,
    /// A worker with many units open says that a parcel is done when all but one of the units that it has
    /// kept are.
    DoneTooSoon,
    /// A worker with many units open says that it keeps one more unit of a parcel than it does.
    KeepsTooFew,
    /// Whoever is told what is committed hears nothing of some of the ranges.
    DeltaLost,
    /// Whoever is told what is committed adds up what is new, and so adds twice what comes twice.
    DeltaTwice,
    /// A client is told a ticket before that is on the disk.
    TicketBeforeSync,
    /// The queue forgets with its process which client has submitted what.
    NamesForgotten,
    /// The queue does not hear what is committed.
    NothingIsOver,
    /// A client is told an outcome before that is on the disk.
    OutcomeBeforeSync,
    /// A client that waits is not told when the outcome comes.
    OutcomeLate,
    /// A client that asks later is told the outcome of the unit behind.
    OutcomeOfAnother,
    /// With an outcome that a client has, the one behind is not kept any more.
    FetchedTooMany,
    /// Outcomes are kept though their clients have them, and for how long ever.
    KeptForEver,
    /// The queue never forgets a client, however long ago it was heard.
    NumbersForEver,
}

impl Mutation {
    /// Those that need no service.
    pub const ALL: [Self; 12] = [
        Self::CommitBeforeSync,
        Self::BegunBeforeSync,
        Self::DroppedAsTaken,
        Self::WaitingAsRecorded,
        Self::RangeOneTooFar,
        Self::RangeOneTooShort,
        Self::ForgetOnCredit,
        Self::BlamedTooSoon,
        Self::DoneTooSoon,
        Self::KeepsTooFew,
        Self::DeltaLost,
        Self::DeltaTwice,
    ];
}
