//! What the rules and the readers of bytes do with anything at all: one plain function a target.
//!
//! A target takes bytes, and panics when a promise is broken. Those of the readers take them as what
//! a peer or a file holds; those of the rules read a [script](script::Script) of events from them
//! and compare what comes out with a simple model. `cargo fuzz` calls the same functions (see
//! `tests/fuzz`), [`runner`] calls them on any toolchain with seeded [mutations](mutate).
//!
//! The number that a target gives back stands for what it has seen; inputs that show something new
//! are mutated further.

pub mod credit;
pub mod dispatch;
pub mod frames;
pub mod mesh;
pub mod mutate;
pub mod outbox;
pub mod ranges;
pub mod readers;
pub mod roles;
pub mod runner;
mod says;
pub mod script;
pub mod seeds;
pub mod sink;
pub mod trees;

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and the folder of its corpus.
    pub name: &'static str,
    /// What is called; panics when a promise is broken.
    pub run: fn(&[u8]) -> u64,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "codec", run: frames::codec },
    Target { name: "units", run: frames::units },
    Target { name: "value", run: frames::value },
    Target { name: "json", run: frames::json },
    Target { name: "mesh", run: mesh::mesh },
    Target { name: "dispatch", run: dispatch::dispatch },
    Target { name: "outbox", run: outbox::outbox },
    Target { name: "credit", run: credit::credit },
    Target { name: "sizing", run: credit::sizing },
    Target { name: "commit", run: ranges::commit },
    Target { name: "ranges", run: ranges::ranges },
    Target { name: "expansion", run: trees::expansion },
    Target { name: "accept", run: sink::accept },
    Target { name: "arrange", run: sink::arrange },
    Target { name: "sink", run: roles::sink },
    Target { name: "ventilator", run: roles::ventilator },
    Target { name: "worker", run: roles::worker },
    Target { name: "topology", run: readers::topology },
    Target { name: "log", run: readers::log },
    Target { name: "key", run: readers::key },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
