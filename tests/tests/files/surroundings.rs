//! Whatever a process is started with besides its arguments leads to right work or to a clear error:
//! limits, closed streams, signals, folders, variables.

use std::fs;
use std::path::Path;

use tests::outcome::lines;
use tests::place::Place;
use tests::process::Ended;
use tests::programs::program;
use tests::surroundings::command;

const NO_INPUT: &str = "standard input is closed, or not open for reading";

/// What should come of it.
enum Outcome {
    /// The run is as any other.
    Right,
    /// This exit code, and these words; nothing else is left of the run.
    Told(i32, &'static [&'static str]),
}
use Outcome::{Right, Told};

const RANGE: &str = "source = { kind = \"range\", from = 1, to = 30 }\n";
const SQUARE: &str = "stage = [{ name = \"s\", run = \"square\", workers = 2 }]\n";
const TO_FILE: &str = "sink = { output = \"out.jsonl\" }\n";

fn run(place: &Place, setting: &str, name: &str, args: &[&str]) -> Ended {
    place.start_command(name, command(place, setting, &program(name), args)).ends()
}

fn squares() -> Vec<String> {
    (1_u64..=30).map(|number| (number * number).to_string()).collect()
}

fn is(ended: &Ended, setting: &str, expected: &Outcome) {
    match expected {
        Right => assert_eq!(ended.code, Some(0), "{setting}: {}", ended.stderr),
        Told(code, words) => {
            assert_eq!(ended.code, Some(*code), "{setting}: {}", ended.stderr);
            for word in *words {
                assert!(ended.stderr.contains(word), "{setting}: no `{word}`: {}", ended.stderr);
            }
        }
    }
    assert!(!ended.stderr.contains("panicked"), "{setting}: {}", ended.stderr);
}

/// `pipeline up`, in each of these surroundings.
fn up(settings: &[(&str, Outcome)], topology: &str) {
    for (setting, expected) in settings {
        let place = Place::new();
        place.write("t.toml", topology);
        let ended = run(&place, setting, "pipeline", &["up", "t.toml"]);
        is(&ended, setting, expected);
        if matches!(expected, Right) && topology.contains("out.jsonl") {
            assert_eq!(lines(&place.path("out.jsonl")), squares(), "{setting}");
        }
    }
}

/// The roles by hand, which say the same of their limits as the launcher.
#[test]
fn limits_that_are_too_low_are_named_by_every_program() {
    let sink = ["--bind", "ipc://s", "--output", "out.jsonl"];
    let ventilator = ["--bind", "ipc://v", "--sink", "ipc://s", "--source", "range:1..3"];
    let worker = ["--ventilator", "ipc://v", "--run", "square"];
    let programs: [(&str, &[&str]); 3] =
        [("sink", &sink), ("ventilator", &ventilator), ("worker", &worker)];
    for (setting, words) in LIMITS {
        for (name, args) in programs {
            let place = Place::new();
            let ended = run(&place, setting, name, args);
            is(&ended, &format!("{setting}, {name}"), &Told(71, words));
            assert!(!place.path("out.jsonl").exists(), "{setting}: nothing has begun");
        }
        up(&[(setting, Told(71, words))], &[RANGE, SQUARE, TO_FILE].concat());
    }
}

const LIMITS: [(&str, &[&str]); 5] = [
    ("ulimit -n 20", &["files have to be open at once, and the hard limit is 20"]),
    ("ulimit -v 40000", &["threads that this process needs", "`ulimit -v` (40000)"]),
    ("ulimit -v 90000", &["threads that this process needs", "`ulimit -v` (90000)"]),
    ("ulimit -s 128", &["the stack may have 128 KiB (`ulimit -s`)"]),
    // More than there are addresses.
    ("ulimit -s 999999999999", &["threads that this process needs", "`ulimit -s`"]),
];

#[test]
fn limits_that_are_low_and_enough_do_no_harm() {
    let settings = [
        ("ulimit -s 512", Right),
        ("ulimit -s unlimited", Right),
        ("ulimit -v 4000000", Right),
        ("ulimit -c 0 -t 600 -q 0 -i 0 -l 0", Right),
        ("ulimit -n 600", Right),
    ];
    up(&settings, &[RANGE, SQUARE, TO_FILE].concat());
}

/// SIGXFSZ ends whoever does not expect it, without a word.
#[test]
fn a_limit_for_files_is_told_as_a_full_disk_is() {
    let source = "source = { kind = \"range\", from = 100000000001, to = 100000200000 }\n";
    let topology = ["halt = \"never\"\n", source, SQUARE, TO_FILE].concat();
    up(&[("ulimit -f 200", Told(74, &["File too large"]))], &topology);
}

