//! No harm: nothing of the user's is emptied, written over or removed, under whatever name it was
//! given; what a run made itself it may replace.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use tests::hand::Hand;
use tests::outcome::{json, lines};
use tests::place::{Place, Transport};
use tests::process::Ended;
use tests::programs;

const THESIS: &str = "1\n2\n3\n";

fn topology(source: &str, sink: &str) -> String {
    format!(
        "name = \"t\"\n[source]\n{source}\n[[stage]]\nname = \"s\"\nrun = \"echo\"\nworkers = 1\n[sink]\n{sink}\n"
    )
}

const RANGE: &str = "kind = \"range\"\nfrom = 1\nto = 3";

fn up(place: &Place, more: &[&str]) -> Ended {
    place.run("pipeline", &[&["up", "t.toml"], more].concat())
}

fn is_kept(path: &Path) {
    assert_eq!(fs::read_to_string(path).expect("it is there"), THESIS, "{}", path.display());
}

fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` is not in: {}", ended.stderr);
    }
}

/// The output is the input under another name.
#[test]
fn an_output_that_is_the_input_under_another_name_is_refused_and_the_input_stays() {
    for name in ["link.jsonl", "hard.jsonl", "x/../in.jsonl", "folder/in.jsonl", "./in.jsonl"] {
        for key in ["output", "dead"] {
            let place = Place::new();
            fs::create_dir(place.path("x")).expect("a folder can be made");
            let input = place.write("in.jsonl", THESIS);
            symlink("in.jsonl", place.path("link.jsonl")).expect("a link can be made");
            symlink(".", place.path("folder")).expect("a link can be made");
            fs::hard_link(&input, place.path("hard.jsonl")).expect("a link can be made");
            let sink = format!("{key} = \"{name}\"\noverwrite = true");
            place.write("t.toml", topology("kind = \"jsonl\"\npath = \"in.jsonl\"", &sink));
            for command in ["check", "up"] {
                let ended = place.run("pipeline", &[command, "t.toml"]);
                says(&ended, 78, &["is the same file as the source", "t.toml:"]);
                is_kept(&input);
            }
        }
    }
}

/// The output is the input under another name: the letters' default name, and the topology's own.
#[test]
fn a_file_that_the_run_reads_is_found_under_any_of_its_roles() {
    let place = Place::new();
    let input = place.write("out.jsonl.dead.jsonl", THESIS);
    place.write(
        "t.toml",
        topology(
            "kind = \"jsonl\"\npath = \"out.jsonl.dead.jsonl\"",
            "output = \"out.jsonl\"\noverwrite = true",
        ),
    );
    says(&up(&place, &[]), 78, &["the same file as the source", "`dead`"]);
    is_kept(&input);
    place.write("t.toml", topology(RANGE, "output = \"own\"\noverwrite = true"));
    fs::hard_link(place.path("t.toml"), place.path("own")).expect("a link can be made");
    says(&up(&place, &[]), 78, &["the same file as the topology"]);
    // What comes with flags is compared too.
    let ended = up(&place, &["--set", "sink.output=o.jsonl", "--summary", "own", "--overwrite"]);
    says(&ended, 64, &["--summary", "the topology"]);
    let ended = up(&place, &["--set", "sink.output=o.jsonl", "--summary", "./o.jsonl"]);
    says(&ended, 64, &["--summary", "the output"]);
    fs::create_dir(place.path("run")).expect("a folder can be made");
    let ended = up(&place, &["--run-dir", "run", "--set", "sink.output=run/log-00000001"]);
    says(&ended, 64, &["keeps in its directory"]);
}

/// The output is the input under another name: a file that the glob matches.
#[test]
fn an_output_that_is_one_of_the_sources_files_is_refused() {
    for output in ["elsewhere/hard", "elsewhere/link"] {
        let place = Place::new();
        fs::create_dir(place.path("elsewhere")).expect("a folder can be made");
        let input = place.write("in.jsonl", THESIS);
        fs::hard_link(&input, place.path("elsewhere/hard")).expect("a link can be made");
        symlink("../in.jsonl", place.path("elsewhere/link")).expect("a link can be made");
        let sink = format!("output = \"{output}\"\noverwrite = true");
        place.write("t.toml", topology("kind = \"files\"\nglob = \"*.jsonl\"", &sink));
        says(&place.run("pipeline", &["check", "t.toml"]), 78, &["`output`", "matches"]);
        says(&up(&place, &[]), 78, &["`output`", "matches"]);
        is_kept(&input);
    }
}

/// The run's own files are no units, though the pattern takes them: the output in the folder of the
/// input harms nothing.
#[test]
fn an_output_beside_the_input_is_no_unit_and_the_input_stays() {
    let place = Place::new();
    let input = place.write("in.jsonl", THESIS);
    place.write(
        "t.toml",
        topology("kind = \"files\"\nglob = \"*.jsonl\"", "output = \"out.jsonl\""),
    );
    for flags in [&[][..], &["--fresh"]] {
        says(&up(&place, flags), 0, &[]);
        is_kept(&input);
        assert_eq!(lines(&place.path("out.jsonl")).len(), 1);
    }
}

/// The output is the input under another name: what `<` stands for.
#[test]
fn an_output_that_is_standard_input_is_refused() {
    let place = Place::new();
    let input = place.write("in.jsonl", THESIS);
    for source in [
        "kind = \"stdin\"",
        "kind = \"lines\"\npath = \"/dev/stdin\"",
        "kind = \"lines\"\npath = \"/proc/self/fd/0\"",
    ] {
        place.write("t.toml", topology(source, "output = \"in.jsonl\"\noverwrite = true"));
        let ended = Command::new(programs::program("pipeline"))
            .args(["up", "t.toml"])
            .current_dir(place.folder())
            .stdin(File::open(&input).expect("it can be read"))
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_ne!(ended.status.code(), Some(0), "{said}");
        assert!(said.contains("the same file as the source"), "{said}");
        is_kept(&input);
    }
}

/// An output file that nobody of ours made is not written over: each kind, each way to name it.
#[test]
fn a_file_that_is_there_is_refused_with_74_and_stays() {
    for flags in [&["--ephemeral"][..], &[]] {
        for (sink, summary) in [
            ("output = \"notes.jsonl\"", None),
            ("output = \"notes.csv\"", None),
            ("output = \"notes.db\"", None),
            ("output = \"notes\"", None),
            ("output = \"link.jsonl\"", None),
            ("output = \"out.jsonl\"\ndead = \"notes.txt\"", None),
            ("output = \"notes\"", Some("s.json")),
            ("output = \"out.jsonl\"", Some("notes.json")),
            ("output = \"out.jsonl\"", Some("link.jsonl")),
        ] {
            let place = Place::new();
            let names =
                ["notes.jsonl", "notes.csv", "notes.db", "notes", "notes.txt", "notes.json"];
            let files = names.map(|name| place.write(name, THESIS));
            symlink("notes.jsonl", place.path("link.jsonl")).expect("a link can be made");
            place.write("t.toml", topology(RANGE, sink));
            let summary: Vec<&str> = summary.iter().flat_map(|file| ["--summary", file]).collect();
            says(&up(&place, &[flags, &summary].concat()), 74, &[]);
            files.iter().for_each(|path| is_kept(path));
            assert!(fs::symlink_metadata(place.path("link.jsonl")).expect("it is").is_symlink());
        }
    }
}

/// An output file is removed or emptied only by the run that made it: an ephemeral run leaves no
/// word of what it made, so its next one has to be told; a durable run knows its own.
#[test]
fn a_run_may_replace_what_the_one_before_it_in_its_directory_made() {
    let place = Place::new();
    place.write("t.toml", topology(RANGE, "output = \"out.jsonl\""));
    let squares = |last: u64| (1..=last).map(|n| n.to_string()).collect::<Vec<_>>();
    says(&up(&place, &["--ephemeral"]), 0, &[]);
    says(&up(&place, &["--ephemeral"]), 74, &["out.jsonl is there already", "--overwrite"]);
    says(&up(&place, &["--ephemeral", "--overwrite"]), 0, &[]);
    says(&up(&place, &[]), 74, &["out.jsonl is there already", "--overwrite"]);
    says(&up(&place, &["--overwrite", "--summary", "s.json"]), 0, &[]);
    says(&up(&place, &["--summary", "s.json"]), 0, &["this run is finished"]);
    let more = ["--fresh", "--set", "source.to=4", "--summary", "s.json"];
    says(&up(&place, &more), 0, &[]);
    assert_eq!(lines(&place.path("out.jsonl")), squares(4));
    assert_eq!(json(&place.path("s.json"))["units_in"], 4);
    // Whatever took its place is somebody else's.
    fs::remove_file(place.path("out.jsonl")).expect("it can be removed");
    let theirs = place.write("out.jsonl", THESIS);
    says(&up(&place, &["--fresh"]), 74, &["out.jsonl is there already"]);
    is_kept(&theirs);
    place.write("t.toml", topology(RANGE, "output = \"out.jsonl\"\noverwrite = true"));
    says(&up(&place, &["--fresh"]), 0, &[]);
    assert_eq!(lines(&place.path("out.jsonl")), squares(3));
}

/// An existing table is not written over, and other tables stay whatever is said.
#[test]
fn a_table_that_is_there_is_refused_with_74_and_stays() {
    let place = Place::new();
    place.write("t.toml", topology(RANGE, "output = \"out.db\""));
    let sql = |script: &str| {
        let python = "import sqlite3, sys\nd = sqlite3.connect('out.db')\n\
                      print([r for s in sys.argv[1].split(';') for r in d.execute(s)]); d.commit()";
        let output = Command::new("python3")
            .args(["-c", python, script])
            .current_dir(place.folder())
            .output()
            .expect("python3 starts");
        String::from_utf8(output.stdout).expect("text")
    };
    sql("CREATE TABLE results (a); INSERT INTO results VALUES (5); CREATE TABLE mine (b)");
    let before = fs::read(place.path("out.db")).expect("it is there");
    for flags in [&["--ephemeral"][..], &[]] {
        says(&up(&place, flags), 74, &["out.db has a table `results`", "--overwrite"]);
        assert!(fs::read(place.path("out.db")).expect("it is there") == before);
    }
    says(&up(&place, &["--overwrite"]), 0, &[]);
    assert_eq!(sql("SELECT value FROM results"), "[(1,), (2,), (3,)]\n");
    assert_eq!(sql("SELECT count(*) FROM mine"), "[(0,)]\n");
    says(&place.run("pipeline", &["verify", "t.toml"]), 0, &[]);
    // And its own it may replace.
    says(&up(&place, &["--fresh", "--set", "source.to=1"]), 0, &[]);
    assert_eq!(sql("SELECT value FROM results"), "[(1,)]\n");
}

/// `--fresh` removes what the run keeps in its directory, and nothing else there.
#[test]
fn fresh_leaves_the_users_files_in_the_run_directory() {
    let place = Place::new();
    place.write("t.toml", topology(RANGE, "output = \"run/out.jsonl\""));
    fs::create_dir(place.path("run")).expect("a folder can be made");
    let theirs = place.write("run/thesis.txt", THESIS);
    says(&up(&place, &["--run-dir", "run"]), 0, &[]);
    says(&up(&place, &["--run-dir", "run", "--fresh"]), 0, &["discarding"]);
    is_kept(&theirs);
    assert_eq!(lines(&place.path("run/out.jsonl")), ["1", "2", "3"]);
    // A folder that only looks like a run directory is left whole.
    let other = Place::new();
    other.write("t.toml", topology(RANGE, "output = \"out.jsonl\""));
    fs::create_dir(other.path("run")).expect("a folder can be made");
    for name in ["topology.json", "manifest.json", "thesis.txt"] {
        other.write(&format!("run/{name}"), THESIS);
    }
    for flags in [&["--fresh"][..], &[]] {
        let ended = up(&other, &[&["--run-dir", "run"], flags].concat());
        assert_eq!(ended.code, Some(74), "{}", ended.stderr);
        for name in ["topology.json", "manifest.json", "thesis.txt"] {
            is_kept(&other.path(&format!("run/{name}")));
        }
    }
}

/// `--bind ipc://FILE` on a file deletes it, in every role; so does its lock beside it.
#[test]
fn an_endpoint_that_is_something_else_is_refused_and_stays() {
    for role in ["sink", "ventilator", "worker"] {
        let place = Place::new();
        let file = place.write("file", THESIS);
        let lock = place.write("locked.lock", THESIS);
        fs::create_dir(place.path("folder")).expect("a folder can be made");
        symlink("file", place.path("link")).expect("a link can be made");
        let _live = UnixListener::bind(place.path("live")).expect("a socket can be bound");
        for (name, word) in [
            ("file", "a file"),
            ("folder", "a folder"),
            ("link", "a link"),
            ("live", "another process listens there"),
            ("locked", "locked.lock is there already"),
        ] {
            let endpoint = format!("ipc://{name}");
            let more: &[&str] = match role {
                "sink" => &[],
                "ventilator" => &["--sink", "ipc://s", "--source", "range:1..3"],
                _ => &["--ventilator", "ipc://v", "--run", "square"],
            };
            let ended = place.run(role, &[&["--bind", &endpoint], more].concat());
            says(&ended, 74, &[word]);
            is_kept(&file);
            is_kept(&lock);
            assert!(place.path("folder").is_dir() && place.path("live").exists());
            assert!(fs::symlink_metadata(place.path("link")).expect("it is there").is_symlink());
        }
        assert!(!place.path("file.lock").exists() && !place.path("live.lock").exists());
    }
}

