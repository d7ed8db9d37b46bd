//! A run that `pipeline up` has started takes in workers from other machines, in every stage. The
//! other machine is this one by another name: what is told apart by machine is told apart then.

use std::process::{Command, Stdio};

use tests::outcome::{json_lines, lines};
use tests::place::{Place, Transport};
use tests::process::Process;
use tests::programs::program;
use tests::wait;

const UNITS: u64 = 400;
const STAGES: [&str; 2] = ["one", "two"];

fn topology() -> String {
    let stage = |name| {
        format!(
            r#"
[[stage]]
name = "{name}"
exec = ["sh", "-c", "until test -e go; do sleep 0.01; done; echo {{}}"]
workers = 1
"#
        )
    };
    let stages = STAGES.map(stage).concat();
    format!(
        r#"
name = "far"
[source]
kind = "range"
from = 1
to = {UNITS}
{stages}
[sink]
output = "out.jsonl"
fields = ["value", "worker"]
"#
    )
}

#[test]
fn a_stage_without_workers_of_its_own_waits_for_some_from_elsewhere_and_says_how_to_start_one() {
    let place = Place::new();
    let at = place.endpoint(Transport::Tcp, "v");
    let text = topology().replace("workers = 1", "workers = 0");
    place.write("far.toml", format!("bind = \"{at}\"\n{text}"));
    place.write("go", "");
    let mut up = place.start("pipeline", &["up", "far.toml", "--summary", "s.json"]);
    let workers = STAGES.map(|stage| {
        let told = format!("stage `{stage}` has no worker yet");
        let how = format!("worker --ventilator '{at}' --stage {stage}");
        wait::until("it is told how to start a worker", || {
            let said = up.stderr();
            said.lines().any(|line| line.contains(&told) && line.contains(&how)).then_some(())
        });
        place.start("worker", &["--ventilator", &at, "--stage", stage])
    });
    up.ends_well();
    for mut worker in workers {
        worker.ends_well();
    }
    assert_eq!(lines(&place.path("out.jsonl")).len() as u64, UNITS);
}

/// A command that runs under another machine's name, if this user may give one.
fn elsewhere(place: &Place, name: &str) -> Option<Command> {
    const RENAMED: &str = "hostname \"$0\" && exec \"$@\"";
    let command = |program: &std::path::Path| {
        let mut command = place.command("unshare");
        command.args(["--user", "--map-root-user", "--uts", "sh", "-c", RENAMED, name]);
        command.arg(program);
        command
    };
    let mut trial = command("true".as_ref());
    let may = trial.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    may.then(|| command(&program("worker")))
}

#[test]
fn workers_elsewhere_join_every_stage_of_a_run_that_up_has_started() {
    let place = Place::new();
    place.write("far.toml", topology());
    let at = place.endpoint(Transport::Tcp, "v");
    let start = |stage: &&str| -> Option<Process> {
        let mut command = elsewhere(&place, &format!("far-{stage}"))?;
        let name = format!("far-{stage}");
        command.args(["--ventilator", &at, "--stage", stage, "--name", &name]);
        Some(place.start_command(&name, command))
    };
    let Some(far) = STAGES.iter().map(start).collect::<Option<Vec<Process>>>() else {
        eprintln!("skipped: this user may not give this machine another name (unshare --uts)");
        return;
    };
    let mut up = place.start("pipeline", &["up", "far.toml", "--summary", "s.json", "--bind", &at]);
    wait::until("both have joined", || {
        let said = up.stderr();
        STAGES
            .iter()
            .all(|stage| said.contains(&format!("worker joined peer=far-{stage}")))
            .then_some(())
    });
    place.write("go", "");
    up.ends_well();
    for mut worker in far {
        worker.ends_well();
    }
    let out = place.path("out.jsonl");
    assert_eq!(lines(&out).len() as u64, UNITS);
    let by_far = json_lines(&out).iter().filter(|line| line["worker"] == "far-two").count();
    assert!(by_far > 0, "the one of the last stage has sent results to the sink");
    let summary = tests::outcome::json(&place.path("s.json"));
    let workers = summary["workers"].as_array().expect("the summary lists them");
    for stage in STAGES {
        let name = format!("far-{stage}");
        let did = workers.iter().any(|w| w["name"] == *name && w["units"].as_u64() > Some(0));
        assert!(did, "{name} has done nothing: {workers:?}");
    }
}
