//! Over tcp nobody takes part without the key, and whoever tries does not disturb the run.

use std::os::unix::fs::PermissionsExt;

use tests::hand::Hand;
use tests::outcome::lines;
use tests::place::Transport;
use tests::process::Process;
use tests::programs::program;
use tests::wait;

const UNITS: usize = 2_000;

/// A pipeline whose first worker may not take part, and is told so; a second one does everything.
fn only_the_second_works(flags: &[&str], stranger: impl FnOnce(&Hand) -> Process) {
    let hand = Hand::over(Transport::Tcp);
    let mut sink = hand.sink(&[flags, &["--fields", "id,worker"]].concat());
    let mut ventilator = hand.ventilator(&format!("range:1..{UNITS}"), flags);
    let mut stranger = stranger(&hand);
    wait::until("the stranger is refused", || {
        stranger.stderr().contains("refused: does it use the same key").then_some(())
    });
    let mut worker = hand.worker(&[flags, &["--name", "friend", "--run", "square"]].concat());
    for process in [&mut sink, &mut ventilator, &mut worker] {
        process.ends_well();
    }
    let expected: Vec<String> =
        (0..UNITS).map(|id| format!(r#"{{"id":{id},"worker":"friend"}}"#)).collect();
    tests::outcome::assert_same_lines(&lines(&hand.output()), &expected);
    assert!(stranger.is_running(), "it still tries");
}

#[test]
fn a_worker_with_another_key_gets_no_work_and_says_why() {
    only_the_second_works(&[], |hand| {
        let mut command = hand.place.command(program("worker"));
        command.env("XDG_CONFIG_HOME", hand.place.path("stranger")).args([
            "--ventilator",
            hand.ventilator_endpoint(),
            "--run",
            "square",
        ]);
        hand.place.start_command("stranger", command)
    });
}

#[test]
fn an_insecure_worker_gets_no_work_from_a_ventilator_with_a_key() {
    only_the_second_works(&[], |hand| hand.worker(&["--insecure", "--run", "square"]));
}

#[test]
fn a_worker_with_a_key_does_not_trust_an_insecure_ventilator() {
    only_the_second_works(&["--insecure"], |hand| hand.worker(&["--run", "square"]));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let hand = Hand::over(Transport::Tcp);
    let key = hand.place.write("key", "public a\nsecret b\n");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("own file");
    let ended = hand.worker(&["--key", "key", "--run", "square"]).ends();
    assert_eq!(ended.code, Some(78));
    assert_eq!(ended.stderr, "worker: others can read key; run: chmod 600 key\n");
}

#[test]
fn a_worker_that_was_refused_takes_part_once_the_other_side_has_its_key() {
    let hand = Hand::over(Transport::Tcp);
    let mut worker = hand.worker(&["--run", "square"]);
    let mut insecure = hand.ventilator("range:1..10", &["--insecure"]);
    wait::until("the worker is refused", || {
        worker.stderr().contains("refused: does it use the same key").then_some(())
    });
    insecure.kill();
    let mut sink = hand.sink(&[]);
    let mut ventilator = hand.ventilator("range:1..10", &[]);
    for process in [&mut sink, &mut ventilator, &mut worker] {
        process.ends_well();
    }
    assert_eq!(hand.outcome().count("results"), 10);
}
