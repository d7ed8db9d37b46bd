//! A topology on standard input, and one whose programs are not there.

use std::process::{Command, Stdio};

use tests::outcome::lines;
use tests::place::Place;
use tests::programs;

const TOPOLOGY: &str = "[source]\nkind = 'range'\nfrom = 1\nto = 9\n[[stage]]\nname = 's'\n\
     workers = 1\nrun = 'square'\n[sink]\noutput = 'out.jsonl'\n";

fn given(place: &Place, args: &[&str], topology: &str) -> (Option<i32>, String) {
    let path = place.write("given", topology);
    let mut command: Command = place.command(programs::program("pipeline"));
    command.args(args).stdin(std::fs::File::open(path).expect("it was written"));
    let output = command.stderr(Stdio::piped()).output().expect("the program starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_topology_may_come_on_standard_input() {
    let place = Place::new();
    let (code, told) = given(&place, &["up", "-"], TOPOLOGY);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(lines(&place.path("out.jsonl")).len(), 9);
    assert!(place.path(".pipeline/stdin").is_dir());
    assert_eq!(given(&place, &["check", "-"], TOPOLOGY).0, Some(0));
    let (code, told) = given(&place, &["check", "-"], "[source]\nkind = 'rang'\n");
    assert_eq!(code, Some(78));
    assert!(told.contains("stdin:2:8"), "{told}");
    let twice = "[source]\nkind = 'stdin'\n[[stage]]\nname = 's'\nrun = 'echo'\n";
    let (code, told) = given(&place, &["up", "-"], twice);
    assert_eq!(code, Some(64));
    assert!(told.contains("the source can't be that too"), "{told}");
}

#[test]
fn a_program_that_is_not_there_is_told_before_the_run() {
    let place = Place::new();
    place.write("plain", "no program");
    for (line, told) in [
        ("exec = ['no-such-program', '{}']", "there is no such program here"),
        ("pipe = ['./plain']", "is a file that may not be executed (chmod +x)"),
    ] {
        let topology = TOPOLOGY.replace("run = 'square'", line);
        place.write("t.toml", &topology);
        let checked = place.run("pipeline", &["check", "t.toml"]);
        assert_eq!(checked.code, Some(0));
        assert!(checked.stderr.contains(told), "{}", checked.stderr);
        let up = place.run("pipeline", &["up", "t.toml"]);
        assert_eq!(up.code, Some(69), "{}", up.stderr);
        assert!(up.stderr.contains(told), "{}", up.stderr);
        assert!(!place.path("out.jsonl").exists());
    }
    place.write("t.toml", TOPOLOGY.replace("run = 'square'", "binary = './plain'"));
    let checked = place.run("pipeline", &["check", "t.toml"]);
    assert_eq!(checked.code, Some(78));
    assert!(checked.stderr.contains("`./plain` is a file that may not be executed"));
    assert!(checked.stderr.contains("help: chmod +x ./plain"), "{}", checked.stderr);
}
