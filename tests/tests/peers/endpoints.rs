//! Every form of endpoint that ZeroMQ documents works between the three programs, or is refused by
//! name before anything else happens.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use tests::hand::Hand;
use tests::outcome::lines;
use tests::place::{Place, Transport};
use tests::{programs, wait};

/// The ports of two addresses that nobody else uses.
fn ports(place: &Place) -> [u16; 2] {
    ["v", "s"].map(|name| {
        let endpoint = place.endpoint(Transport::Tcp, name);
        endpoint.rsplit(':').next().and_then(|port| port.parse().ok()).expect("it has a port")
    })
}

/// Names that programs know: those of a file, or if that has no name the machine's.
struct Naming(String);

impl Naming {
    fn wrapped(&self, place: &Place, program: &Path, args: &[&str]) -> Command {
        if self.0.is_empty() {
            let mut command = place.command(program);
            command.args(args);
            return command;
        }
        let mut command = place.command("unshare");
        let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        command.args(["--mount", "sh", "-c", script, &self.0]).arg(program).args(args);
        command
    }

    fn works(&self) -> bool {
        let place = Place::new();
        self.wrapped(&place, Path::new("true"), &[]).status().is_ok_and(|status| status.success())
    }
}

/// Runs the three programs, listening at the first host and found at the second.
fn meet(place: &Place, listen: &str, reach: &str) {
    meet_as(place, &Naming(String::new()), listen, reach);
}

fn meet_as(place: &Place, naming: &Naming, listen: &str, reach: &str) {
    let [v, s] = ports(place);
    let at = |host: &str, port: u16| format!("tcp://{host}:{port}");
    let (v_bind, s_bind) = (at(listen, v), at(listen, s));
    let (v_at, s_at) = (at(reach, v), at(reach, s));
    let out = format!("{v}.jsonl");
    let start = |program: &str, args: &[&str]| {
        let command = naming.wrapped(place, &programs::program(program), args);
        place.start_command(program, command)
    };
    let mut sink = start("sink", &["--bind", &s_bind, "--output", &out]);
    let source = ["--bind", &v_bind, "--sink", &s_at, "--source", "range:1..9"];
    let mut ventilator = start("ventilator", &source);
    let mut worker = start("worker", &["--ventilator", &v_at, "--run", "square"]);
    for process in [&mut sink, &mut ventilator, &mut worker] {
        process.ends_well();
    }
    assert_eq!(lines(&place.path(&out)).len(), 9, "{listen}, {reach}");
}

/// Names, all addresses of a machine.
#[test]
fn the_programs_meet_at_names_and_all_addresses() {
    let place = Place::new();
    for (listen, reach) in
        [("localhost", "localhost"), ("*", "127.0.0.1"), ("*", "*"), ("0.0.0.0", "localhost")]
    {
        meet(&place, listen, reach);
    }
}

/// IPv6 by address, by a name that has both kinds, and on a machine that listens at everything.
#[test]
fn the_programs_meet_over_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: this machine has no IPv6");
        return;
    }
    let place = Place::new();
    for (listen, reach) in [("[::1]", "[::1]"), ("*", "[::1]"), ("[::]", "127.0.0.1")] {
        meet(&place, listen, reach);
    }
}

/// Names that have addresses of both kinds, of which one is listened at, or of one only.
#[test]
fn the_programs_meet_at_names_of_any_kind_of_address() {
    let place = Place::new();
    let hosts = "127.0.0.1 localhost both four\n::1 both six\n";
    let naming = Naming(place.write("hosts", hosts).display().to_string());
    if TcpListener::bind("[::1]:0").is_err() || !naming.works() {
        eprintln!("SKIPPED: names need IPv6 and a mount namespace, and so root");
        return;
    }
    for (listen, reach) in
        [("[::1]", "six"), ("[::1]", "both"), ("127.0.0.1", "both"), ("*", "six")]
    {
        meet_as(&place, &naming, listen, reach);
    }
}

/// A free port is of use only to those who are told which it is.
#[test]
fn a_free_port_is_told_to_people() {
    let place = Place::new();
    for any in ["tcp://127.0.0.1:*", "tcp://127.0.0.1:0", "tcp://localhost:*"] {
        let out = format!("{}.jsonl", any.len());
        let mut sink = place.start("sink", &["--bind", any, "--output", &out, "--overwrite"]);
        let told = |stderr: String| {
            let (_, after) = stderr.split_once("listening at ")?;
            Some(after.split(": a free").next()?.to_owned())
        };
        let s = wait::until("the sink says where it listens", || told(sink.stderr()));
        let source = ["--bind", any, "--sink", &s, "--source", "range:1..9"];
        let mut ventilator = place.start("ventilator", &source);
        let v = wait::until("the ventilator says where", || told(ventilator.stderr()));
        let mut worker = place.start("worker", &["--ventilator", &v, "--run", "square"]);
        for process in [&mut sink, &mut ventilator, &mut worker] {
            process.ends_well();
        }
    }
}

