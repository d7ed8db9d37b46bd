//! Over tcp nobody takes part without the key, and whoever tries does not disturb the run.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use tests::hand::Hand;
use tests::outcome::{Outcome, lines};
use tests::place::{Place, Transport};
use tests::process::Process;
use tests::programs::program;
use tests::relay::Relay;
use tests::wait;

const UNITS: usize = 2_000;

/// How many connections the processes of a run have refused.
fn refused(outcome: &Outcome) -> u64 {
    outcome.field("turned_away")["connections"].as_u64().expect("the summary counts them")
}

/// A pipeline whose first worker may not take part, and is told so in the words `told`; a second
/// one does everything. What the ventilator said, and the summary.
fn only_the_second_works(
    flags: &[&str],
    told: &str,
    stranger: impl FnOnce(&Hand) -> Process,
) -> (String, Outcome) {
    let hand = Hand::over(Transport::Tcp);
    let mut sink = hand.sink(&[flags, &["--fields", "id,worker"]].concat());
    let mut ventilator = hand.ventilator(&format!("range:1..{UNITS}"), flags);
    let mut stranger = stranger(&hand);
    wait::until("the stranger is refused, and told why", || {
        (stranger.stderr().contains("refused: ") && stranger.stderr().contains(told)).then_some(())
    });
    let mut worker = hand.worker(&[flags, &["--name", "friend", "--run", "square"]].concat());
    for process in [&mut sink, &mut ventilator, &mut worker] {
        process.ends_well();
    }
    let expected: Vec<String> =
        (0..UNITS).map(|id| format!(r#"{{"id":{id},"worker":"friend"}}"#)).collect();
    tests::outcome::assert_same_lines(&lines(&hand.output()), &expected);
    assert!(stranger.is_running(), "it still tries");
    let outcome = hand.outcome();
    assert!(refused(&outcome) > 0, "nobody was counted");
    (ventilator.stderr(), outcome)
}

/// A worker whose folder for keys is `name`, so that it makes a key of its own.
fn with_another_key(hand: &Hand, name: &str) -> Process {
    let mut command = hand.place.command(program("worker"));
    command.env("XDG_CONFIG_HOME", hand.place.path(name)).args([
        "--ventilator",
        hand.ventilator_endpoint(),
        "--run",
        "square",
    ]);
    hand.place.start_command(name, command)
}

#[test]
fn a_worker_with_another_key_gets_no_work_and_both_sides_say_why() {
    let (ventilator, _) = only_the_second_works(&[], "does not know this key, ", |hand| {
        with_another_key(hand, "stranger")
    });
    assert!(ventilator.contains("refused a peer with another key"), "{ventilator}");
}

#[test]
fn an_insecure_worker_gets_no_work_from_a_ventilator_with_a_key() {
    let (ventilator, _) = only_the_second_works(&[], "this process runs with --insecure", |hand| {
        hand.worker(&["--insecure", "--run", "square"])
    });
    assert!(ventilator.contains("was it started with --insecure?"), "{ventilator}");
}

#[test]
fn a_worker_with_a_key_does_not_trust_an_insecure_ventilator() {
    only_the_second_works(&["--insecure"], "runs with --insecure", |hand| {
        hand.worker(&["--run", "square"])
    });
}

/// What a client says first that offers `mechanism`; see <https://rfc.zeromq.org/spec/23/>.
fn greeting(mechanism: &str) -> Vec<u8> {
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
    greeting.extend(mechanism.bytes());
    greeting.resize(64, 0);
    greeting
}

#[test]
fn plain_null_and_rubbish_are_refused_and_counted_and_the_run_is_unharmed() {
    let hand = Hand::over(Transport::Tcp);
    let mut sink = hand.sink(&[]);
    let mut ventilator = hand.ventilator(&format!("range:1..{UNITS}"), &[]);
    let (_, address) = hand.ventilator_endpoint().split_once("//").expect("tcp");
    for said in [greeting("PLAIN"), greeting("NULL"), b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let mut peer = wait::until("the ventilator listens", || TcpStream::connect(address).ok());
        peer.write_all(&said).expect("it listens");
        let mut answer = Vec::new();
        // It ends, with or without a reset.
        let _ = peer.read_to_end(&mut answer);
        assert!(!String::from_utf8_lossy(&answer).contains("square"), "nobody is told anything");
    }
    let mut worker = hand.worker(&["--run", "square"]);
    for process in [&mut sink, &mut ventilator, &mut worker] {
        process.ends_well();
    }
    assert_eq!(hand.outcome().count("results"), UNITS as u64);
    assert!(refused(&hand.outcome()) >= 2, "{:?}", hand.outcome());
}

#[test]
fn nobody_on_the_way_reads_a_unit() {
    for (flags, readable) in [(&[][..], false), (&["--insecure"][..], true)] {
        let hand = Hand::over(Transport::Tcp);
        let words: String = (0..200).map(|n| format!("most-secret-{n}\n")).collect();
        hand.place.write("words", words);
        // The worker reaches the ventilator through a relay that keeps what passes, so it is told
        // where the sink is, too; what comes back to it passes the other relay.
        let to_ventilator = Relay::to(hand.ventilator_endpoint());
        let mut sink = hand.sink(flags);
        let mut ventilator = hand.ventilator("lines:words", flags);
        let inbox = hand.place.endpoint(Transport::Tcp, "w");
        let to_worker = Relay::to(&inbox);
        let mut worker = hand.place.start(
            "worker",
            &[
                &["--ventilator", &to_ventilator.endpoint, "--run", "echo", "--bind", &inbox][..],
                &["--advertise", &to_worker.endpoint],
                flags,
            ]
            .concat(),
        );
        for process in [&mut sink, &mut ventilator, &mut worker] {
            process.ends_well();
        }
        assert_eq!(hand.outcome().count("results"), 200);
        let passed = [to_ventilator.passed(), to_worker.passed()].concat();
        assert!(passed.len() > 1_000, "{} bytes have passed", passed.len());
        let found = passed.windows(11).any(|window| window == b"most-secret");
        assert_eq!(found, readable, "--insecure shows that the relay would have seen it");
    }
}

#[test]
fn keys_change_without_a_stop() {
    let hand = Hand::over(Transport::Tcp);
    for file in ["old", "new"] {
        assert_eq!(hand.place.run("pipeline", &["keygen", file]).code, Some(0));
    }
    let public = |file: &str| {
        let text = std::fs::read_to_string(hand.place.path(file)).expect("a key file");
        let line = text.lines().find_map(|line| line.strip_prefix("public "));
        line.expect("a public half").to_owned()
    };
    let accepting = |file: &str, other: &str| {
        let path = hand.place.path(file);
        let mut key = OpenOptions::new().append(true).open(path).expect("a key file");
        writeln!(key, "accept {}", public(other)).expect("own file");
    };
    accepting("old", "new");
    accepting("new", "old");
    let mut sink = hand.sink(&["--key", "new"]);
    let mut ventilator = hand.ventilator("range:1..10", &["--key", "old"]);
    let mut worker = hand.worker(&["--key", "new", "--run", "square"]);
    for process in [&mut sink, &mut ventilator, &mut worker] {
        process.ends_well();
    }
    assert_eq!(hand.outcome().count("results"), 10);
}

#[test]
fn an_insecure_worker_runs_no_program_from_the_plan_unless_it_may() {
    const TOPOLOGY: &str = r#"
name = "t"
insecure = true
[source]
kind = "range"
from = 1
to = 20
[[stage]]
name = "touch"
exec = ["sh", "-c", "until test -e go; do sleep 0.01; done; echo {}"]
workers = 1
[sink]
output = "out.jsonl"
"#;
    let hand = Hand::over(Transport::Tcp);
    hand.place.write("t.toml", TOPOLOGY);
    let at = hand.ventilator_endpoint();
    let mut up = hand.place.start("pipeline", &["up", "t.toml", "--ephemeral", "--bind", at]);
    let refused = hand.worker(&["--insecure", "--name", "careful"]).ends();
    assert_eq!(refused.code, Some(69), "{}", refused.stderr);
    assert!(refused.stderr.contains("--allow-code"), "{}", refused.stderr);
    let mut careless = hand.worker(&["--insecure", "--allow-code", "--name", "careless"]);
    wait::until("it has joined", || up.stderr().contains("careless").then_some(()));
    hand.place.write("go", "");
    up.ends_well();
    careless.ends_well();
}

#[test]
fn key_show_and_fingerprint_tell_which_key_it_is_and_never_the_secret() {
    let place = Place::new();
    let none = place.run("pipeline", &["key", "show"]);
    assert_eq!(none.code, Some(66), "{}", none.stderr);
    assert_eq!(place.run("pipeline", &["keygen", "key"]).code, Some(0));
    let mode = std::fs::metadata(place.path("key")).expect("it is made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = place.run("pipeline", &["keygen", "key"]);
    assert_eq!(again.code, Some(74));
    assert_eq!(again.stderr, "pipeline: key is there already; a new key needs a new file\n");
    let shown = place.run("pipeline", &["key", "show", "--key", "key"]);
    let fingerprint = place.run("pipeline", &["key", "fingerprint", "--key", "key"]).stdout;
    assert!(shown.stdout.contains(&format!("fingerprint  {fingerprint}")), "{}", shown.stdout);
    let text = std::fs::read_to_string(place.path("key")).expect("it is made");
    let secret = text.lines().find_map(|line| line.strip_prefix("secret ")).expect("a secret");
    assert!(!shown.stdout.contains(secret));
}

#[test]
fn up_refuses_a_key_that_others_can_read() {
    let place = Place::new();
    let key = place.write("key", format!("public {0}\nsecret {0}\n", "a".repeat(40)));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).expect("own file");
    place.write("t.toml", "source = { kind = \"range\", from = 1, to = 3 }\nstage = [{ name = \"s\", run = \"square\" }]\n");
    let ended = place.run("pipeline", &["up", "t.toml", "--key", "key"]);
    assert_eq!(ended.code, Some(78));
    assert!(
        ended.stderr.contains("others can read ") && ended.stderr.contains("chmod 600"),
        "{}",
        ended.stderr
    );
    assert!(!place.path(".pipeline").exists(), "nothing has begun");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let hand = Hand::over(Transport::Tcp);
    let key = hand.place.write("key", format!("public {0}\nsecret {0}\n", "a".repeat(40)));
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
    wait::until("the worker is refused", || worker.stderr().contains("refused: ").then_some(()));
    insecure.kill();
    let mut sink = hand.sink(&[]);
    let mut ventilator = hand.ventilator("range:1..10", &[]);
    for process in [&mut sink, &mut ventilator, &mut worker] {
        process.ends_well();
    }
    assert_eq!(hand.outcome().count("results"), 10);
}
