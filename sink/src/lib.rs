//! Collects, dedupes, commits and aggregates the results.
#![forbid(unsafe_code)]

pub mod arrange;
pub mod config;
pub mod dead;
pub mod output;
mod walk;