#[test]
fn streams_that_are_closed_are_missed_only_by_those_who_need_them() {
    let settings = [
        ("exec <&-", Right),
        ("exec >&-", Right),
        ("exec 2>&-", Right),
        ("exec <&- >&-", Right),
        ("exec <&- >&- 2>&-", Right),
        ("exec 0>/dev/null", Right),
        ("exec 1</dev/null", Right),
    ];
    up(&settings, &[RANGE, SQUARE, TO_FILE].concat());
    let output = [
        (">&- closed", "exec >&-", 74),
        ("read only", "exec 1</dev/null", 74),
        ("nobody wants it", "exec >/dev/null", 0),
        ("both ways", "exec 1<>/dev/null", 0),
    ];
    for (what, setting, code) in output {
        let expected = match code {
            0 => Right,
            code => Told(code, &["standard output is closed, or not open for writing"]),
        };
        up(&[(setting, expected)], &[RANGE, SQUARE, "sink = { output = \"-\" }\n"].concat());
        let place = Place::new();
        place.write("t.toml", [RANGE, SQUARE, TO_FILE].concat());
        let ended = run(&place, setting, "pipeline", &["graph", "t.toml"]);
        assert_eq!(ended.code, Some(code), "{what}: {}", ended.stderr);
    }
    for (setting, expected) in [
        ("exec <&-", Told(74, &[NO_INPUT])),
        ("exec 0>/dev/null", Told(74, &[NO_INPUT])),
        ("exec </dev/null", Right),
    ] {
        let place = Place::new();
        place.write("t.toml", ["source = { kind = \"stdin\" }\n", SQUARE, TO_FILE].concat());
        let ended = run(&place, setting, "pipeline", &["up", "t.toml"]);
        is(&ended, setting, &expected);
    }
}

/// The roles by hand, without a launcher that has looked before them.
#[test]
fn a_role_by_hand_misses_its_stream_too() {
    let place = Place::new();
    let sink = ["--bind", "ipc://s", "--output", "-"];
    let ended = run(&place, "exec >&-", "sink", &sink);
    is(&ended, "sink", &Told(74, &["standard output is closed"]));
    let ventilator = ["--bind", "ipc://v", "--sink", "ipc://s", "--source", "stdin"];
    let ended = run(&place, "exec <&-", "ventilator", &ventilator);
    is(&ended, "ventilator", &Told(74, &["standard input is closed"]));
}

/// A number that was free because a stream was closed is given to the next file that is opened.
#[test]
fn what_is_said_never_lands_in_a_file_of_the_users() {
    let place = Place::new();
    let source = "source = { kind = \"lines\", path = \"in.txt\" }\n";
    let stage = "stage = [{ name = \"s\", exec = [\"sh\", \"-c\", \"echo no >&2; echo {}; exit 3\"], \
                 workers = 1, retries = 0 }]\n";
    place.write("in.txt", "7\n8\n");
    place.write("t.toml", [source, stage, TO_FILE].concat());
    let setting = "exec <&- >&- 2>&-";
    let ended = run(&place, setting, "pipeline", &["up", "t.toml", "--summary", "s.json"]);
    assert_eq!(ended.code, Some(1), "two dead units");
    assert_eq!(fs::read(place.path("in.txt")).expect("it is there"), b"7\n8\n");
    assert_eq!(fs::read(place.path("out.jsonl")).expect("it is there"), b"");
    assert_eq!(lines(&place.path("out.jsonl.dead.jsonl")).len(), 2);
    let summary = fs::read_to_string(place.path("s.json")).expect("it is there");
    assert!(summary.starts_with('{') && summary.ends_with('}'), "{summary}");
}

/// Not every shell lets go of this one.
const CHLD_IGNORED: &str = "exec env --ignore-signal=CHLD \"$0\" \"$@\"";

#[test]
fn signals_that_were_ignored_or_blocked_at_the_start_change_nothing() {
    let settings = [
        (CHLD_IGNORED, Right),
        ("exec env --block-signal=CHLD,INT,TERM,HUP,PIPE,XFSZ \"$0\" \"$@\"", Right),
        ("trap '' PIPE", Right),
        ("trap '' INT TERM HUP QUIT", Right),
        ("trap '' USR1 USR2 ALRM XFSZ XCPU", Right),
    ];
    up(&settings, &[RANGE, SQUARE, TO_FILE].concat());
    // Programs too, whose ends have to be heard.
    let exec = "stage = [{ name = \"s\", exec = [\"sh\", \"-c\", \"echo $(({} * {}))\"] }]\n";
    up(&[(CHLD_IGNORED, Right)], &[RANGE, exec, TO_FILE].concat());
}

