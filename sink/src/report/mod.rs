//! What a run amounted to, for people and for whoever checks it later.
//!
//! - [`summary`]: the facts of a run, as JSON and on a terminal
//! - [`summarise`]: puts them together
//! - [`manifest`]: the proof that a run is complete, and its check
//! - [`joblog`]: how each unit ended, a line each
//! - [`version`]: a topology that a run was made with
//! - [`figures`]: how numbers and small tables look

pub mod figures;
pub mod joblog;
pub mod manifest;
pub mod summarise;
pub mod summary;
pub mod version;
mod workers;
