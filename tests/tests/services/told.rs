//! What is told while standard input is still read, and when that ends badly or early.

use std::{
    fs,
    io::Write,
    process::{ChildStdin, Stdio},
};

use tests::place::Place;
use tests::process::Process;
use tests::programs::program;
use tests::runs::pipeline;
use tests::wait;

use super::{fed, held, standing, start, write};

/// A command whose standard input stays open until the test lets it go.
fn talked_to(place: &Place, args: &[&str]) -> (Process, ChildStdin) {
    let mut command = place.command(program("pipeline"));
    command.args(args);
    let mut process = place.start_with("talked-to", command, Stdio::piped());
    let input = process.take_input().expect("it was started with one");
    (process, input)
}

fn say(input: &mut ChildStdin, line: &str) {
    writeln!(input, "{line}").expect("it reads");
}

fn printed(process: &Process, lines: usize) {
    wait::until(&format!("{lines} lines are printed"), || {
        (process.stdout().lines().count() == lines).then_some(())
    });
}

#[test]
fn a_ticket_and_a_value_are_told_before_the_next_line_is_there() {
    let place = Place::new();
    write(&place, "squares", "run = \"square\"", "");
    let _up = start(&place, "squares");
    for command in ["submit", "call"] {
        let (mut process, mut input) = talked_to(&place, &[command, "squares", "--jsonl"]);
        for count in 1..4 {
            say(&mut input, &count.to_string());
            printed(&process, count);
        }
        drop(input);
        process.ends_well();
    }
}

#[test]
fn all_that_was_accepted_before_a_bad_line_is_told_and_then_the_line() {
    let place = Place::new();
    write(&place, "squares", "run = \"square\"", "");
    let _up = start(&place, "squares");
    let good: String = (0..5_000).map(|number| format!("{number}\n")).collect();
    let lines = format!("{good}{{bad\n1\n");
    for command in ["submit", "call"] {
        let told = fed(&place, &[command, "squares", "--jsonl"], &lines);
        assert_eq!((told.code, told.stdout.lines().count()), (Some(64), 5_000), "{}", told.stderr);
        assert!(told.stderr.contains("line 5001 is not JSON"), "{}", told.stderr);
    }
    wait::until("no other unit was accepted", || {
        (standing(&place, "squares")["done"].as_u64() == Some(10_000)).then_some(())
    });
    let told = pipeline(&place, &["submit", "squares", "1", "{bad"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(64), ""), "{}", told.stderr);
    assert_eq!(standing(&place, "squares")["done"].as_u64(), Some(10_000));
}

#[test]
fn whoever_interrupts_a_call_is_told_the_tickets_of_what_goes_on_without_it() {
    let place = Place::new();
    let _up = held(&place);
    let (mut process, mut input) = talked_to(&place, &["call", "held", "--jsonl"]);
    say(&mut input, "1\n2\n3");
    // The third waits behind two workers.
    wait::until("two have begun", || {
        let begun = fs::read_to_string(place.path("begun")).unwrap_or_default();
        (begun.lines().count() == 2).then_some(())
    });
    process.terminate();
    let told = process.ends();
    assert_eq!((told.code, told.stdout.as_str()), (Some(130), ""), "{}", told.stderr);
    let tickets: Vec<&str> = told.stderr.lines().filter(|line| line.contains('/')).collect();
    assert_eq!(tickets.len(), 3, "{}", told.stderr);
    place.write("go", "");
    let told = pipeline(&place, &[&["result", "--wait"], &tickets[..]].concat());
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "1\n2\n3\n"), "{}", told.stderr);
}

#[test]
fn an_interrupted_submit_has_told_each_ticket() {
    let place = Place::new();
    write(&place, "squares", "run = \"square\"", "");
    let _up = start(&place, "squares");
    let (mut process, mut input) = talked_to(&place, &["submit", "squares", "--jsonl"]);
    say(&mut input, "4");
    printed(&process, 1);
    process.terminate();
    let told = process.ends();
    assert_eq!(told.code, Some(130), "{}", told.stderr);
    let told = pipeline(&place, &["result", "--wait", told.stdout.trim()]);
    assert_eq!(told.stdout, "16\n", "{}", told.stderr);
}

