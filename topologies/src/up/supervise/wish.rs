//! What people may want of a run while it goes on, and what they are told.

/// Whether the ventilator may send units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// No further ones.
    On,
    /// As many as there are.
    Off,
}

/// What someone wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// An end of the run, with what is being worked on.
    Drain,
    /// Its end at once.
    Stop,
    /// That no further units are sent.
    Pause,
    /// That they are sent again.
    Resume,
    /// So many workers in a stage.
    Scale {
        /// Counted from 0.
        stage: usize,
        /// How many.
        workers: u32,
    },
    /// The workers of a stage anew, one after the other.
    Restart {
        /// Counted from 0.
        stage: usize,
    },
}

/// What is done for a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granted {
    /// The run ends.
    Ends,
    /// Units are sent, or not.
    Held(Hold),
    /// So many workers of a stage are started, or asked to leave.
    Scaled {
        /// Started.
        more: u32,
        /// Asked to leave.
        fewer: u32,
    },
    /// So many are restarted.
    Restarts(usize),
}

/// Why nothing is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwilling {
    /// The run is about to end.
    Ending,
    /// A stage is restarted already.
    Busy,
    /// The stage has no worker here.
    Nobody,
}
