//! What is kept of a unit that failed for good.
//!
//! Owns the form of a letter; refuses files.

use proto::unit::Step;
use proto::value::to_json;
use serde::{Deserialize, Serialize};

/// A unit, or one output of an expanded unit, that failed for good.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The unit's place in the source, from 0.
    pub id: u64,
    /// Which output of which output of it failed; empty for the unit itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<u32>,
    /// The stage that it failed in.
    pub stage: String,
    /// What that stage was given.
    pub input: serde_json::Value,
    /// Why it failed, in the worker's words.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The worker of the last try.
    pub worker: String,
    /// How many bytes of the output stand before its place there: in input order, in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_bytes: Option<u64>,
}

impl DeadLetter {
    /// An input as a letter keeps it. What has no JSON form is kept as `{"messagepack": "<hex>"}`.
    pub fn input_of(value: &[u8]) -> serde_json::Value {
        let mut json = Vec::new();
        let parsed =
            to_json(value, &mut json).ok().and_then(|()| serde_json::from_slice(&json).ok());
        parsed.unwrap_or_else(|| {
            let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
            serde_json::json!({ "messagepack": hex })
        })
    }

    /// What a file of these letters holds.
    pub fn lines(letters: &[Self]) -> Vec<u8> {
        let mut text = Vec::new();
        for letter in letters {
            // A letter's only free part was read from JSON, so it has a JSON form.
            let _ = serde_json::to_writer(&mut text, letter);
            text.push(b'\n');
        }
        text
    }

    /// The child indices of a path, without the executions that only the run itself can tell apart.
    pub fn path_of(path: &[Step]) -> Vec<u32> {
        path.iter().map(|step| step.index).collect()
    }
}
