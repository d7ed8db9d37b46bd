//! `pipeline up`: a whole topology in the foreground.
//!
//! Owns its flags and the summary's file; the run is [`crate::up`]'s.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use proto::process::exit_code;
use tempfile::NamedTempFile;

use super::{complain, explain};
use crate::{
    topology::Topology,
    up::{self, Options, Outcome, display::Voice, exit, run_dir, workplace::Flags},
};

/// Starts every process of a topology, watches over them, shows progress.
#[derive(Debug, Args)]
pub(super) struct UpArgs {
    /// The topology
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Change the topology first, as in --set stage.square.workers=4
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Write the summary as JSON
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Neither progress nor summary
    #[arg(long, short)]
    quiet: bool,
    /// Keep the run here, so that it goes on after a crash of any of its processes, or of this
    /// one when it is started again
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Begin anew: forget what the run directory holds
    #[arg(long, requires = "run_dir")]
    fresh: bool,
    /// Keep nothing: the run ends with its sink or its ventilator
    #[arg(long, conflicts_with_all = ["run_dir", "fresh"])]
    ephemeral: bool,
    /// The key file [default: the topology's, or the user's own]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// No encryption and no authentication over tcp
    #[arg(long)]
    insecure: bool,
}

impl UpArgs {
    pub(super) fn run(self) -> ExitCode {
        let topology = match Topology::load(&self.file, &self.sets) {
            Ok(topology) => topology,
            Err(diagnostics) => {
                explain(&diagnostics);
                return exit_code(exit::TOPOLOGY);
            }
        };
        let paper = match self.summary.as_deref().map(Paper::lay_out).transpose() {
            Ok(paper) => paper,
            Err(problem) => {
                complain(&problem);
                return exit_code(exit::INPUT_OUTPUT);
            }
        };
        let options = self.options(&topology);
        if let (true, Some(path)) = (self.fresh, &options.flags.run_dir)
            && let Err(error) = run_dir::forget(path)
        {
            complain(&error);
            return exit_code(exit::INPUT_OUTPUT);
        }
        match up::run(&topology, &options) {
            Ok(outcome) => exit_code(file_summary(paper, &outcome)),
            Err(error) => {
                complain(&error);
                exit_code(exit::SYSTEM)
            }
        }
    }

    fn options(&self, topology: &Topology) -> Options {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Options {
            voice: if self.quiet { Voice::Quiet } else { Voice::Normal },
            flags: Flags {
                key: self.key.as_ref().map(absolute).or_else(|| topology.key.clone()),
                insecure: self.insecure || topology.insecure,
                run_dir: self.run_dir.as_ref().filter(|_| !self.ephemeral).map(absolute),
            },
        }
    }
}

/// What the summary is written on: made before the run, so that an hour's work does not end
/// with a folder that was never there.
enum Paper {
    /// Becomes the file once it is written in full.
    New { draft: NamedTempFile, path: PathBuf },
    /// A pipe or a device.
    Existing(fs::File, PathBuf),
}

impl Paper {
    fn lay_out(path: &Path) -> Result<Self, String> {
        let problem = |error: io::Error| cannot_write(path, &error);
        if fs::metadata(path).is_ok_and(|data| !data.is_file()) {
            let file = fs::File::options().write(true).open(path).map_err(problem)?;
            return Ok(Self::Existing(file, path.into()));
        }
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let draft = NamedTempFile::new_in(folder).map_err(problem)?;
        Ok(Self::New { draft, path: path.into() })
    }

    fn write(self, json: &[u8]) -> Result<(), String> {
        match self {
            Self::New { mut draft, path } => draft
                .write_all(json)
                .and_then(|()| readable(draft.as_file()))
                .and_then(|()| Ok(draft.persist(&path)?))
                .map(drop)
                .map_err(|error| cannot_write(&path, &error)),
            Self::Existing(mut file, path) => {
                file.write_all(json).map_err(|error| cannot_write(&path, &error))
            }
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

/// A temporary file is private; a summary is like any other file.
fn readable(file: &fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

fn file_summary(paper: Option<Paper>, outcome: &Outcome) -> i32 {
    let (Some(paper), Some(json)) = (paper, &outcome.summary) else { return outcome.code };
    match paper.write(json) {
        Ok(()) => outcome.code,
        Err(problem) => {
            complain(&problem);
            exit::INPUT_OUTPUT
        }
    }
}
