//! The rules, as plain state machines: no socket, thread, clock, randomness or log in them.
//!
//! - [`mesh`]: conversations with all peers, from Hello to the first loss
//! - [`downstream`]: the one sender there is, in the ventilator and in every worker: [`dispatch`] gives
//!   units to workers, [`outbox`] keeps outcomes for the sink, [`commit`] knows what may be forgotten
//! - [`credit`], [`sizing`]: how much may be sent, and how many units travel together
//! - [`expansion`]: when all of a unit is there that became several
//! - [`observers`], [`patience`]: who is told of progress, and when a wait is worth a line

pub mod commit;
pub mod credit;
pub mod dispatch;
pub mod downstream;
pub mod expansion;
pub mod mesh;
pub mod observers;
pub mod outbox;
pub mod patience;
pub mod sizing;
