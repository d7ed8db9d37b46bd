//! Which run a command means.
//!
//! Owns how a run is named: by its topology's name, its run directory, its topology or its id.
//! Refuses to guess between two.

use std::{fmt::Write, path::Path};

use thiserror::Error;

use super::entry::{self, Entry};

/// Why no run is meant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChoiceError {
    /// None goes on.
    #[error("no run goes on")]
    None,
    /// None of that name goes on.
    #[error("no run `{named}` goes on{}", told(.runs))]
    Unknown {
        /// What was named.
        named: String,
        /// Those that go on.
        runs: Vec<Entry>,
    },
    /// Several are meant.
    #[error("several runs go on, say which one by its id:{}", list(.runs))]
    Several {
        /// Which.
        runs: Vec<Entry>,
    },
}

fn told(runs: &[Entry]) -> String {
    if runs.is_empty() { String::new() } else { format!("; there are{}", list(runs)) }
}

/// A line each: id, name, and where it is.
fn list(runs: &[Entry]) -> String {
    runs.iter().fold(String::new(), |mut text, run| {
        let at = run.run_dir.as_ref().unwrap_or(&run.topology);
        let _ = write!(text, "\n  {}  {}  {}", run.id, run.name, at.display());
        text
    })
}

/// The run that is named, or the only one that goes on.
///
/// # Errors
/// [`ChoiceError`] when there is none, or more than one.
pub fn choose(named: Option<&str>) -> Result<Entry, ChoiceError> {
    among(named, entry::all())
}

fn among(named: Option<&str>, runs: Vec<Entry>) -> Result<Entry, ChoiceError> {
    let mut meant = match named {
        None => runs.clone(),
        Some(named) => runs.iter().filter(|run| is_named(run, named)).cloned().collect::<Vec<_>>(),
    };
    match (meant.len(), named) {
        (1, _) => Ok(meant.remove(0)),
        (0, Some(named)) => Err(ChoiceError::Unknown { named: named.into(), runs }),
        (0, None) => Err(ChoiceError::None),
        _ => Err(ChoiceError::Several { runs: meant }),
    }
}

/// The service that is named, in any way in which a run is; none if no service goes on of that name.
///
/// # Errors
/// [`ChoiceError::Several`] when more than one is meant.
pub fn service(named: &str) -> Result<Option<Entry>, ChoiceError> {
    let services: Vec<Entry> =
        entry::all().into_iter().filter(|run| run.service.is_some()).collect();
    match among(Some(named), services) {
        Ok(entry) => Ok(Some(entry)),
        Err(several @ ChoiceError::Several { .. }) => Err(several),
        Err(_) => Ok(None),
    }
}

/// The run that is kept in this directory, if it goes on.
pub fn in_directory(run_dir: &Path) -> Option<Entry> {
    entry::all()
        .into_iter()
        .find(|run| run.run_dir.as_deref().is_some_and(|own| same(own, run_dir)))
}

fn is_named(run: &Entry, named: &str) -> bool {
    let path = Path::new(named);
    let is_at = |own: &Path| same(own, path);
    run.id == named
        || run.name == named
        || run.run_dir.as_deref().is_some_and(is_at)
        || is_at(&run.topology)
}

/// Whether two paths lead to one place, however they are written.
fn same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str, name: &str, run_dir: &Path) -> Entry {
        let json = serde_json::json!({
            "version": 1, "id": id, "pid": 7, "name": name, "topology": "/t.toml",
            "run_dir": run_dir, "since": 0, "socket": "/s",
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_only_run_needs_no_name_and_of_several_one_is_named_in_any_way() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (run("a1", "one", folder.path()), run("b2", "two", Path::new("/none")));
        let both = || vec![one.clone(), two.clone()];
        assert_eq!(among(None, vec![]), Err(ChoiceError::None));
        assert_eq!(among(None, vec![one.clone()]), Ok(one.clone()));
        assert_eq!(among(None, both()), Err(ChoiceError::Several { runs: both() }));
        let dotted = folder.path().join(".");
        for name in ["a1", "one", dotted.to_str().unwrap()] {
            assert_eq!(among(Some(name), both()), Ok(one.clone()), "{name}");
        }
        assert!(matches!(among(Some("three"), both()), Err(ChoiceError::Unknown { .. })));
    }

    #[test]
    fn two_runs_of_one_name_are_told_apart_by_their_ids() {
        let runs = || vec![run("a1", "t", Path::new("/x")), run("b2", "t", Path::new("/y"))];
        let told = among(Some("t"), runs()).unwrap_err().to_string();
        assert_eq!(told, "several runs go on, say which one by its id:\n  a1  t  /x\n  b2  t  /y");
        assert_eq!(among(Some("b2"), runs()).unwrap().id, "b2");
    }
}
