//! The topologies that come with the project: each is sound, and says what its comment says.

use std::{fs, path::Path};

use pipeline::topology::{Fault, Topology};

#[test]
fn every_shipped_topology_is_sound() {
    let mut names = Vec::new();
    for entry in fs::read_dir(".").expect("the package's folder is there") {
        let path = entry.expect("its entries are readable").path();
        if path.extension().is_none_or(|ending| ending != "toml") || path.ends_with("Cargo.toml") {
            continue;
        }
        if let Err(diagnostics) = Topology::load(&path, &[]) {
            // An example program is there only once it has been built.
            let built = |fault: &Fault| !matches!(fault, Fault::NoProgram { .. });
            let sound = !diagnostics.problems().iter().any(|problem| built(&problem.fault));
            assert!(sound, "{diagnostics}");
        }
        names.push(path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(names, ["checksums", "factorize", "scores", "squares", "thumbnails", "wordcount"]);
}

#[test]
fn every_shipped_topology_begins_with_how_to_run_it() {
    for name in ["checksums", "factorize", "scores", "squares", "thumbnails", "wordcount"] {
        let text = fs::read_to_string(Path::new(name).with_extension("toml")).expect("it is there");
        let command = format!("cargo run --release -- up topologies/{name}.toml");
        let comment: Vec<_> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(comment.iter().any(|line| line.contains(&command)), "{name}");
    }
}
