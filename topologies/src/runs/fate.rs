//! What has become of a run that does not answer any more.
//!
//! Owns the difference between one that was ended, and goes on when somebody says so, and one whose launcher was
//! killed, and which whoever keeps it running starts again. Refuses to ask anybody: nobody is there.

use super::{call, choice, entry::Entry, history_file};

/// Whether a run was ended, by `pipeline down` or as it wanted itself; not if it goes on, was begun again, keeps
/// nothing, or if its launcher was killed.
pub fn has_ended(run: &Entry) -> bool {
    let Some(run_dir) = &run.run_dir else { return false };
    !call::is_there(run)
        && choice::in_directory(run_dir).is_none()
        && history_file::read(run_dir).is_some_and(|history| history.is_over)
}
