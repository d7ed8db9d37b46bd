//! Models of what the roles ask for: a source, a function, a disk.

mod answers;
mod crew;
mod disk;
mod executor;
mod function;
mod recorder;
mod source;

pub(super) use crew::Crew;
pub(super) use disk::Disk;
pub(super) use executor::Executor;
pub(super) use recorder::Recorder;
pub(super) use source::Source;
