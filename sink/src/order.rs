//! The two orders in which results can be written.

use serde::{Deserialize, Serialize};

/// In which order results are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// By place in the source: the same bytes whatever happened on the way.
    #[default]
    Input,
    /// As they are committed.
    Completion,
}
