//! The library that is preloaded into the processes of a run.
//!
//! Owns its building, and the environment that tells it what to do and where. What it can do is
//! written in `tests/shim/crash_point.c`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::point::{self, Point, Reach};
use crate::place::Place;
use crate::programs::repository;

/// The built library.
#[derive(Debug, Clone)]
pub struct Shim {
    library: PathBuf,
}

/// What is said of one process: which operations, in their order.
pub type Trace = Vec<String>;

impl Shim {
    /// Builds it in `place`.
    ///
    /// # Panics
    /// When there is no C compiler, or it has something to say.
    pub fn build(place: &Place) -> Self {
        let library = place.path("crash_point.so");
        let source = repository().join("tests/shim/crash_point.c");
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"])
            .args([&library, &source])
            .output()
            .expect("a C compiler is there: the project needs one to be built");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}:\n{words}", source.display());
        Shim { library }
    }

    /// Has `command`, and all that it starts, watched below `root`; `state` is where it keeps notes.
    pub fn watch(&self, command: &mut Command, root: &Path, state: &Path) {
        fs::create_dir_all(state).expect("the scenario's folder can be written");
        command
            .env("LD_PRELOAD", &self.library)
            .env("CRASH_ROLE", "any")
            .env("CRASH_ROOT", root)
            .env("CRASH_STATE", state);
    }

    /// The same, and struck at `point`.
    pub fn strike(&self, command: &mut Command, root: &Path, state: &Path, point: &Point) {
        self.watch(command, root, state);
        let at: Vec<String> = point.at.iter().map(u64::to_string).collect();
        command
            .env("CRASH_ROLE", point::word(&point::ROLES, &point.role))
            .env("CRASH_AT", at.join(","))
            .env("CRASH_HOW", point::word(&point::HOWS, &point.how))
            .env("CRASH_SEED", at.join(""));
        if point.how.kills() {
            command.env("CRASH_LOSS", point::word(&point::LOSSES, &point.loss));
        } else {
            command.env("CRASH_READS", "yes");
        }
        if point.reach == Reach::Run {
            command.env("CRASH_PARENT", "yes");
        }
    }

    /// What the processes of each role did, from the notes in `state`.
    pub fn traces(state: &Path) -> BTreeMap<String, Vec<Trace>> {
        let mut traces: BTreeMap<String, Vec<Trace>> = BTreeMap::new();
        for entry in fs::read_dir(state).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let mut parts = name.split('-');
            if let (Some("trace"), Some(role)) = (parts.next(), parts.next()) {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                let lines = text.lines().map(str::to_owned).collect();
                traces.entry(role.to_owned()).or_default().push(lines);
            }
        }
        traces
    }

    /// What was struck so far, in words.
    pub fn strikes(state: &Path) -> Vec<String> {
        let read = |index| fs::read_to_string(state.join(format!("strike-{index}"))).ok();
        (0..).map_while(read).map(|text| text.trim().to_owned()).collect()
    }
}
