//! The rules, as plain state machines: no socket, thread, clock, randomness or log in them.

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