#[test]
fn folders_and_variables_that_are_not_what_they_should_be() {
    let settings = [
        ("export TMPDIR=/nowhere/at/all", Told(71, &["/nowhere/at/all", "set TMPDIR"])),
        ("export TMPDIR=/etc/passwd", Told(71, &["/etc/passwd", "set TMPDIR"])),
        ("export TMPDIR=.", Right),
        ("export TMPDIR=", Right),
        ("export XDG_RUNTIME_DIR=/nowhere", Right),
        ("unset HOME XDG_CONFIG_HOME", Right),
        ("unset PATH", Right),
        ("export LANG=C LC_ALL=nonsense", Right),
        ("export RUST_LOG='%%[' RUST_BACKTRACE=1 NO_COLOR=1 TERM=nonsense COLUMNS=x", Right),
        ("umask 000", Right),
        ("export PIPELINE_PARENT=rubbish PIPELINE_GUARDED=rubbish PIPELINE_STREAM=rubbish", Right),
        ("export PIPELINE_PARENT=1 PIPELINE_UNIT=x PIPELINE_ATTEMPT= PIPELINE_STAGE=y", Right),
        ("export PIPELINE_KEY=/nowhere", Told(78, &["/nowhere"])),
    ];
    up(&settings, &[RANGE, SQUARE, TO_FILE].concat());
}

#[test]
fn a_level_of_logging_that_is_none_is_told_once() {
    let place = Place::new();
    place.write("t.toml", [RANGE, SQUARE, TO_FILE].concat());
    let ended = run(&place, "export PIPELINE_LOG='%%['", "pipeline", &["up", "t.toml"]);
    is(&ended, "PIPELINE_LOG", &Right);
    assert_eq!(ended.stderr.matches("PIPELINE_LOG is \"%%[\"").count(), 1, "{}", ended.stderr);
}

#[test]
fn a_launcher_that_is_named_and_not_there_is_told() {
    let place = Place::new();
    let sink = ["--bind", "ipc://s", "--output", "out.jsonl"];
    let ended = run(&place, "export PIPELINE_PARENT=1", "sink", &sink);
    is(&ended, "PIPELINE_PARENT", &Told(130, &["PIPELINE_PARENT", "unset the variable"]));
}

/// Nobody holds standard input of a ventilator by hand, whatever a variable says: what was copied
/// of it is compared with what is given again.
#[test]
fn a_stream_that_nobody_holds_is_not_taken_for_one_that_goes_on() {
    let place = Place::new();
    let text: String = (0..50_000).map(|number| format!("{number}\n")).collect();
    place.write("first", &text);
    place.write("other", text.replace('7', "8"));
    let args = ["--bind", "ipc://v", "--sink", "ipc://s", "--source", "stdin", "--run-dir", "copy"];
    let setting = |file: &str| format!("export PIPELINE_STREAM=rubbish; exec < {file}");
    let sink = ["--bind", "ipc://s", "--output", "out.jsonl", "--run-dir", "run"];
    let _sink = place.start("sink", &sink);
    let begin = command(&place, &setting("first"), &program("ventilator"), &args);
    let mut first = place.start_command("ventilator", begin);
    tests::wait::until("it is copied", || {
        let copy = fs::metadata(place.path("copy/stdin")).ok()?;
        (copy.len() as usize == text.len()).then_some(())
    });
    first.kill();
    let again = run(&place, &setting("other"), "ventilator", &args);
    is(&again, "another stream", &Told(74, &["it differs at byte"]));
}

#[test]
fn a_current_folder_that_is_gone_is_told_and_missed_only_by_relative_paths() {
    let place = Place::new();
    place.write("t.toml", [RANGE, SQUARE, TO_FILE].concat());
    let gone = "mkdir gone; cd gone; rmdir ../gone";
    let ended = run(&place, gone, "pipeline", &["up", "../t.toml"]);
    is(&ended, gone, &Told(71, &["the current folder can't be found"]));
    assert!(!place.path("out.jsonl").exists(), "nothing has begun");
    let full = place.path("t.toml");
    let ended = run(&place, gone, "pipeline", &["up", &path(&full)]);
    is(&ended, gone, &Right);
    assert_eq!(lines(&place.path("out.jsonl")), squares());
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// Who reads what is said may have gone.
#[test]
fn nobody_who_reads_the_errors_changes_no_exit_code() {
    let setting = "mkfifo said; (: < said) & exec 2> said; wait";
    for (name, args, code) in [
        ("sink", &["--bind", "ipc://s", "--output", "/nowhere/at/all"][..], 74),
        ("worker", &["--ventilator", "tcp://127.0.0.1:1", "--key", "/nowhere"], 78),
        ("ventilator", &["--bind", "ipc://v", "--sink", "ipc://s", "--source", "lines:gone"], 74),
        ("sink", &["--bind", "tcp://127.0.0.1:1", "--key", "/nowhere"], 78),
    ] {
        let place = Place::new();
        assert_eq!(run(&place, setting, name, args).code, Some(code), "{name} {args:?}");
    }
}
