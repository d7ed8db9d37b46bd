//! No file of a crate depends on itself by way of more than one other: each can be read, and changed,
//! with what lies below it.

use tests::{
    imports::{Imports, Module, shown},
    programs::repository,
};

/// The folders with the sources of the crates.
const CRATES: [&str; 9] = [
    "proto/src",
    "ventilator/src",
    "worker/src",
    "sink/src",
    "topologies/src",
    "topologies/simulation/src",
    "topologies/measure/src",
    "topologies/python/src",
    "tests/src",
];

#[test]
fn no_three_files_import_each_other_in_a_circle() {
    for of_crate in CRATES {
        let imports = Imports::of_crate(&repository().join(of_crate));
        assert!(imports.files() > 10, "{of_crate} has sources");
        let ways: Vec<String> = imports.circles().iter().map(|way| told(way)).collect();
        assert!(
            ways.is_empty(),
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
