//! What only an interpreter can tell about a stage in Python.
//!
//! Owns the questions, as data: a check asks them, [`interpreter`](super::interpreter) has them answered.

use std::collections::BTreeMap;

use super::{check::Files, location::Located};

/// A question about a stage, and whom to ask.
#[derive(Debug, Clone)]
pub(super) struct Inquiry {
    /// What runs Python in that stage: a path, or a name on the PATH.
    pub interpreter: String,
    /// The stage's own environment variables.
    pub env: BTreeMap<String, String>,
    /// The topology's folder, where modules are looked for first.
    pub files: Files,
    /// What is asked about.
    pub subject: Subject,
}

/// What is to be looked at.
#[derive(Debug, Clone)]
pub(super) enum Subject {
    /// Source that stands in the topology.
    Source(Located<String>),
    /// Source that was read from a file.
    File {
        /// Where the topology names it.
        named: Located<String>,
        /// The file for messages.
        shown: String,
        /// What it says.
        text: String,
    },
    /// A function of a module.
    Call(Located<String>),
}
