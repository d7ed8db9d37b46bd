//! Files and paths that nobody expects: each file that a pattern matches is a unit once or the run
//! says why not, each path that can be named works or is refused by its name.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use tests::outcome::{json_lines, lines};
use tests::place::Place;
use tests::process::Ended;

/// Writes a topology to `name`, with this source, function and output.
fn topology(place: &Place, name: &str, source: &str, function: &str, output: &str) {
    let text = format!(
        "name = \"t\"\n[source]\n{source}\n[[stage]]\nname = \"work\"\n{function}\nworkers = 2\n\
         [sink]\noutput = \"{output}\"\n"
    );
    place.write(name, text);
}

fn up(place: &Place, more: &[&str]) -> Ended {
    place.start("pipeline", &[&["up", "--quiet"], more].concat()).ends()
}

/// File names that are no UTF-8 were skipped, with exit code 0.
#[test]
fn a_file_whose_name_is_no_utf_8_is_processed() {
    let place = Place::new();
    fs::create_dir(place.path("in")).expect("a folder");
    let names: [&[u8]; 4] = [b"caf\xe9", b"plain", b"two words", b"\xff\xfe"];
    for (index, name) in names.iter().enumerate() {
        fs::write(place.path("in").join(OsStr::from_bytes(name)), index.to_string())
            .expect("a file");
    }
    let source = "kind = \"files\"\nglob = \"in/*\"";
    topology(&place, "t.toml", source, "exec = [\"cat\", \"--\", \"{}\"]", "out.jsonl");
    let ended = up(&place, &["t.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(lines(&place.path("out.jsonl")), ["0", "1", "2", "3"]);
    // And as what a built-in is given and gives.
    topology(&place, "sum.toml", source, "run = \"sha256\"", "sums.jsonl");
    let ended = up(&place, &["sum.toml", "--run-dir", "other"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let sums = json_lines(&place.path("sums.jsonl"));
    assert_eq!(sums.len(), 4);
    // Bytes are base64 in JSON.
    let path = |index: usize| sums[index]["path"].as_str().expect("text");
    assert!(path(1).ends_with("in/plain"), "{sums:?}");
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    assert!(path(0).len().is_multiple_of(4) && path(0).chars().all(is_base64), "{sums:?}");
}

/// A topology in a folder with `[1]` in its name had no units; one in `a*b` read its neighbour's.
#[test]
fn a_folder_with_the_characters_of_patterns_in_its_name_is_a_folder() {
    let place = Place::new();
    for folder in ["run[1]", "run1", "a*b", "aXb", "q?"] {
        fs::create_dir(place.path(folder)).expect("a folder");
        place.write(&format!("{folder}/in.txt"), folder);
    }
    for folder in ["run[1]", "a*b", "q?"] {
        let name = format!("{folder}/t.toml");
        topology(
            &place,
            &name,
            "kind = \"files\"\nglob = \"*.txt\"",
            "exec = [\"cat\", \"{}\"]",
            "out.jsonl",
        );
        let ended = up(&place, &[&name]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let out = place.path(&format!("{folder}/out.jsonl"));
        assert_eq!(lines(&out), [format!("{folder:?}")]);
    }
}

/// What a run writes lay among what its pattern matches.
#[test]
fn what_a_run_writes_is_none_of_its_units_at_the_start_nor_when_it_goes_on() {
    let place = Place::new();
    fs::create_dir(place.path("in")).expect("a folder");
    place.write("in/a", "1");
    place.write("in/b", "2");
    symlink("nowhere", place.path("in/broken")).expect("a link");
    let source = "kind = \"files\"\nglob = \"in/**\"";
    topology(&place, "t.toml", source, "exec = [\"cat\", \"{}\"]", "in/out.jsonl");
    let flags = ["t.toml", "--summary", "in/summary.json", "--run-dir", "in/run"];
    let ended = up(&place, &flags);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let words = "in/broken is left out: it is a link that leads nowhere";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    assert_eq!(lines(&place.path("in/out.jsonl")), ["1", "2"]);
    let again = up(&place, &flags);
    // What it wrote is there now, and the source is what it was.
    assert_eq!(again.code, Some(0), "{}", again.stderr);
}

#[test]
fn a_pattern_without_a_match_is_a_warning_of_the_run_and_of_the_check() {
    let place = Place::new();
    topology(&place, "t.toml", "kind = \"files\"\nglob = \"*.png\"", "run = \"echo\"", "out.jsonl");
    let ended = up(&place, &["t.toml"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("no file matches `*.png`"), "{}", ended.stderr);
    let checked = place.run("pipeline", &["check", "t.toml"]);
    assert_eq!(checked.code, Some(0));
    assert!(checked.stderr.contains("warning: no file matches `*.png`"), "{}", checked.stderr);
    let checked = place.run("pipeline", &["check", "t.toml", "--set", "source.glob=a[b"]);
    assert_eq!(checked.code, Some(78), "{}", checked.stderr);
    assert!(checked.stderr.contains("`a[b` is not a pattern of files"), "{}", checked.stderr);
}

/// Paths that are no plain file, and the words that each is refused with at the check.
#[test]
fn a_path_that_nothing_can_be_read_from_is_refused_by_name_at_the_check() {
    let place = Place::new();
    place.write("file", "x\n");
    place.write("line1", "x\n");
    fs::create_dir(place.path("folder")).expect("a folder");
    symlink("nowhere", place.path("dangling")).expect("a link");
    symlink("loop", place.path("loop")).expect("a link");
    let _socket = UnixListener::bind(place.path("socket")).expect("a socket");
    topology(&place, "t.toml", "kind = \"lines\"\npath = \"file\"", "run = \"echo\"", "out.jsonl");
    let long = "x".repeat(300);
    for (path, words) in [
        ("folder", "is a folder"),
        ("folder/", "is a folder"),
        ("file/", "behind a file"),
        ("file/x", "behind a file"),
        ("dangling", "is a link that leads nowhere"),
        ("loop", "is a link that leads nowhere"),
        ("socket", "is a socket"),
        (&*long, "longer name"),
        ("", "is empty"),
        ("missing", "does not exist"),
    ] {
        let checked =
            place.run("pipeline", &["check", "t.toml", "--set", &format!("source.path={path}")]);
        assert_eq!(checked.code, Some(78), "{path}: {}", checked.stderr);
        assert!(checked.stderr.contains(words), "{path}: {}", checked.stderr);
    }
    for (output, words) in
        [("folder/", "is a folder"), ("socket", "is a socket"), (&*long, "longer name")]
    {
        let checked =
            place.run("pipeline", &["check", "t.toml", "--set", &format!("sink.output={output}")]);
        assert_eq!(checked.code, Some(78), "{output}: {}", checked.stderr);
        assert!(checked.stderr.contains(words), "{output}: {}", checked.stderr);
    }
    for path in ["file", "/dev/null", "/dev/stdin", "/dev/fd/0"] {
        let checked =
            place.run("pipeline", &["check", "t.toml", "--set", &format!("source.path={path}")]);
        assert_eq!(checked.code, Some(0), "{path}: {}", checked.stderr);
    }
}

/// The ventilator of a launcher has a standard input of its own: the name meant that one.
#[test]
fn another_name_of_standard_input_is_standard_input() {
    let place = Place::new();
    topology(
        &place,
        "t.toml",
        "kind = \"lines\"\npath = \"/dev/stdin\"",
        "run = \"echo\"",
        "out.jsonl",
    );
    place.write("input", "a\nb\n");
    let mut command = place.command("/bin/sh");
    command.args(["-c", "exec \"$0\" up t.toml --quiet < input"]);
    command.arg(tests::programs::program("pipeline"));
    let ended = place.start_command("pipeline", command).ends();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(lines(&place.path("out.jsonl")), ["\"a\"", "\"b\""]);
}
