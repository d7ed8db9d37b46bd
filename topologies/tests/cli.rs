//! What `pipeline` says about its flags and about topologies, whole, and with which exit code.
//!
//! Runs of `up` that start processes are in the package `tests`; here nothing is started.

use std::{
    fs,
    process::{Command, Output},
};

use serde_json::Value;

/// The program in the folder of the shipped topologies, with a width that no terminal changes.
fn pipeline(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pipeline"))
        .args(args)
        .env("COLUMNS", "100")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .env_remove("PIPELINE_COLOR")
        .env_remove("PIPELINE_LOG_FORMAT")
        .output()
        .expect("the program is built")
}

/// Exit code, standard output, standard error.
fn told(args: &[&str]) -> (Option<i32>, String, String) {
    let output = pipeline(args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program writes UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const USAGE: &str = "\
Reliable pipelines over ZeroMQ: a ventilator, stages of workers, a sink

Usage: pipeline [OPTIONS] <COMMAND>

Commands:
  init         Write a commented topology to start from
  up           Start every process of a topology, watch over them, show progress
  map          Run a command or a function for each line, or each argument behind `:::`
  ps           Show the runs that go on
  top          Show how a run does, until it is over
  tap          Show some of the results of a run's stages as they pass
  down         End a run that goes on, so that it can be resumed
  wait         Wait until a run is over
  pause        Have a run send no further units
  resume       Have a paused run go on
  scale        Change how many workers a stage has
  restart      Start the workers of a stage anew, one after the other
  check        Find the mistakes in topologies
  graph        Draw a topology
  call         Submit units to a service, and print what comes of them
  submit       Submit units to a service, and print their tickets
  result       Print what became of units that were submitted
  tickets      Show what waits in a service, and what it keeps
  verify       Compare the manifest of a finished run with its outputs
  summary      Show what a finished run gave, once more
  report       Tell how a run went: over time, by worker, what failed, the slowest units
  explain      Tell the life of one unit
  logs         Show what the processes of a run and their programs have written
  dead         Look at the units that failed for good, try them again
  bench        Measure this machine
  sim          Simulate faults on the shape of a topology, by seed
  keygen       Make a key file
  key          Show the key by which processes recognise each other
  doctor       Look for what would go wrong on this machine
  schema       Print the JSON Schema of topologies, for editors
  completions  Print a shell's completions of this command line
  man          Print a manual page, or write all of them
  ventilator   Read a source and push its units to workers
  worker       Compute what a ventilator sends
  sink         Collect, dedupe, commit and aggregate the results
  help         Print this message or the help of the given subcommand(s)

Options:
      --color <WHEN>         Colours on stderr: auto, always or never; auto heeds NO_COLOR,
                             CLICOLOR_FORCE [env: PIPELINE_COLOR] [default: auto]
      --log-format <FORMAT>  How stderr is written: text, or json, an object a line [env:
                             PIPELINE_LOG_FORMAT] [default: text]
  -h, --help                 Print help
  -V, --version              Print version

Example, in an empty folder:
  printf '%s\\n' > squares.toml \\
    'source = { kind = \"range\", from = 1, to = 1000 }' \\
    'stage = [{ name = \"square\", run = \"square\" }]' \\
    'sink = { output = \"squares.jsonl\" }'
  pipeline up squares.toml
";

#[test]
fn without_arguments_the_usage_is_shown_and_the_code_is_64() {
    assert_eq!(told(&[]), (Some(64), String::new(), USAGE.into()));
}

#[test]
fn the_usage_that_is_asked_for_is_an_answer() {
    assert_eq!(told(&["--help"]), (Some(0), USAGE.into(), String::new()));
}

#[test]
fn the_example_of_the_usage_is_a_topology_that_can_be_run() {
    let (_, usage, _) = told(&["--help"]);
    let (_, example) = usage.split_once("Example, in an empty folder:\n").expect("an example");
    let lines: Vec<&str> = example.lines().map(str::trim).collect();
    assert_eq!(lines.last(), Some(&"pipeline up squares.toml"));
    let folder = tempfile::tempdir().unwrap();
    let pasted = lines[..lines.len() - 1].join("\n");
    let shell = Command::new("sh").args(["-c", &pasted]).current_dir(folder.path()).output();
    assert!(shell.unwrap().status.success());
    let path = folder.path().join("squares.toml");
    let (code, _, err) = told(&["check", path.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{pasted}");
}

#[test]
fn examples_fit_a_narrow_terminal() {
    for args in [&["--help"][..], &["ventilator", "--help"], &["sink"], &["worker"]] {
        let (_, out, err) = told(args);
        let text = out + &err;
        let (_, example) = text.split_once("Example, ").expect("an example");
        assert!(example.lines().all(|line| line.chars().count() <= 72), "{example}");
        assert!(example.contains("\n  pipeline "), "{example}");
    }
}

#[test]
fn a_wrong_flag_is_named_and_the_nearest_offered() {
    let expected = "\
error: unexpected argument '--sumary' found

  tip: a similar argument exists: '--summary'

Usage: pipeline up --summary <FILE> <FILE>

For more information, try '--help'.
";
    let args = ["up", "squares.toml", "--sumary", "x.json"];
    assert_eq!(told(&args), (Some(64), String::new(), expected.into()));
}

#[test]
fn wrong_flags_of_every_kind_have_the_same_code() {
    for args in [
        &["upp", "squares.toml"][..],
        &["up"],
        &["up", "squares.toml", "--ephemeral", "--run-dir", "x"],
        &["check"],
        &["check", "squares.toml", "--output", "yaml"],
        &["graph", "squares.toml", "--format", "svg"],
        &["ventilator"],
        &["ventilator", "--bind", "localhost:5557"],
        &["worker", "--run", "square"],
        &["worker", "--ventilator", "tcp://127.0.0.1:1", "--run", "sqare"],
        &["sink", "--bind", "tcp://127.0.0.1:1", "--order", "random"],
    ] {
        let (code, out, err) = told(args);
        assert_eq!((code, out.as_str()), (Some(64), ""), "{args:?}: {err}");
        assert!(!err.is_empty(), "{args:?}");
    }
}

#[test]
fn a_broken_topology_is_explained_wherever_it_is_named() {
    let expected = "\
error: unknown key `worker` in [[stage]]
 --> --set:1:14
  |
1 | stage.square.worker=3
  |              ^^^^^^
  |
  = help: did you mean `workers`?

1 mistake in squares.toml
";
    for command in ["up", "check", "graph"] {
        let args = [command, "squares.toml", "--set", "stage.square.worker=3"];
        assert_eq!(told(&args), (Some(78), String::new(), expected.into()), "{command}");
    }
}

#[test]
fn fine_topologies_are_told_in_a_line_each() {
    let (code, out, err) =
        told(&["check", "wordcount.toml", "squares.toml", "--set", "stage.0.workers=3"]);
    let expected = "\
wordcount.toml is fine: 3 stages, 6 workers
squares.toml is fine: 1 stage, 3 workers
";
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), expected, ""));
}

#[test]
fn one_broken_topology_among_several_decides_the_code() {
    let (code, out, err) = told(&["check", "tests/broken/empty.toml", "factorize.toml"]);
    assert_eq!((code, out.as_str()), (Some(78), "factorize.toml is fine: 1 stage, 2 workers\n"));
    assert_eq!(err, fs::read_to_string("tests/broken/empty.txt").unwrap());
}

#[test]
fn scripts_read_the_facts_of_a_fine_topology() {
    let (code, out, err) = told(&["check", "scores.toml", "--output", "json"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let facts: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(facts["ok"], true);
    assert_eq!(facts["findings"], Value::Array(Vec::new()));
    assert_eq!(facts["topology"]["name"], "scores");
    assert_eq!(facts["topology"]["stages"][0]["workers"], 2);
    assert_eq!(facts["topology"]["stages"][0]["timeout_ms"], 10_000);
    assert_eq!(facts["topology"]["limits"]["liveness_ms"], 5_000);
}

#[test]
fn scripts_read_the_mistakes_of_a_broken_one() {
    let broken = "tests/broken/unknown-keys.toml";
    let (code, out, err) = told(&["check", "squares.toml", broken, "--output", "json"]);
    assert_eq!((code, err.as_str()), (Some(78), ""));
    let answers: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[1]["file"], broken);
    assert_eq!(answers[1]["ok"], false);
    assert_eq!(answers[1]["topology"], Value::Null);
    assert_eq!(answers[1]["findings"][0]["code"], "unknown-key");
    assert_eq!(answers[1]["findings"][0]["line"], 2);
}

#[test]
fn a_graph_is_drawn_in_either_language() {
    let golden = |name: &str| fs::read_to_string(format!("tests/graph/{name}")).unwrap();
    assert_eq!(
        told(&["graph", "wordcount.toml"]),
        (Some(0), golden("wordcount.dot"), String::new())
    );
    assert_eq!(
        told(&["graph", "wordcount.toml", "--format", "mermaid"]),
        (Some(0), golden("wordcount.mmd"), String::new())
    );
}

#[test]
fn a_summary_that_cannot_be_written_is_refused_before_the_run() {
    let (code, out, err) = told(&["up", "squares.toml", "--summary", "nowhere/summary.json"]);
    assert_eq!((code, out.as_str()), (Some(74), ""));
    assert_eq!(
        err,
        "pipeline: cannot write nowhere/summary.json: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_folder_that_holds_no_run_is_not_emptied() {
    let (code, out, err) = told(&["up", "squares.toml", "--run-dir", "data", "--fresh"]);
    assert_eq!((code, out.as_str()), (Some(74), ""));
    assert!(err.contains("data is no run directory"), "{err}");
    assert!(fs::exists("data/scores.csv").unwrap());
}

#[test]
fn a_key_that_is_given_as_a_flag_is_answered_with_the_set_line() {
    for (args, tip) in [
        (
            &["up", "squares.toml", "--workers", "4"][..],
            "did you mean `--set stage.square.workers=4`?",
        ),
        (&["check", "squares.toml", "--retries=3"], "did you mean `--set stage.square.retries=3`?"),
        (&["up", "squares.toml", "--timeout"], "did you mean `--set stage.square.timeout=VALUE`?"),
        (&["up", "squares.toml", "-j", "4"], "did you mean `--set stage.square.workers=4`?"),
        (
            &["up", "squares.toml", "--crash-limit", "2"],
            "did you mean `--set stage.square.crash_limit=2`?",
        ),
        (
            &["up", "squares.toml", "--output", "a b.csv"],
            "did you mean `--set 'sink.output=a b.csv'`?",
        ),
        (
            &["up", "squares.toml", "--aggregate", "sum,p99"],
            "did you mean `--set 'sink.aggregate=[\"sum\", \"p99\"]'`?",
        ),
        (&["up", "squares.toml", "--from", "7"], "did you mean `--set source.from=7`?"),
        (&["up", "squares.toml", "--peers_max", "9"], "did you mean `--set limits.peers_max=9`?"),
        (
            &["up", "wordcount.toml", "--workers", "4"],
            "did you mean `--set stage.NAME.workers=4`, with NAME one of words, lower, keep?",
        ),
        (
            &["up", "no.toml", "--workers", "4"],
            "did you mean `--set stage.NAME.workers=4`, with the name of a stage?",
        ),
        // What is no key is clap's to answer.
        (&["up", "squares.toml", "--quite"], "a similar argument exists: '--quiet'"),
        (&["verify", "--outptu", "json"], "a similar argument exists: '--output'"),
    ] {
        let (code, out, err) = told(args);
        assert_eq!((code, out.as_str()), (Some(64), ""), "{args:?}");
        assert!(err.contains(&format!("\n  tip: {tip}\n")), "{args:?}: {err}");
    }
}

#[test]
fn a_summary_on_standard_output_does_not_mix_with_results() {
    let args = ["up", "squares.toml", "--output", "json", "--set", "sink.output=-"];
    let (code, out, err) = told(&args);
    assert_eq!((code, out.as_str()), (Some(64), ""));
    assert!(err.starts_with("pipeline: --output json: the results go to standard output"), "{err}");
}

#[test]
fn colours_are_for_terminals_unless_they_are_asked_for() {
    let coloured = |args: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        for name in ["NO_COLOR", "CLICOLOR_FORCE", "PIPELINE_COLOR", "PIPELINE_LOG_FORMAT"] {
            command.env_remove(name);
        }
        let output = command.args(args).envs(variables.iter().copied()).output().unwrap();
        String::from_utf8(output.stderr).unwrap().contains('\x1b')
    };
    let check = ["check", "no-such.toml"];
    let flag = |when: &'static str| [&check[..], &["--color", when]].concat();
    assert!(!coloured(&check, &[]));
    assert!(!coloured(&check, &[("PIPELINE_COLOR", "")]));
    assert!(coloured(&flag("always"), &[("NO_COLOR", "1")]));
    assert!(coloured(&check, &[("PIPELINE_COLOR", "always")]));
    assert!(coloured(&check, &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&check, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(!coloured(&flag("never"), &[("PIPELINE_COLOR", "always"), ("CLICOLOR_FORCE", "1")]));
    // What is wrong with flags, too.
    assert!(coloured(&["up", "--color=always"], &[]));
}

#[test]
fn for_scripts_each_mistake_is_a_line() {
    let broken = "tests/broken/unknown-keys.toml";
    let (code, out, err) = told(&["graph", broken, "--log-format", "json"]);
    assert_eq!((code, out.as_str()), (Some(78), ""));
    let lines: Vec<Value> = err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 1);
    assert_eq!(lines[0]["level"], "ERROR");
    assert_eq!(lines[0]["process"], "pipeline");
    assert_eq!(lines[0]["finding"]["code"], "unknown-key");
}

#[test]
fn a_first_topology_is_written_once_and_its_next_command_told() {
    let folder = tempfile::tempdir().unwrap();
    let here = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        let output = command.args(args).current_dir(folder.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, err) = here(&["init", "first"]);
    assert_eq!(code, Some(0), "{err}");
    let next = err.lines().find_map(|line| line.strip_prefix("  pipeline ")).unwrap();
    assert_eq!(next, "up first.toml");
    let text = fs::read(folder.path().join("first.toml")).unwrap();
    assert_eq!(here(&["init", "first"]).0, Some(74));
    assert_eq!(fs::read(folder.path().join("first.toml")).unwrap(), text);
    assert_eq!(here(&["init", "a b"]).0, Some(64));
}

#[test]
fn the_doctor_tells_what_fails_and_how_to_mend_it() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let look = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        let output =
            command.args(["doctor", "--output", "json"]).env("PIPELINE_KEY", &key).output();
        let output = output.unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap().clone();
        let of_key = findings.into_iter().find(|finding| finding["subject"] == "key").unwrap();
        (output.status.code(), report["ok"].clone(), of_key)
    };
    let (code, ok, of_key) = look();
    assert_eq!((code, ok, &of_key["health"]), (Some(1), Value::Bool(false), &Value::from("fail")));
    let mend = of_key["mend"].as_str().unwrap().strip_prefix("run: pipeline ").unwrap();
    let made = told(&mend.split(' ').collect::<Vec<_>>());
    assert_eq!(made.0, Some(0), "{made:?}");
    assert_eq!(look().2["health"], "ok");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(&key, open).unwrap();
    let (code, _, of_key) = look();
    assert_eq!((code, &of_key["health"]), (Some(1), &Value::from("fail")));
    assert!(of_key["text"].as_str().unwrap().ends_with(&format!("chmod 600 {}", key.display())));
}
