//! What the programs of a run write is never lost: it is shown as whole lines with the worker and the unit,
//! whether the program succeeds or not.

use tests::place::Place;
use tests::process::{Ended, Process};
use tests::programs::program;
use tests::runs::{child_of, kill};
use tests::torture::disk::Disk;
use tests::wait;

/// Numbers from 1 to `units` through one stage, `fetch`.
fn topology(units: u32, stage: &str) -> String {
    format!(
        "[source]\nkind = \"range\"\nfrom = 1\nto = {units}\n[[stage]]\nname = \"fetch\"\nretries = 0\n\
         {stage}\n[sink]\noutput = \"out.jsonl\"\n"
    )
}

/// Runs it to its end.
fn up(place: &Place, units: u32, stage: &str) -> Ended {
    place.write("t.toml", topology(units, stage));
    place.run("pipeline", &["up", "t.toml", "--quiet"])
}

fn has(ended: &Ended, line: &str) {
    assert!(ended.stderr.lines().any(|l| l == line), "no `{line}` in {}", ended.stderr);
}

#[test]
fn lines_of_an_exec_that_succeeds_bear_its_worker_and_unit() {
    let place = Place::new();
    let script = r#"exec = ["sh", "-c", "printf 'at %s\nno end' $1 >&2; echo $1", "sh", "{}"]"#;
    let ended = up(&place, 3, &format!("workers = 1\n{}", script.replace("\n", "\\n")));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for unit in 0..3 {
        has(&ended, &format!("fetch-1[unit {unit}]: at {}", unit + 1));
        has(&ended, &format!("fetch-1[unit {unit}]: no end"));
    }
}

