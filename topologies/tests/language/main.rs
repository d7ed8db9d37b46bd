//! The language of topologies: what is sound and what it becomes, what is broken and how that is told.

mod broken;
mod checked;
mod graph;
mod python;
mod schema;
mod shipped;