#[test]
fn an_outcome_that_could_not_be_written_is_still_there() {
    let place = Place::new();
    write(&place, "squares", "run = \"square\"", "");
    let _up = start(&place, "squares");
    let told = pipeline(&place, &["submit", "squares", "7"]);
    let ticket = told.stdout.trim();
    let into = |output: Stdio| {
        let mut command = place.command(program("pipeline"));
        command.args(["result", "--wait", ticket]).stdin(Stdio::null()).stderr(Stdio::null());
        command.stdout(output).status().expect("it starts").code()
    };
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    assert_eq!(into(full.into()), Some(74));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert_eq!(into(writer.into()), Some(0));
    let told = pipeline(&place, &["result", "--wait", ticket]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "49\n"), "{}", told.stderr);
    assert_eq!(pipeline(&place, &["result", ticket]).code, Some(66), "it was fetched");
}

/// Its units were forgotten by the service as soon as it knew their tickets.
#[test]
fn a_call_that_cancels_leaves_nothing_behind_but_what_has_begun() {
    let place = Place::new();
    let _up = held(&place);
    let args = ["call", "held", "--jsonl", "--on-disconnect", "cancel"];
    let (mut process, mut input) = talked_to(&place, &args);
    for count in 1..20 {
        say(&mut input, &count.to_string());
        wait::until("it is accepted", || {
            let told = pipeline(&place, &["submit", "held", "0", "--delay", "1h"]);
            let (_, id) = told.stdout.trim().split_once('/')?;
            (id.parse::<usize>().ok()? >= 2 * count - 1).then_some(())
        });
    }
    process.terminate();
    let told = process.ends();
    assert_eq!(told.code, Some(130), "{}", told.stderr);
    assert!(
        told.stderr.contains("are cancelled unless a worker has begun them"),
        "{}",
        told.stderr
    );
    let is_ticket = |line: &&str| line.contains('/') && !line.contains(' ');
    let tickets: Vec<&str> = told.stderr.lines().filter(is_ticket).collect();
    assert_eq!(tickets.len(), 19, "{}", told.stderr);
    place.write("go", "");
    let told = pipeline(&place, &[&["result", "--wait"], &tickets[..]].concat());
    assert_eq!(told.stdout.lines().count(), 2, "{}{}", told.stdout, told.stderr);
    assert_eq!(told.stderr.matches("cancelled").count(), 17, "{}", told.stderr);
}

#[test]
fn whoever_does_not_wait_for_room_is_told_that_there_is_none() {
    let place = Place::new();
    let script = "while [ ! -e go ]; do sleep 0.02; done; echo {}";
    let run = format!("exec = [\"sh\", \"-c\", '''{script}''']");
    write(&place, "small", &run, "");
    let text = fs::read_to_string(place.path("small.toml")).expect("it was written");
    let bounded = "source = { kind = \"service\", queue_units_max = 20 }";
    place.write("small.toml", text.replace("source = { kind = \"service\" }", bounded));
    let _up = start(&place, "small");
    let lines: String = (0..200).map(|number| format!("{number}\n")).collect();
    let told = fed(&place, &["submit", "small", "--jsonl", "--no-wait"], &lines);
    assert_eq!(told.code, Some(75), "{}", told.stderr);
    assert!(told.stderr.contains("the service's queue is full"), "{}", told.stderr);
    // Workers read ahead while it fills.
    wait::until("there is no room", || {
        (pipeline(&place, &["submit", "small", "1", "--no-wait"]).code == Some(75)).then_some(())
    });
    for command in ["submit", "call"] {
        let told = pipeline(&place, &[command, "small", "1", "--no-wait", "--wait-for-workers"]);
        assert_eq!((told.code, told.stdout.as_str()), (Some(75), ""), "{command}: {}", told.stderr);
    }
    place.write("go", "");
    let told = pipeline(&place, &["call", "small", "7"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "7\n"), "{}", told.stderr);
}
