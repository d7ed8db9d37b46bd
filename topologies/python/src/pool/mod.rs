//! The caller's side of a pool: units in, results out.
//!
//! A ventilator and a sink run on threads inside the caller's process, and worker processes find them over
//! a socket in a private folder. Many calls share them: which units belong to which call is known here only.
//!
//! ```text
//!  a call's items ──▶ intake ──▶ ventilator ══▶ workers ══▶ sink ──▶ routes ──▶ the call, or the desk
//! ```
//!
//! | | |
//! | --- | --- |
//! | `engine.rs` | what Python sees: starting, calls, ending |
//! | `intake.rs`, `ready.rs`, `routes.rs` | units on their way to the ventilator; which call each belongs to |
//! | `call.rs`, `desk.rs` | results of one call, as they are taken; results that are told as they come |
//! | `feed.rs`, `results.rs` | the items and the results of a call, for Python |
//! | `threads.rs` | ventilator and sink |

mod call;
mod desk;
mod engine;
mod feed;
mod intake;
mod ready;
mod results;
mod routes;
mod shelves;
mod threads;

pub(crate) use self::{engine::Engine, feed::Feed, results::Results};
