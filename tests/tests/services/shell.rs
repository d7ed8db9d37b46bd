//! What somebody sees who uses a service from a shell.

use std::{fs, process::Stdio};

use serde_json::Value;
use tests::outcome::lines;
use tests::place::Place;
use tests::programs::program;
use tests::runs::pipeline;
use tests::wait;

use super::{call, fed, start, write};

#[test]
fn a_call_gives_the_value_of_each_unit_in_its_order() {
    let place = Place::new();
    write(&place, "squares", "run = \"square\"", "");
    let _up = start(&place, "squares");
    let told = call(&place, &["squares", "7", "-3"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "49\n9\n"), "{}", told.stderr);
    let lines: String = (0..5_000).map(|number| format!("{number}\n")).collect();
    let told = fed(&place, &["call", "squares", "--jsonl"], &lines);
    let expected: String = (0..5_000).map(|number| format!("{}\n", number * number)).collect();
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stdout == expected);
}

#[test]
fn a_ticket_is_good_in_another_process_after_every_process_was_started_again() {
    let place = Place::new();
    write(&place, "squares", "run = \"square\"", "");
    let mut up = start(&place, "squares");
    let told = pipeline(&place, &["submit", "squares", "5", "6"]);
    let tickets: Vec<&str> = told.stdout.lines().collect();
    assert_eq!((told.code, tickets.len()), (Some(0), 2), "{}", told.stderr);
    up.kill();
    let _up = start(&place, "squares");
    let told = pipeline(&place, &["result", tickets[1], tickets[0], "--wait"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "36\n25\n"), "{}", told.stderr);
    let told = pipeline(&place, &["result", tickets[0]]);
    assert_eq!(told.code, Some(66), "it was fetched: {}{}", told.stdout, told.stderr);
    assert!(told.stderr.contains("not kept any more"), "{}", told.stderr);
    let (run, _) = tickets[0].split_once('/').expect("a ticket");
    for never in [&["3"][..], &["99999"], &["99999", "--wait"]] {
        let ticket = format!("{run}/{}", never[0]);
        let told = pipeline(&place, &[&["result", &ticket], &never[1..]].concat());
        assert_eq!(told.code, Some(66), "{ticket}: {}{}", told.stdout, told.stderr);
        assert!(told.stderr.contains("the service knows no such ticket"), "{}", told.stderr);
    }
}

#[test]
fn what_is_wrong_is_told() {
    let place = Place::new();
    write(&place, "squares", "run = \"square\"", "");
    let told = call(&place, &["squares", "7"]);
    assert_eq!(told.code, Some(69), "{}", told.stderr);
    assert!(told.stderr.contains("no service is called `squares`; looked in "), "{}", told.stderr);
    assert!(told.stderr.contains("/state/pipeline/runs, "), "{}", told.stderr);
    let _up = start(&place, "squares");
    for (args, code, words) in [
        (&["call", "squares", "{"][..], 64, "is not JSON"),
        (&["call", "squares"], 64, "a value is needed"),
        (&["call", "squares", "\"x\""], 1, "/0 failed"),
        (&["call", "squares", "1", "2", "--once", "k"], 64, "--once is the key of one unit"),
        (&["submit", "squares", "--jsonl", "--unique", "k"], 64, "--unique is the key of one unit"),
        (&["submit", "squares", "--lines", "--once", "k"], 64, "--once is the key of one unit"),
        (&["call", "squares", "1", "--once", ""], 64, "--once <KEY>"),
        (&["call", "squares", "1", "--unique", ""], 64, "--unique <KEY>"),
        (&["call", "squares", "1", "--client", ""], 64, "--client <NAME>"),
        (&["call", "sqares", "1"], 69, "there are squares"),
        (&["result", "nonsense"], 64, "is no ticket"),
        (&["result", "0123456789abcdef/7"], 66, "no service of this user here has given it"),
    ] {
        let told = pipeline(&place, args);
        assert_eq!(told.code, Some(code), "{args:?}: {}", told.stderr);
        assert!(told.stderr.contains(words), "{args:?}: {}", told.stderr);
    }
}

