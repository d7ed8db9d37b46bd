//! What is said between the processes of a pipeline, and the rules by which they say it.

pub mod limits;
pub mod plan;
pub mod unit;
pub mod value;
