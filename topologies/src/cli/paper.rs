//! What the summary of a run is written on.
//!
//! Owns that there is a place for it before the run begins, and that it takes the place of nothing
//! else; refuses to know what stands in it.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use proto::causes::{innermost, with_causes};
use sink::{
    Claim, Existing, Spared,
    made::{self, Made},
};

use super::complain;
use crate::{
    topology::Topology,
    up::{RunEnd, exit, workplace::Flags},
};

/// What the summary is written on: tried before the run, so that an hour's work does not end
/// with a folder that was never there.
pub(super) enum Paper {
    /// Becomes the file once it is written in full.
    New(PathBuf, Desk),
    /// A pipe or a device.
    Existing(fs::File, PathBuf),
    /// Nobody wants one.
    None,
}

/// What is asked before a file is replaced.
pub(super) struct Desk {
    existing: Existing,
    spared: Vec<Spared>,
    run_dir: Option<PathBuf>,
}

impl Desk {
    /// As the run directory is now: whether there is one is known only at the end.
    fn claim(&self) -> Claim {
        let made = self.run_dir.as_deref().filter(|dir| dir.join(made::FILE).is_file());
        Claim {
            existing: self.existing,
            spared: self.spared.clone(),
            made: made.and_then(|dir| Made::open(dir).ok()),
            ..Claim::default()
        }
    }
}

impl Paper {
    /// Looks whether a summary could be written to `path`, if one is wanted.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn lay_out(
        path: Option<&Path>,
        topology: &Topology,
        flags: &Flags,
    ) -> Result<Self, String> {
        let Some(path) = path else { return Ok(Self::None) };
        let desk = Desk {
            existing: topology.sink.overwrite,
            spared: flags.spared.clone(),
            run_dir: flags.run_dir.clone(),
        };
        Self::on(path, desk)
    }

    fn on(path: &Path, desk: Desk) -> Result<Self, String> {
        let problem = |error: io::Error| cannot_write(path, &error);
        let there = desk.claim().look(path, b"").map_err(|error| with_causes(&error))?;
        if there.is_some_and(|data| !data.is_file()) {
            let file = fs::File::options().write(true).open(path).map_err(problem)?;
            return Ok(Self::Existing(file, path.into()));
        }
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::read_dir(folder).map_err(problem)?;
        // A file without a name: whoever kills this process finds nothing left of it.
        tempfile::tempfile_in(folder).map_err(|error| problem(innermost(error)))?;
        Ok(Self::New(path.into(), desk))
    }

    fn write(self, json: &[u8]) -> Result<(), String> {
        match self {
            Self::New(path, desk) => {
                desk.claim().put(&path, json).map_err(|error| with_causes(&error))
            }
            Self::Existing(mut file, path) => {
                file.write_all(json).map_err(|error| cannot_write(&path, &error))
            }
            Self::None => Ok(()),
        }
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

/// Writes the summary of a run that is over, if it has one; the code to leave with.
pub(super) fn file_summary(paper: Paper, outcome: &RunEnd) -> i32 {
    let Some(json) = &outcome.summary else { return outcome.code };
    match paper.write(json) {
        Ok(()) => outcome.code,
        Err(problem) => {
            complain(&problem);
            exit::INPUT_OUTPUT
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn desk(existing: Existing) -> Desk {
        Desk { existing, spared: Vec::new(), run_dir: None }
    }

    #[test]
    fn a_summary_leaves_no_trace_before_it_is_written_and_none_but_itself_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        let paper = Paper::on(&path, desk(Existing::Keep)).unwrap();
        // What a kill at this moment would leave behind.
        assert_eq!(names(folder.path()), [""; 0]);
        paper.write(b"{}").unwrap();
        assert_eq!(names(folder.path()), ["summary.json"]);
        assert_eq!(fs::read(&path).unwrap(), b"{}");
    }

    /// No harm: `--summary` takes the place of no file that is there, also if that was made during
    /// the run.
    #[test]
    fn a_summary_takes_the_place_of_no_file_of_somebody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        let paper = Paper::on(&path, desk(Existing::Keep)).unwrap();
        fs::write(&path, "a thesis").unwrap();
        fs::write(folder.path().join("summary.json.new"), "a draft").unwrap();
        for problem in [paper.write(b"{}"), Paper::on(&path, desk(Existing::Keep)).map(drop)] {
            let problem = problem.unwrap_err();
            assert!(problem.contains("is there already"), "{problem}");
        }
        assert_eq!(fs::read(&path).unwrap(), b"a thesis");
        Paper::on(&path, desk(Existing::Overwrite)).unwrap().write(b"{}").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{}");
        assert_eq!(fs::read(folder.path().join("summary.json.new")).unwrap(), b"a draft");
    }

    #[test]
    fn a_folder_that_is_not_there_is_found_out_before_the_run() {
        let path = Path::new("/no/such/folder/s.json");
        let problem = Paper::on(path, desk(Existing::Keep)).err().unwrap();
        assert!(problem.starts_with("cannot write /no/such/folder/s.json: "), "{problem}");
    }
}
