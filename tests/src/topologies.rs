//! The shipped topologies in a scenario's own folder.
//!
//! Owns the copy, since a run writes beside its topology, and how `pipeline up` is called on it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::outcome::Outcome;
use crate::place::Place;
use crate::programs::repository;

/// A copy of the shipped topologies and their data.
#[derive(Debug)]
pub struct Shipped {
    /// Where it happens.
    pub place: Place,
}

impl Shipped {
    /// Copies them.
    ///
    /// # Panics
    /// When there is no room for them.
    pub fn new() -> Self {
        let shipped = Shipped { place: Place::new() };
        let from = repository().join("topologies");
        fs::create_dir_all(shipped.path("data")).expect("the scenario's folder can be written");
        copy_files(&from, &shipped.path(""), Some("toml"));
        copy_files(&from.join("data"), &shipped.path("data"), None);
        shipped
    }

    /// The path of something in the folder of topologies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path("topologies").join(name)
    }

    /// Runs a topology to its end, which has to be a good one.
    ///
    /// # Panics
    /// When it is not.
    pub fn up(&self, name: &str, more: &[&str]) -> Outcome {
        let file = format!("topologies/{name}.toml");
        let summary = self.place.path("summary.json");
        let flags = ["up", &file, "--ephemeral", "--summary", "summary.json"];
        self.place.start("pipeline", &[&flags, more].concat()).ends_well();
        Outcome::read(&summary)
    }
}

impl Default for Shipped {
    fn default() -> Self {
        Self::new()
    }
}

fn copy_files(from: &Path, to: &Path, ending: Option<&str>) {
    for entry in fs::read_dir(from).expect("the repository can be read").flatten() {
        let path = entry.path();
        let wanted = ending.is_none_or(|ending| path.extension().is_some_and(|e| e == ending));
        if path.is_file() && wanted {
            fs::copy(&path, to.join(entry.file_name())).expect("the scenario's folder has room");
        }
    }
}