/// A relative path means the same socket to a process in another folder.
#[test]
fn a_worker_in_another_folder_finds_the_sink_of_a_relative_path() {
    let place = Place::new();
    fs::create_dir(place.path("other")).expect("a folder can be made");
    let mut sink = place.start("sink", &["--bind", "ipc://s", "--output", "out.jsonl"]);
    let source = ["--bind", "ipc://v", "--sink", "ipc://s", "--source", "range:1..9"];
    let mut ventilator = place.start("ventilator", &source);
    let mut command = place.command(programs::program("worker"));
    command.current_dir(place.path("other"));
    command.args(["--ventilator", "ipc://../v", "--run", "square"]);
    let mut worker = place.start_command("worker", command);
    for process in [&mut sink, &mut ventilator, &mut worker] {
        process.ends_well();
    }
    assert_eq!(lines(&place.path("out.jsonl")).len(), 9);
}

/// What is refused in each place of a command line, with words of the reason.
const REFUSED: &[(&str, &str)] = &[
    ("localhost:5557", "write tcp://HOST:PORT"),
    ("TCP://a:1", "in small letters"),
    ("tcp://a", "needs a port"),
    ("tcp://a:65536", "from 1 to 65535"),
    ("tcp://a:1/", "without a path"),
    ("tcp://192.168.1.17:5555;192.168.1.1:5555", "to connect from"),
    ("tcp://::1:5557", "in brackets"),
    ("tcp://[fe80::1%eth0]:5557", "one link only"),
    ("ipc://@abstract", "no socket that has an owner"),
    ("ipc://*", "no socket that has an owner"),
    ("ipc:///tmp/", "names a folder"),
    ("inproc://a", "its own process only"),
    ("udp://127.0.0.1:1", "udp:// is not used"),
    ("epgm://eth0;239.192.1.1:1", "epgm:// is not used"),
    ("ws://127.0.0.1:1", "ws:// is not used"),
];

#[test]
fn every_flag_refuses_by_name_what_is_of_no_use_there() {
    let place = Place::new();
    let refused = |command: &[&str], endpoint: &str, words: &str| {
        let ended = place.run(command[0], &[&command[1..], &[endpoint]].concat());
        assert_eq!(ended.code, Some(64), "{command:?} {endpoint}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{command:?} {endpoint}: {}", ended.stderr);
        assert!(ended.stderr.contains(endpoint), "{}", ended.stderr);
    };
    let source = ["ventilator", "--source", "range:1..3"];
    let listening: &[&[&str]] = &[
        &["sink", "--bind"],
        &[&source[..], &["--sink", "ipc://s", "--bind"]].concat(),
        &["worker", "--ventilator", "ipc://v", "--run", "square", "--bind"],
    ];
    let elsewhere: &[&[&str]] = &[
        &[&source[..], &["--bind", "ipc://v", "--sink"]].concat(),
        &["worker", "--run", "square", "--ventilator"],
    ];
    let told: &[&[&str]] = &[
        &[&source[..], &["--bind", "ipc://v", "--sink", "ipc://s", "--advertise"]].concat(),
        &["worker", "--ventilator", "ipc://v", "--run", "square", "--advertise"],
    ];
    for (number, (endpoint, words)) in REFUSED.iter().enumerate() {
        refused(listening[number % listening.len()], endpoint, words);
        refused(elsewhere[number % elsewhere.len()], endpoint, words);
        refused(told[number % told.len()], endpoint, words);
    }
    for command in elsewhere.iter().chain(told) {
        refused(command, "tcp://127.0.0.1:*", "nobody can connect");
    }
    told.iter().for_each(|command| refused(command, "tcp://*:5557", "says nothing to them"));
}

/// The same in a topology, at `check`.
#[test]
fn check_refuses_by_name_where_a_topology_cannot_listen() {
    let place = Place::new();
    for (endpoint, words) in REFUSED.iter().chain(&[
        ("tcp://*:*", "a port from 1 to 65534"),
        ("tcp://*:65535", "a port from 1 to 65534"),
        ("ipc:///run/v", "out of reach for other machines"),
        ("tcp://a\\u0000b:1", "a character"),
    ]) {
        let topology = place.write(
            "t.toml",
            format!(
                "bind = \"{endpoint}\"\n[source]\nkind = \"range\"\nfrom = 1\nto = 3\n\
                 [[stage]]\nname = \"s\"\nrun = \"square\"\n"
            ),
        );
        let ended = place.run("pipeline", &["check", &topology.display().to_string()]);
        assert_eq!(ended.code, Some(78), "{endpoint}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{endpoint}: {}", ended.stderr);
    }
}

/// What only this machine can tell: hosts that it does not have, folders that are not there, paths
/// that are too long with their folders.
#[test]
fn where_nobody_can_listen_is_told_at_the_start() {
    let hand = Hand::over(Transport::Ipc);
    let place = &hand.place;
    let deep = place.path(&"d".repeat(110));
    fs::create_dir(&deep).expect("a folder can be made");
    let start = |folder: &Path, endpoint: &str| -> Command {
        let mut command = place.command(programs::program("sink"));
        command.current_dir(folder).args(["--bind", endpoint]);
        command
    };
    // So long a name is not even asked for.
    let nowhere = format!("tcp://{}:1", "x".repeat(64));
    for (folder, endpoint, words) in [
        (place.folder(), "ipc://missing/s", "there is no folder"),
        (&deep, "ipc://s", "with its folders that path has"),
        (place.folder(), &nowhere, "no name that this machine knows"),
        (place.folder(), "tcp://lo:1", "where it is an interface"),
    ] {
        let ended = place.start_command("sink", start(folder, endpoint)).ends();
        assert_eq!(ended.code, Some(74), "{endpoint}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{endpoint}: {}", ended.stderr);
    }
}
