//! A service that is missing while somebody waits for it: killed, ended, or about to end.

use tests::place::Place;
use tests::process::Process;
use tests::runs::pipeline;
use tests::wait;

use super::{call, held, start};

fn says(process: &Process, words: &str) {
    wait::until(words, || process.stderr().contains(words).then_some(()));
}

/// A call whose unit a worker has begun.
fn begun(place: &Place, args: &[&str]) -> Process {
    let call = place.start("pipeline", args);
    wait::until("it has begun", || place.path("begun").exists().then_some(()));
    call
}

#[test]
fn whoever_waits_is_told_once_that_the_service_is_lost_and_when_it_is_back() {
    let place = Place::new();
    let mut up = held(&place);
    let mut waiting = begun(&place, &["call", "held", "5"]);
    up.kill();
    says(&waiting, "the service is lost; waiting for it");
    let _up = start(&place, "held");
    says(&waiting, "the service is back");
    place.write("go", "");
    let told = waiting.ends();
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), "5\n"), "{}", told.stderr);
    assert_eq!(told.stderr.matches("is lost").count(), 1, "{}", told.stderr);
}

#[test]
fn whoever_waits_for_a_service_that_is_ended_is_told_the_tickets_and_leaves() {
    let place = Place::new();
    let mut up = held(&place);
    let mut waiting = begun(&place, &["call", "held", "5", "6", "7"]);
    let told = pipeline(&place, &["submit", "held", "8"]);
    let ticket = told.stdout.trim().to_owned();
    let mut result = place.start("pipeline", &["result", "--wait", &ticket]);
    let connected = || super::standing(&place, "held")["clients"].as_u64() == Some(2);
    wait::until("both are there", || connected().then_some(()));
    assert_eq!(pipeline(&place, &["down", "held", "--now"]).code, Some(0));
    up.ends();
    for (waiting, count) in [(&mut waiting, 3), (&mut result, 1)] {
        let told = waiting.ends();
        assert_eq!(told.code, Some(69), "{}", told.stderr);
        assert!(told.stderr.contains("the service was ended"), "{}", told.stderr);
        assert!(told.stderr.contains("these tickets stay valid"), "{}", told.stderr);
        let tickets = told.stderr.lines().filter(|line| line.contains('/') && !line.contains(' '));
        assert_eq!(tickets.count(), count, "{}", told.stderr);
    }
    place.write("go", "");
    let _up = start(&place, "held");
    assert_eq!(pipeline(&place, &["result", "--wait", &ticket]).stdout, "8\n");
}

#[test]
fn a_service_that_is_about_to_end_declines_and_says_why() {
    let place = Place::new();
    let mut up = held(&place);
    let mut waiting = begun(&place, &["call", "held", "1"]);
    up.terminate();
    wait::until("it drains", || {
        let told = pipeline(&place, &["ps"]);
        told.stdout.contains("draining").then_some(())
    });
    let told = call(&place, &["held", "5", "6", "7"]);
    let words = "pipeline: not accepted: the service is stopping and takes no more units\n\
                 pipeline: 3 units in all were not accepted\n";
    let said: String =
        told.stderr.split_inclusive('\n').filter(|line| line.starts_with("pipeline:")).collect();
    assert_eq!((told.code, said.as_str()), (Some(69), words));
    place.write("go", "");
    assert_eq!(waiting.ends().stdout, "1\n");
    up.ends();
}

#[test]
fn time_bounds_the_connecting_too_and_what_was_accepted_is_told_with_its_ticket() {
    let place = Place::new();
    let nobody = place.endpoint(tests::place::Transport::Tcp, "nobody");
    let told = call(&place, &[&nobody, "1", "--timeout", "1s", "--insecure"]);
    assert_eq!(told.code, Some(69), "{}", told.stderr);
    assert!(told.stderr.contains("within 1 s"), "{}", told.stderr);
    let _up = held(&place);
    let told = call(&place, &["held", "1", "--timeout", "0s"]);
    assert_eq!(told.code, Some(75), "{}", told.stderr);
    assert!(told.stderr.contains("/0: there is no outcome yet"), "{}", told.stderr);
}
