//! Collects, dedupes, commits and aggregates the results.
#![forbid(unsafe_code)]

pub mod config;
