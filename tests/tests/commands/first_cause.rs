//! The first cause of a run's failure decides its exit code, never a race between its processes.

use std::fs;

use tests::place::Place;

const RUNS: usize = 20;

/// The exit codes of many runs of one topology, each from its beginning.
fn codes(place: &Place, topology: &str) -> Vec<Option<i32>> {
    let path = place.write("t.toml", topology);
    let path = path.to_str().expect("the folder has a plain name");
    let code = |_| {
        let _ = fs::remove_file(place.path("out.jsonl"));
        place.run("pipeline", &["up", path, "--ephemeral", "--quiet"]).code
    };
    (0..RUNS).map(code).collect()
}

/// A source that can't be read from the first moment: 70 instead of 74 in some runs.
#[test]
fn a_source_that_cannot_be_read_from_the_first_moment_always_ends_the_run_with_74() {
    let place = Place::new();
    place.write("in.jsonl", "no json\n");
    let topology = "[source]\nkind = \"jsonl\"\npath = \"in.jsonl\"\n[[stage]]\nname = \"s\"\n\
                    workers = 1\nrun = \"echo\"\n[sink]\noutput = \"out.jsonl\"\n";
    assert_eq!(codes(&place, topology), [Some(74); RUNS]);
}

/// An output and a source that both can't be used: either is 74, and so is the run.
#[test]
fn a_source_and_an_output_that_fail_at_once_end_the_run_with_74() {
    let place = Place::new();
    place.write("in.jsonl", "no json\n");
    let topology = "[source]\nkind = \"jsonl\"\npath = \"in.jsonl\"\n[[stage]]\nname = \"s\"\n\
                    workers = 1\nrun = \"echo\"\n[sink]\noutput = \"out.sqlite\"\n";
    place.write("out.sqlite", "this is no database, and longer than a header of one would be");
    let ended = codes(&place, topology);
    assert!(ended.iter().all(|code| [Some(74), Some(78)].contains(code)), "{ended:?}");
}

/// What the launcher has written for a role can't be read: 64 says that the user has given wrong
/// flags, who has given none.
#[test]
fn a_role_that_cannot_read_what_its_launcher_wrote_blames_the_system() {
    let place = Place::new();
    place.write("torn.json", "{\"name\": \"si");
    for role in ["sink", "ventilator"] {
        for (setup, words) in
            [("missing.json", "No such file"), ("torn.json", "EOF"), (".", "Is a")]
        {
            let ended = place.run(role, &["--setup", setup]);
            assert_eq!(ended.code, Some(71), "{}", ended.stderr);
            let told = ended.stderr.contains("which the launcher wrote");
            assert!(told && ended.stderr.contains(words), "{}", ended.stderr);
        }
    }
}
