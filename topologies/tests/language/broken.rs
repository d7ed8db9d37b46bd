//! Broken topologies, and all that their users read about them.
//!
//! Each `broken/NAME.toml` has the whole rendered text in `NAME.txt`, and the `--set` flags it is
//! loaded with, one a line, in `NAME.args`. `UPDATE_GOLDEN=1` writes the texts anew.

use std::{env, fs, path::Path};

use pipeline::topology::{Colour, Topology};

#[test]
fn every_broken_topology_is_explained_as_recorded() {
    // Relative, since the messages show the path as it was given.
    let mut names: Vec<_> = fs::read_dir("tests/broken")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    names.sort();
    assert!(names.len() >= 15);
    let differing: Vec<_> =
        names.iter().filter(|path| !is_as_recorded(path)).map(|path| path.display()).collect();
    assert!(differing.is_empty(), "differ: {differing:?}; UPDATE_GOLDEN=1 records them anew");
}

fn is_as_recorded(path: &Path) -> bool {
    let sets: Vec<String> = fs::read_to_string(path.with_extension("args"))
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect();
    let rendered = match Topology::load(path, &sets) {
        Ok(topology) => panic!("{} is not broken: {topology:#?}", path.display()),
        Err(diagnostics) => diagnostics.render(Colour::Plain),
    };
    let golden = path.with_extension("txt");
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &rendered).expect("the folder is there");
    }
    let recorded = fs::read_to_string(&golden).unwrap_or_default();
    if recorded != rendered {
        println!("--- {}\n{recorded}\n+++ now\n{rendered}", golden.display());
    }
    recorded == rendered
}

#[test]
fn a_topology_that_is_not_there_is_guessed_at() {
    let error = Topology::load(Path::new("tests/broken/functoins.toml"), &[]).unwrap_err();
    assert_eq!(
        error.render(Colour::Plain),
        "error: the topology does not exist\n\
         --> tests/broken/functoins.toml\n\
         \x20= help: did you mean `tests/broken/functions.toml`?\n\
         \n\
         1 mistake in tests/broken/functoins.toml\n"
    );
}

#[test]
fn half_a_topology_never_panics() {
    for entry in fs::read_dir("tests/broken").unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        if path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        let sets: Vec<String> = text.lines().take(3).map(str::to_owned).collect();
        for end in (0..=text.len()).step_by(7).filter(|&end| text.is_char_boundary(end)) {
            for half in [&text[..end], &text[end..]] {
                if let Err(diagnostics) = Topology::from_text(half, &path, &sets) {
                    assert!(!diagnostics.problems().is_empty());
                    let _ = diagnostics.render(Colour::Plain);
                    let _ = diagnostics.findings();
                }
            }
        }
    }
}

#[test]
fn findings_say_line_and_column() {
    let error = Topology::load(Path::new("tests/broken/unknown-keys.toml"), &[]).unwrap_err();
    let findings = error.findings();
    let at: Vec<_> =
        findings.iter().map(|finding| (finding.code, finding.line, finding.column)).collect();
    assert_eq!(at[0], ("unknown-key", Some(2), Some(1)));
    assert_eq!(at[4], ("unknown-key", Some(16), Some(2)));
    assert!(findings.iter().all(|finding| finding.file == "tests/broken/unknown-keys.toml"));
}

#[test]
fn colours_come_only_when_asked_for() {
    let error = Topology::load(Path::new("tests/broken/types.toml"), &[]).unwrap_err();
    assert!(error.render(Colour::Ansi).contains("\x1b["));
    assert!(!error.render(Colour::Plain).contains("\x1b["));
    assert_eq!(error.to_string(), error.render(Colour::Plain));
}
