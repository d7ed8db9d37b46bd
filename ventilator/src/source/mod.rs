//! The sources: where units come from.

mod spec;

pub use spec::{SourceSpec, SourceSpecError};
