//! The runs that faults are tried on: one for each source, output, kind of function and way of starting.
//!
//! Owns what a run is made of and how it is called. What it must give is [`taken`]'s; refuses
//! to know of faults.

mod inputs;
mod repertoire;
mod start;
pub mod taken;

use std::path::{Path, PathBuf};

use crate::place::{Place, Transport};

pub use repertoire::repertoire;
pub use start::start;
pub use taken::Taken;

/// How standard input is given to each start of a launcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// There is nothing on it.
    Nothing,
    /// The file `input`, which can be read again from anywhere.
    File,
    /// The file `input`, through a pipe, in pieces that end anywhere.
    Pipe,
}

/// Whether the lines of an output have an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Byte for byte.
    Same,
    /// The same lines.
    Any,
}

/// How the processes are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By `pipeline up`.
    Up,
    /// By hand, each with its own command, over this.
    Hand(Transport),
}

/// One run.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it is called, as in `--only`.
    pub name: &'static str,
    /// The exit code of a run that is complete.
    pub code: i32,
    /// How it is started.
    pub way: Way,
    /// The topology, or by hand the flags of each program.
    pub script: Script,
    /// Files that lie beside it.
    pub files: Vec<(String, Vec<u8>)>,
    /// What is on standard input.
    pub stdin: Stdin,
    /// The file of results; none: aggregates only.
    pub output: Option<&'static str>,
    /// How it is compared.
    pub order: Order,
}

/// What is written or said to start it.
#[derive(Debug, Clone)]
pub enum Script {
    /// A topology.
    Topology(String),
    /// Flags: of the sink, of the ventilator, of each worker.
    Flags([Vec<String>; 3]),
}

/// What the topology of a case is called in its folder.
pub const TOPOLOGY: &str = "course.toml";
/// What is given as standard input.
pub const INPUT: &str = "input";
/// Where the summary of a run is, also of one whose launcher was killed at its very end and started again.
pub const SUMMARY: &str = "summary.json";

impl Case {
    /// Writes what it needs into `folder`, which is made.
    ///
    /// # Panics
    /// When there is no room for it.
    pub fn lay_out(&self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("the scenario's folder can be written");
        let write = |name: &str, content: &[u8]| {
            std::fs::write(folder.join(name), content).expect("the scenario's folder has room");
        };
        for (name, content) in &self.files {
            write(name, content);
        }
        if let Script::Topology(text) = &self.script {
            write(TOPOLOGY, text.as_bytes());
        }
    }

    /// Where its output lies in `folder`.
    pub fn output_in(&self, folder: &Path) -> Option<PathBuf> {
        self.output.map(|name| folder.join(name))
    }

    /// Where its run is kept in `folder`.
    pub fn run_dir_in(&self, folder: &Path) -> PathBuf {
        match self.way {
            Way::Up => folder.join(".pipeline/course"),
            Way::Hand(_) => folder.join("run"),
        }
    }

    /// The command that runs it in `folder`, for `pipeline`.
    pub fn up(&self, place: &Place, folder: &Path) -> std::process::Command {
        let mut command = place.command(crate::programs::program("pipeline"));
        command.current_dir(folder).env("XDG_RUNTIME_DIR", folder).args([
            "up",
            TOPOLOGY,
            "--summary",
            SUMMARY,
        ]);
        command
    }
}