#[test]
fn equal_lines_in_a_row_of_a_stage_are_counted() {
    let place = Place::new();
    let ended = up(&place, 1, r#"exec = ["sh", "-c", "yes retry | head -n 481 >&2"]"#);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("retry").count(), 1, "{}", ended.stderr);
    has(&ended, "fetch: … × 480 more");
}

#[test]
fn every_kind_of_function_has_its_words_told_with_the_unit() {
    let python = r#"
def work(value):
    print("out", value)
    sys.stderr.write("err no end")
    return value
"#;
    let many = python.replace("def work", "async def work");
    let pipe = r#"pipe = ["sh", "-c", "while read n; do echo out $n >&2; echo err no end >&2; echo $n; done"]"#;
    for stage in [
        pipe.to_owned(),
        format!("python = '''import sys{python}'''"),
        format!("concurrency = 4\npython = '''import sys{python}'''"),
        format!("concurrency = 4\npython = '''import sys{many}'''"),
    ] {
        let place = Place::new();
        let ended = up(&place, 3, &format!("workers = 1\n{stage}"));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        for unit in 0..3 {
            has(&ended, &format!("fetch-1[unit {unit}]: out {}", unit + 1));
        }
        let logs = place.run("pipeline", &["logs", "t.toml", "--stage", "fetch"]).stdout;
        for unit in 0..3 {
            let line = format!("fetch-1[unit {unit}]: err no end");
            assert!(logs.lines().any(|l| l.ends_with(&line)), "{stage}: no `{line}` in {logs}");
        }
    }
}

#[test]
fn a_dead_letter_holds_what_its_unit_wrote_and_dead_run_shows_it() {
    for (stage, wrote) in [
        (r#"exec = ["sh", "-c", "echo 'at 1' >&2; exit 3"]"#, "on stderr: at 1"),
        (r#"pipe = ["sh", "-c", "read n; echo 'at 1' >&2; exit 3"]"#, "on stderr: at 1"),
        ("python = '''def work(n):\n  print('at', n)\n  n / 0'''", "had written:\nat 1"),
    ] {
        let place = Place::new();
        assert_eq!(up(&place, 1, stage).code, Some(1));
        let shown = place.run("pipeline", &["dead", "show", "0", "--run-dir", "t.toml"]).stdout;
        assert!(shown.contains(wrote), "{shown}");
        let again = ["dead", "run", "0", "--topology", "t.toml", "--run-dir", "t.toml"];
        let again = place.run("pipeline", &again);
        has(&again, "[unit 0]: at 1");
    }
}

#[test]
fn a_flood_holds_up_nobody_and_fills_no_memory() {
    let place = Place::new();
    let script = r#"exec = ["sh", "-c", "test {} != 1 || seq 1000000 >&2; echo {}"]"#;
    let ended = up(&place, 20, &format!("workers = 2\n{script}"));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.len());
    let written = std::fs::read_dir(place.path(".pipeline/t/logs")).expect("there are logs");
    let bytes: u64 =
        written.flatten().map(|file| file.metadata().expect("it is there").len()).sum();
    assert!(bytes > 8 << 20 && bytes <= 2 * 3 * (8 << 20), "{bytes}");
    let logs = place.run("pipeline", &["logs", "t.toml", "--unit", "0"]);
    assert!(logs.stdout.lines().any(|line| line.ends_with("[unit 0]: 1000000")));
}

#[test]
fn logs_that_are_followed_show_a_killed_workers_last_lines_and_its_successors() {
    let place = Place::new();
    let script = r#"exec = ["sh", "-c", "echo first >&2; test -e second && { echo again >&2; exit; }; echo last >&2; : > begun; sleep 300"]"#;
    place.write("t.toml", topology(1, &format!("workers = 1\n{script}")));
    let mut run = place.start("pipeline", &["up", "t.toml", "--quiet"]);
    let is_begun = || place.path("begun").exists().then_some(());
    wait::until("the unit is begun", is_begun);
    let mut follower = place.start("pipeline", &["logs", "t.toml", "-f", "--stage", "fetch"]);
    let follows = |text: &'static str, follower: &Process| {
        wait::until(text, || follower.stdout().contains(text).then_some(()));
    };
    follows("[unit 0]: last", &follower);
    place.write("second", "");
    kill_worker(run.id());
    follows("[unit 0]: again", &follower);
    run.ends_well();
    let ended = follower.ends_well();
    assert_eq!(ended.stdout.matches("[unit 0]: first").count(), 2, "{}", ended.stdout);
    // A reader that goes away is no error.
    let mut command = place.command("bash");
    command
        .args(["-c", "set -o pipefail; \"$0\" logs t.toml --stage fetch | head -n 1"])
        .arg(program("pipeline"));
    let mut head = place.start_command("head", command);
    assert!(head.ends_well().stdout.contains("[unit 0]: first"));
    let up = place.run("pipeline", &["logs", "t.toml", "--worker", "up"]).stdout;
    assert!(up.contains("fetch-1 was ended by SIGKILL"), "{up}");
}

/// Kills the worker below this launcher with SIGKILL.
fn kill_worker(launcher: u32) {
    kill(child_of(launcher, "worker").expect("there is a worker"));
}

#[test]
fn logs_without_room_end_with_one_warning_and_the_run_goes_on() {
    let place = Place::new();
    let Some(_disk) = Disk::or_skip(&place, "disk", "4m") else { return };
    place.write("t.toml", topology(1, r#"exec = ["sh", "-c", "seq 1000000 >&2"]"#));
    std::fs::create_dir(place.path("disk/logs")).expect("there is room for a folder");
    std::fs::create_dir(place.path("run")).expect("the scenario's folder can be written");
    std::os::unix::fs::symlink(place.path("disk/logs"), place.path("run/logs"))
        .expect("a link can be made");
    let ended = place.run("pipeline", &["up", "t.toml", "--quiet", "--run-dir", "run"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr.len());
    assert_eq!(ended.stderr.matches("No space left on device").count(), 1);
    let kept = std::fs::read_to_string(place.path("disk/logs/fetch-1.log")).unwrap_or_default();
    assert!(kept.is_empty() || kept.ends_with('\n'));
}
