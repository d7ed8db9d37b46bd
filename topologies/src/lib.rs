//! The package `pipeline`: what a topology says, and what can be shown of it.
//!
//! The only package that reads TOML, and the one that knows all three roles. Refuses wire
//! details: what is said between processes is `proto`'s.
#![forbid(unsafe_code)]

pub mod cli;
pub mod graph;
pub mod sim;
pub mod topology;
pub mod up;
