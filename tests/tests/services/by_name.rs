//! Functions by their names, with workers in several languages: the topologies that are shipped.

use std::fs;

use tests::place::Place;
use tests::programs::repository;

use super::{call, start};

#[test]
fn functions_are_called_by_their_names_whatever_their_workers_are_written_in() {
    let place = Place::new();
    let mut up = Vec::new();
    for name in ["square", "reverse", "count", "lines"] {
        let file = repository().join(format!("topologies/services/{name}.toml"));
        let text = fs::read_to_string(file).expect("it is shipped");
        place.write(&format!("{name}.toml"), text);
        up.push(start(&place, name));
    }
    let text: String = (1..=500).map(|number| format!("line {number}\n")).collect();
    let file = place.write("file", &text);
    let path = format!("\"{}\"", file.display());
    let lines: String = text.lines().map(|line| format!("\"{line}\"\n")).collect();
    for (name, value, expected) in [
        ("square", "7", "49\n"),
        ("reverse", "\"stressed\"", "\"desserts\"\n"),
        ("count", "\"to be or not to be\"", "6\n"),
        ("lines", &path, &lines),
    ] {
        let told = call(&place, &[name, value]);
        assert_eq!((told.code, told.stdout.as_str()), (Some(0), expected), "{}", told.stderr);
    }
    let told = call(&place, &["lines", "\"/nowhere\""]);
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    assert!(told.stderr.contains("FileNotFoundError"), "{}", told.stderr);
}
