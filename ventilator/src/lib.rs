//! Reads a source and pushes its units to workers.
#![forbid(unsafe_code)]

pub mod source;
