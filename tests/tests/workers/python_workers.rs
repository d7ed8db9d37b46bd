//! Workers in Python that take the place of ours where the interpreter has the package: whoever
//! looks after a worker notices nothing of it.
//!
//! The package here is a stand-in, which notes how it was started. Then it does what it is told: be
//! our worker again, which must not be replaced once more, or wait.
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

use std::fs;

use serde_json::Value;
use tests::hand::Hand;
use tests::outcome::{assert_same_lines, lines};
use tests::place::{Place, Transport};
use tests::process::Process;
use tests::{programs, wait};

/// Notes its flags, its process and what it was given, and goes on as `$STAND_IN`.
const STAND_IN: &str = r#"
import json, os, sys
note = {
    "flags": sys.argv[1:],
    "pid": os.getpid(),
    "parent": os.getppid(),
    "launcher": os.environ.get("PIPELINE_PARENT"),
    "replaced": os.environ.get("PIPELINE_REPLACED"),
    "stage": os.environ["PIPELINE_STAGE"],
    "folder": os.getcwd(),
    "blocked": next(line.split()[1] for line in open("/proc/self/status") if line.startswith("SigBlk")),
}
notes = os.environ["NOTES"]
with open(f"{notes}/{os.getpid()}.part", "w") as file:
    json.dump(note, file)
os.rename(file.name, f"{notes}/{os.getpid()}.json")
program = os.environ["STAND_IN"]
if program == "wait":
    while True:
        os.read(os.pipe()[0], 1)
os.execv(program, [program, "worker", *sys.argv[1:]])
"#;

/// A place with the stand-in; the environment of a stage that has it, as TOML.
fn with_package(place: &Place, goes_on_as: &str) -> String {
    let package = place.path("packages/pipeline_zmq");
    fs::create_dir_all(&package).unwrap();
    fs::create_dir_all(place.path("notes")).unwrap();
    fs::write(package.join("__init__.py"), "").unwrap();
    fs::write(package.join("worker.py"), STAND_IN).unwrap();
    format!(
        "env = {{ PYTHONPATH = '{}', NOTES = '{}', STAND_IN = '{goes_on_as}' }}",
        place.path("packages").display(),
        place.path("notes").display()
    )
}

fn pipeline() -> String {
    programs::program("pipeline").display().to_string()
}

fn topology(place: &Place, to: usize, stage: &str) -> String {
    let text = format!(
        "[source]\nkind = 'range'\nfrom = 1\nto = {to}\n[[stage]]\nname = 'square'\nworkers = 2\n{stage}\n[sink]\noutput = 'out.jsonl'\n"
    );
    place.write("t.toml", text).display().to_string()
}

const SQUARE: &str = "python = '''\ndef work(n):\n    return n * n\n'''";

fn notes(place: &Place) -> Vec<Value> {
    let entries = fs::read_dir(place.path("notes")).unwrap().flatten();
    let paths = entries.map(|entry| entry.path());
    let whole = paths.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    whole.map(|path| tests::outcome::json(&path)).collect()
}

fn squares(to: usize) -> Vec<String> {
    (1..=to).map(|n| (n * n).to_string()).collect()
}

fn noted(place: &Place, count: usize) -> Vec<Value> {
    wait::until("the workers in Python", || Some(notes(place)).filter(|notes| notes.len() >= count))
}

fn lives(pid: &Value) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim().starts_with('Z'))
}

#[test]
fn a_worker_in_python_has_the_process_the_flags_and_the_launcher_of_the_one_before() {
    let place = Place::new();
    let env = with_package(&place, &pipeline());
    let file = topology(&place, 1_000, &format!("{env}\n{SQUARE}"));
    let mut up = place.start("pipeline", &["up", &file, "--summary", "summary.json"]);
    let launcher = up.id().to_string();
    let ended = up.ends();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_same_lines(&lines(&place.path("out.jsonl")), &squares(1_000));
    // Those that they replaced have done nothing, and are not told of.
    let summary = tests::outcome::json(&place.path("summary.json"));
    assert_eq!(summary["workers"].as_array().unwrap().len(), 2, "{summary}");
    let notes = notes(&place);
    assert_eq!(notes.len(), 2);
    for note in notes {
        assert_eq!(note["parent"].to_string(), launcher);
        assert_eq!(note["launcher"], launcher);
        assert_eq!(note["replaced"], note["pid"].to_string());
        assert_eq!(note["stage"], "square");
        assert_eq!(note["folder"], place.folder().canonicalize().unwrap().to_str().unwrap());
        assert_eq!(note["blocked"], "0000000000000000");
        let flags: Vec<&str> =
            note["flags"].as_array().unwrap().iter().map(|flag| flag.as_str().unwrap()).collect();
        assert!(flags.windows(2).any(|pair| pair == ["--stage", "square"]), "{flags:?}");
        let name = flags.windows(2).find(|pair| pair[0] == "--name").unwrap()[1];
        assert!(["square-1", "square-2"].contains(&name), "{name}");
    }
}

