//! No file of a crate depends on itself by way of more than one other: each can be read, and changed,
//! with what lies below it.

use std::collections::BTreeSet;

use tests::{
    imports::{Imports, Module, shown},
    programs::repository,
};

/// The folders with the sources of the crates.
const CRATES: [&str; 8] = [
    "proto/src",
    "ventilator/src",
    "worker/src",
    "sink/src",
    "topologies/src",
    "topologies/simulation/src",
    "topologies/measure/src",
    "tests/src",
];

/// How many files of a crate are in circles still, where there are any. It may only become less.
const KNOWN: [(&str, usize); 3] = [("proto/src", 3), ("ventilator/src", 4), ("sink/src", 20)];

#[test]
fn no_three_files_import_each_other_in_a_circle() {
    for of_crate in CRATES {
        let imports = Imports::of_crate(&repository().join(of_crate));
        assert!(imports.files() > 10, "{of_crate} has sources");
        let circles = imports.circles();
        let files: BTreeSet<&Module> = circles.iter().flatten().collect();
        let known = KNOWN.iter().find(|(name, _)| *name == of_crate).map_or(0, |(_, files)| *files);
        let ways: Vec<String> = circles.iter().map(|way| told(way)).collect();
        assert!(
            files.len() <= known,
            "{of_crate}: these files import each other in a circle; move what one takes from the next \
             into a file of its own:\n{}",
            ways.join("\n")
        );
    }
}

fn told(circle: &[Module]) -> String {
    let names: Vec<String> = circle.iter().chain(circle.first()).map(shown).collect();
    names.join(" → ")
}