/// The three programs by hand: the sink keeps what no run of its directory made.
#[test]
fn a_sink_by_hand_keeps_what_it_did_not_make() {
    for flags in [&[][..], &["--run-dir", "run"]] {
        for (name, more) in
            [("out.jsonl", &[][..]), ("notes.txt", &["--dead", "notes.txt"]), ("summary.json", &[])]
        {
            let hand = Hand::over(Transport::Ipc);
            let file = hand.place.write(name, THESIS);
            let ended = hand.sink(&[flags, more].concat()).ends();
            says(&ended, 74, &[name, "is there already"]);
            is_kept(&file);
        }
    }
    let place = Place::new();
    let key = place.write("key", THESIS);
    for flags in [
        &["--output", "a.jsonl", "--dead", "./a.jsonl"][..],
        &["--output", "a.jsonl", "--summary", "a.jsonl"],
        &["--output", "key", "--key", "key", "--overwrite"],
        &["--output", "run/log-00000001", "--run-dir", "run"],
    ] {
        let ended = place.run("sink", &[&["--bind", "ipc://s"], flags].concat());
        assert_eq!(ended.code, Some(64), "{}", ended.stderr);
        is_kept(&key);
    }
}

/// Devices, pipes and standard output go on to work as outputs.
#[test]
fn streams_are_outputs_as_before() {
    let place = Place::new();
    let sink = "output = \"/dev/null\"\ndead = \"/dev/null\"";
    place.write("t.toml", topology(RANGE, sink));
    says(&up(&place, &["--ephemeral", "--summary", "/dev/null"]), 0, &[]);
    place.write("t.toml", topology(RANGE, "output = \"-\""));
    assert_eq!(up(&place, &["--quiet"]).stdout, "1\n2\n3\n");
    place.write("t.toml", topology(RANGE, "output = \"/dev/stdout\""));
    assert_eq!(up(&place, &["--quiet"]).stdout, "1\n2\n3\n");
}