#[test]
fn workers_that_were_replaced_are_killed_and_started_again_without_a_loss() {
    const UNITS: usize = 8_000;
    let place = Place::new();
    let env = with_package(&place, &pipeline());
    // As long as the kills take.
    let slow = SQUARE.replace("    return", "    time.sleep(0.001)\n    return");
    let slow = slow.replace("def work", "import time\ndef work");
    let file = topology(&place, UNITS, &format!("{env}\n{slow}"));
    let mut up = place.start("pipeline", &["up", &file]);
    for kills in 0..3 {
        let known = noted(&place, 2 + kills);
        let victim = known.iter().map(|note| &note["pid"]).find(|pid| lives(pid)).unwrap();
        tests::runs::kill(victim.as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap());
        noted(&place, 3 + kills);
    }
    let ended = up.ends();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_same_lines(&lines(&place.path("out.jsonl")), &squares(UNITS));
}

/// A function of a module beside the topology, whose failure is looked into afterwards.
#[test]
fn a_function_of_a_module_is_called_and_its_dead_units_can_be_run_alone() {
    let place = Place::new();
    let env = with_package(&place, &pipeline());
    let shop = "import sys\n\ndef total(n):\n    if n == 7:\n        raise ValueError(sys.argv[1:])\n    return {n, n * n}\n";
    fs::create_dir_all(place.path("shop")).unwrap();
    place.write("shop/prices.py", shop);
    let stage = format!("{env}\ncall = 'shop.prices:total'\nargs = ['x']\nretries = 0");
    let file = topology(&place, 100, &stage);
    let ended = place.run("pipeline", &["up", &file]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let expected: Vec<String> = (1..=100)
        .filter(|n| *n != 7)
        .map(|n| if n == 1 { "[1]".into() } else { format!("[{n},{}]", n * n) })
        .collect();
    assert_same_lines(&lines(&place.path("out.jsonl")), &expected);
    assert_eq!(notes(&place).len(), 2);
    let run_dir = ["--topology", &file, "--run-dir", ".pipeline/t"];
    let again = place.run("pipeline", &[&["dead", "run", "6"], &run_dir[..]].concat());
    assert_eq!(again.code, Some(1), "{}", again.stderr);
    assert!(again.stderr.contains("shop/prices.py\", line 5, in total"), "{}", again.stderr);
    assert!(again.stderr.trim_end().ends_with("ValueError: ['x']"), "{}", again.stderr);
}

#[test]
fn workers_in_python_end_with_a_launcher_that_is_killed() {
    let place = Place::new();
    let env = with_package(&place, "wait");
    let file = topology(&place, 1_000, &format!("{env}\n{SQUARE}"));
    let mut up = place.start("pipeline", &["up", &file]);
    let notes = noted(&place, 2);
    up.kill();
    wait::until("the end of both", || notes.iter().all(|note| !lives(&note["pid"])).then_some(()));
}

#[test]
fn of_several_workers_by_one_command_each_is_replaced() {
    let place = Place::new();
    let env = with_package(&place, &pipeline());
    let hand = Hand::over(Transport::Tcp);
    // Its flags lead to the same key from the stage's folder.
    let endpoint = place.endpoint(Transport::Tcp, "v");
    let text = fs::read_to_string(topology(&place, 500, &format!("{env}\n{SQUARE}"))).unwrap();
    let text = text.replace("workers = 2", "workers = 0");
    let file = place.write("t.toml", format!("bind = '{endpoint}'\n{text}"));
    let mut up = place.start("pipeline", &["up", file.to_str().unwrap()]);
    let worker = |flags: &[&str]| -> Process {
        let mut command = hand.place.command(programs::program("worker"));
        command.args(["--ventilator", &endpoint]).args(flags);
        command.env("XDG_CONFIG_HOME", place.config());
        hand.place.start_command("worker", command)
    };
    let mut crowd = worker(&["-j", "2", "--name", "hand"]);
    let ended = up.ends();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // Also the one whose replacement came when the run was over.
    assert_eq!(crowd.ends().code, Some(0));
    assert_same_lines(&lines(&place.path("out.jsonl")), &squares(500));
    let notes = notes(&place);
    assert_eq!(notes.len(), 2);
    assert!(notes.iter().all(|note| note["parent"] == crowd.id()));
}

/// The package is looked for in the check of `up`, so nothing has begun.
#[test]
fn a_call_without_the_package_is_refused_before_anything_starts() {
    let place = Place::new();
    place.write("bare", "#!/bin/sh\nexec python3 -S \"$@\"\n");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(place.path("bare"), executable).unwrap();
    let file = topology(&place, 10, "call = 'json:loads'\ninterpreter = './bare'");
    let ended = place.run("pipeline", &["up", &file]);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("-m pip install pipeline-zmq"), "{}", ended.stderr);
    assert!(!place.path("out.jsonl").exists());
    // Where only workers from elsewhere have it, one that has not says so itself.
    let endpoint = place.endpoint(Transport::Tcp, "v");
    let text = fs::read_to_string(&file).unwrap().replace("workers = 2", "workers = 0");
    let file = place.write("t.toml", format!("bind = '{endpoint}'\n{text}"));
    let mut up = place.start("pipeline", &["up", file.to_str().unwrap()]);
    let ended = place.run("worker", &["--ventilator", &endpoint]);
    assert_eq!(ended.code, Some(69), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("can't import pipeline_zmq, which `call` needs"),
        "{}",
        ended.stderr
    );
    up.terminate();
    up.ends();
}
