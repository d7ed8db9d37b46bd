//! Files that would be written over by the run that reads them, or written twice.
//!
//! Owns the comparison of every file of a topology with every other, by what they lead to and not
//! by what they are called; refuses to open any.

use std::path::{Path, PathBuf};

use sink::claim::leads_to_same;
use ventilator::source::{Files, SourceSpec};

use super::{Head, sink::SinkPart};
use crate::topology::{
    diagnose::{Fault, Problem},
    location::Location,
};

/// A file that the sink writes: the key that names it, and where that stands.
type Written<'a> = (&'static str, &'a Path, &'a Location);

/// Refuses outputs that would write over the input, the topology, the key or each other.
pub(super) fn refuse(
    topology: &Path,
    head: &Head,
    source: Option<&SourceSpec>,
    sink: &SinkPart,
    problems: &mut Vec<Problem>,
) {
    let reads = reads(topology, head, source);
    let written = || sink.files.iter().map(|(key, path, place)| (*key, path.as_path(), place));
    for (index, (key, path, place)) in written().enumerate() {
        let mut others = reads
            .iter()
            .map(|(what, path)| (*what, path.as_path()))
            .chain(written().take(index).map(|(_, path, _)| ("the output", path)));
        if let Some((other, _)) = others.find(|(_, other)| leads_to_same(path, other)) {
            problems.push(Problem::at(place.clone(), Fault::SameFile { key, other }));
        } else if let Some(glob) = matched(path, source) {
            problems.push(Problem::at(place.clone(), Fault::Matched { key, glob }));
        }
    }
    refuse_letters(&reads, source, sink, written().next(), problems);
}

/// The file of dead letters that nobody named, beside the output.
fn refuse_letters(
    reads: &[(&'static str, PathBuf)],
    source: Option<&SourceSpec>,
    sink: &SinkPart,
    output: Option<Written<'_>>,
    problems: &mut Vec<Problem>,
) {
    let Some(("output", _, place)) = output.filter(|_| sink.config.dead.is_none()) else { return };
    let letters = sink.config.dead_path();
    let same = reads.iter().find(|(_, other)| leads_to_same(&letters, other));
    let other = match (same, matched(&letters, source)) {
        (Some((other, _)), _) => (*other).to_owned(),
        (None, Some(glob)) => format!("one that the source's `{glob}` matches"),
        (None, None) => return,
    };
    let path = letters.file_name().unwrap_or_default().to_string_lossy().into_owned();
    problems.push(Problem::at(place.clone(), Fault::SameLetters { path, other }));
}

fn reads(
    topology: &Path,
    head: &Head,
    source: Option<&SourceSpec>,
) -> Vec<(&'static str, PathBuf)> {
    let input = source.and_then(SourceSpec::path);
    let input = input.map(|path| ("the source", path.to_path_buf()));
    let key = head.key.clone().map(|path| ("the key file", path));
    input.into_iter().chain(key).chain([("the topology", topology.to_path_buf())]).collect()
}

/// The pattern of a source that takes this file too, under whatever name: somebody's file, and not
/// one that this run has made, which is left out of the units.
fn matched(path: &Path, source: Option<&SourceSpec>) -> Option<String> {
    let Some(SourceSpec::Files { glob, folder, own }) = source else { return None };
    if !path.is_file() {
        return None;
    }
    // A pattern that is none is refused elsewhere.
    let folder = folder.as_deref().unwrap_or(Path::new(""));
    let files = Files::find(glob, folder, own, &std::env::temp_dir()).ok()?;
    let other = |found: PathBuf| leads_to_same(path, &found) && entry(path) != entry(&found);
    files.paths().any(other).then(|| glob.clone())
}

/// Where in which folder a name stands, whatever it leads to: what the run makes there is its own, and
/// so no unit of it when the pattern is looked up once more.
fn entry(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let folder = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.into());
    folder.join(absolute.file_name().unwrap_or_default())
}