#[test]
fn a_service_ends_by_down_alone_and_goes_on_where_it_was() {
    let place = Place::new();
    write(&place, "slow", "exec = [\"sh\", \"-c\", \"sleep 0.2; echo 1\"]", "retries = 0\n");
    let mut up = start(&place, "slow");
    let told = fed(&place, &["submit", "slow", "--lines"], &"x\n".repeat(10));
    let tickets = told.stdout.clone();
    assert_eq!(tickets.lines().count(), 10, "{}", told.stderr);
    let told = pipeline(&place, &["down", "slow"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    up.ends();
    let _up = start(&place, "slow");
    let told = fed(&place, &["result", "-", "--wait"], &tickets);
    assert_eq!(told.stdout.lines().count(), 10, "{}{}", told.stdout, told.stderr);
}

/// They are started from the same folder, and one of them is gone on with from another.
#[test]
fn services_side_by_side_have_dead_letters_of_their_own() {
    let place = Place::new();
    let fails = |name: &str| {
        let told = call(&place, &[name, "\"x\""]);
        assert_eq!(told.code, Some(1), "{name}: {}", told.stderr);
        assert_eq!(call(&place, &[name, "3"]).stdout, "9\n");
    };
    let mut services = Vec::new();
    for name in ["one", "other"] {
        write(&place, name, "run = \"square\"", "");
        services.push(start(&place, name));
    }
    ["one", "other"].iter().for_each(|name| fails(name));
    for (mut up, name) in services.into_iter().zip(["one", "other"]) {
        assert_eq!(pipeline(&place, &["down", name]).code, Some(0));
        up.ends();
    }
    fs::create_dir(place.path("elsewhere")).expect("the scenario's folder can be written");
    let mut command = place.command(program("pipeline"));
    command.arg("up").arg(place.path("one.toml"));
    command.current_dir(place.path("elsewhere"));
    let _up = place.start_with("up", command, Stdio::null());
    wait::until("it is there", || {
        (pipeline(&place, &["tickets", "one"]).code == Some(0)).then_some(())
    });
    fails("one");
    let told = pipeline(&place, &["check", "one.toml", "--output", "json"]);
    let checked: Value = serde_json::from_str(&told.stdout).expect("it is JSON");
    let dead = checked["topology"]["dead"].as_str().expect("it is told");
    assert_eq!(dead, place.path(".pipeline/one/dead.jsonl").to_str().expect("a text"));
    let letters = |name| lines(&place.path(&format!(".pipeline/{name}/dead.jsonl"))).len();
    assert_eq!((letters("one"), letters("other")), (2, 1));
}

#[test]
fn what_a_service_has_is_told_to_people_too() {
    let place = Place::new();
    let _up = super::held(&place);
    let lines: String = (0..40).map(|number| format!("{number}\n")).collect();
    assert_eq!(fed(&place, &["submit", "held", "--jsonl"], &lines).code, Some(0));
    wait::until("what waits is told", || {
        let all = [&["ps"][..], &["top", "held"], &["tickets", "held"]];
        let [ps, top, tickets] = all.map(|args| pipeline(&place, args).stdout);
        let told = ps.contains("QUEUED  OLDEST  CLIENTS  KEPT")
            && [&top, &tickets].iter().all(|text| text.contains("units waiting, the oldest for "))
            && tickets.contains("2 workers");
        told.then_some(())
    });
    let told = pipeline(&place, &["tickets", "tcp://127.0.0.1:1"]);
    assert_eq!(told.code, Some(69), "{}", told.stderr);
    assert!(told.stderr.contains("run `pipeline tickets` on that machine"), "{}", told.stderr);
}

#[test]
fn a_name_that_two_services_have_means_neither_to_any_command() {
    let place = Place::new();
    write(&place, "one", "run = \"square\"", "");
    let _one = start(&place, "one");
    fs::create_dir(place.path("other")).expect("a folder");
    let text = fs::read_to_string(place.path("one.toml")).expect("it was written");
    place.write("other/one.toml", text);
    let _other = place.start("pipeline", &["up", "other/one.toml"]);
    wait::until("both are listed", || (tests::runs::ps(&place).len() == 2).then_some(()));
    for args in [&["call", "one", "1"][..], &["tickets", "one"], &["down", "one"]] {
        let told = pipeline(&place, args);
        assert_eq!(told.code, Some(66), "{args:?}: {}", told.stderr);
        assert!(told.stderr.contains("say which one by its id"), "{args:?}: {}", told.stderr);
    }
}

#[test]
fn a_wrong_entry_for_one_service_is_no_other_services_trouble() {
    let place = Place::new();
    fs::create_dir_all(place.config().join("pipeline")).expect("a folder");
    let text = "[services]\nbad = 5\ngood = \"tcp://127.0.0.1:1\"\n[service]\nx = 1\n";
    fs::write(place.config().join("pipeline/config.toml"), text).expect("it can be written");
    let told = call(&place, &["good", "1", "--timeout", "1s"]);
    assert_eq!(told.code, Some(69), "{}", told.stderr);
    assert!(told.stderr.contains("no service answers at tcp://127.0.0.1:1"), "{}", told.stderr);
    assert!(told.stderr.contains("`service` means nothing there"), "{}", told.stderr);
    let told = call(&place, &["bad", "1"]);
    assert_eq!(told.code, Some(64), "{}", told.stderr);
    assert!(told.stderr.contains("[services] `bad`"), "{}", told.stderr);
}
