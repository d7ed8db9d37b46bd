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
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 3] =
        [Self::CommitBeforeSync, Self::RangeOneTooFar, Self::RangeOneTooShort];
}
