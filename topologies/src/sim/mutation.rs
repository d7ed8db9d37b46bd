//! Bugs that are put in on purpose: a checker that does not find them proves nothing.
//!
//! Owns their names; each is carried out by the model part that it concerns.

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// The recorder says that outcomes are recorded before they are on the disk.
    CommitBeforeSync,
    /// Of each range of committed units that the disk has above the watermark, a restarted sink
    /// takes one unit too many for committed.
    RangeOneTooFar,
    /// Of each range of committed units that the disk has above the watermark, a restarted sink
    /// takes one unit too few for committed.
    RangeOneTooShort,
    /// A worker forgets what it has sent to the next stage when it is given credit for it, and
    /// not when it is committed.
    ForgetOnCredit,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::CommitBeforeSync,
        Self::RangeOneTooFar,
        Self::RangeOneTooShort,
        Self::ForgetOnCredit,
    ];
}
