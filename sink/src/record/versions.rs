//! The topologies that a run was made with, where its user has accepted another one on the way.
//!
//! Owns the list and its place in the run directory; refuses to compare topologies. A run that went on
//! as it began has none.

use super::run_dir::{RunDir, RunDirError};
pub use crate::report::version::Version;

/// Its name among the facts.
const FACT: &str = "versions";

/// The versions of a run, in their order.
///
/// # Errors
/// [`RunDirError`] when the run directory can't be read.
pub fn read(run_dir: &RunDir) -> Result<Vec<Version>, RunDirError> {
    // As JSON, which says by itself what it is, also to another version of this program.
    let json: Option<String> = run_dir.fact(FACT)?;
    Ok(json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

/// Keeps them.
///
/// # Errors
/// [`RunDirError`] when the run directory can't be written.
pub fn write(run_dir: &RunDir, versions: &[Version]) -> Result<(), RunDirError> {
    run_dir.record(FACT, &serde_json::to_string(versions).unwrap_or_default())
}
