//! Which run directory is meant.

use std::{
    fs,
    path::{Path, PathBuf, absolute},
};

use sink::{
    config::OutputSpec,
    names::{DATABASE, LETTERS},
};
use thiserror::Error;

use crate::topology::Topology;

/// The folder beside a topology that holds its run directories.
const RUNS: &str = ".pipeline";

/// Where a run of this topology is kept, if nobody says otherwise.
pub fn run_dir(topology: &Topology) -> PathBuf {
    topology.directory.join(RUNS).join(&topology.name)
}

/// Where the dead letters of a run in that directory are. A service that writes nothing else has them there, since
/// others are started from the same folder.
pub fn letters(topology: &Topology, run_dir: &Path) -> PathBuf {
    let sink = &topology.sink;
    let writes = sink.dead.is_some() || sink.output.as_ref().and_then(OutputSpec::path).is_some();
    match topology.retention.is_some() && !writes {
        true => absolute(run_dir).unwrap_or_else(|_| run_dir.into()).join(LETTERS),
        false => sink.dead_path(),
    }
}

/// Why no run directory was found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlaceError {
    /// There is nothing like one.
    #[error("{} holds no run: there is no {DATABASE} in it", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
    /// A file was named that does not say where its run is.
    #[error("{} is neither a run directory nor a topology; pipeline check {} says why", path.display(), path.display())]
    NoTopology {
        /// The file.
        path: PathBuf,
    },
    /// None was named, and none lies here.
    #[error("there is no run in {}; name one with --run-dir", here.display())]
    None {
        /// Where it was looked for.
        here: PathBuf,
    },
    /// None was named, and several lie here.
    #[error("there are several runs here, name one with --run-dir: {}", list(runs))]
    Several {
        /// The runs.
        runs: Vec<PathBuf>,
    },
}

fn list(runs: &[PathBuf]) -> String {
    runs.iter().map(|run| run.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The run directory that was named or, if none was, the only one in `.pipeline` below `here`. The
/// name of a topology's file stands for where its run is kept by default.
///
/// # Errors
/// [`PlaceError`] when there is none, or more than one.
pub fn find(named: Option<&Path>, here: &Path) -> Result<PathBuf, PlaceError> {
    if let Some(path) = named {
        let path = match path.is_file() {
            true => Topology::load(path, &[])
                .map(|topology| run_dir(&topology))
                .map_err(|_| PlaceError::NoTopology { path: path.into() })?,
            false => path.into(),
        };
        return match path.join(DATABASE).is_file() {
            true => Ok(path),
            false => Err(PlaceError::NoRun { path }),
        };
    }
    let folder = here.join(RUNS);
    let mut runs: Vec<PathBuf> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.join(DATABASE).is_file())
        .collect();
    runs.sort();
    match runs.len() {
        0 => Err(PlaceError::None { here: folder }),
        1 => Ok(runs.remove(0)),
        _ => Err(PlaceError::Several { runs }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_run_needs_no_name_and_of_two_one_has_to_be_named() {
        let here = tempfile::tempdir().unwrap();
        assert!(matches!(find(None, here.path()), Err(PlaceError::None { .. })));
        let run = |name: &str| here.path().join(RUNS).join(name);
        let make = |name: &str| {
            fs::create_dir_all(run(name)).unwrap();
            fs::write(run(name).join(DATABASE), "").unwrap();
        };
        make("a");
        assert_eq!(find(None, here.path()), Ok(run("a")));
        make("b");
        assert!(matches!(find(None, here.path()), Err(PlaceError::Several { .. })));
        assert_eq!(find(Some(&run("b")), here.path()), Ok(run("b")));
        assert!(matches!(find(Some(here.path()), here.path()), Err(PlaceError::NoRun { .. })));
    }

    #[test]
    fn a_topology_stands_for_where_its_run_is_kept() {
        let here = tempfile::tempdir().unwrap();
        let file = here.path().join("squares.toml");
        let range = "[source]\nkind = \"range\"\nfrom = 1\nto = 3\n";
        fs::write(&file, format!("{range}[[stage]]\nname = \"s\"\nrun = \"square\"\n")).unwrap();
        let path = here.path().join(RUNS).join("squares");
        let found = || find(Some(&file), here.path());
        assert_eq!(found(), Err(PlaceError::NoRun { path: path.clone() }));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(DATABASE), "").unwrap();
        assert_eq!(found(), Ok(path));
        fs::write(&file, range).unwrap();
        assert_eq!(found(), Err(PlaceError::NoTopology { path: file.clone() }));
    }
}
