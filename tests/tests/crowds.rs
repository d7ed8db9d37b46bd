//! As many workers as one likes, and as many strangers at the doors, with the few open files that
//! systems grant.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use tests::hand::Hand;
use tests::outcome::{assert_same_lines, json, lines};
use tests::place::{Place, Transport};
use tests::process::Process;
use tests::programs::program;
use tests::{surroundings, wait};

/// To start a thousand processes takes a while on two cores.
const CROWD_PATIENCE: Duration = Duration::from_secs(300);

/// What most systems grant to whoever does not ask for more.
const USUAL: &str = "ulimit -Sn 1024";

/// `pipeline up` with so many local workers at the usual limit; when all of them are there, the
/// source ends. Everybody gets along without a word.
fn gathers(workers: usize) {
    let place = Place::new();
    let topology = format!(
        "source = {{ kind = \"stdin\" }}\nstage = [{{ name = \"s\", run = \"echo\", workers = {workers} }}]\n\
         sink = {{ output = \"out.jsonl\" }}\n"
    );
    place.write("t.toml", topology);
    let args = ["up", "t.toml", "--ephemeral", "--summary", "summary.json"];
    let command = surroundings::command(&place, USUAL, &program("pipeline"), &args);
    let mut run = place.start_with("up", command, Stdio::piped());
    let mut source = run.take_input().expect("a pipe");
    let crowd = format!(" {workers} workers");
    wait::within(CROWD_PATIENCE, "everybody is there", || {
        assert!(run.is_running(), "{}", run.stderr());
        run.stderr().replace(',', "").contains(&crowd).then_some(())
    });
    let units: Vec<String> = (0..20 * workers).map(|number| format!("\"{number}\"")).collect();
    let text: String = units.iter().map(|unit| format!("{}\n", unit.trim_matches('"'))).collect();
    source.write_all(text.as_bytes()).expect("it is read");
    drop(source);
    let ended = run.ends_within(CROWD_PATIENCE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_same_lines(&lines(&place.path("out.jsonl")), &units);
    // On a loaded machine someone may say that it waits for its turn.
    for word in ["socket", "files", "no ventilator", "lost", "ERROR"] {
        assert!(!ended.stderr.contains(word), "{}", ended.stderr);
    }
    assert_eq!(json(&place.path("summary.json"))["dead"], 0);
}

#[test]
fn two_hundred_and_fifty_workers_at_the_usual_limit_of_open_files() {
    gathers(250);
}

#[test]
#[ignore = "half a minute: cargo test --release -p tests --test crowds -- --ignored"]
fn four_hundred_workers_at_the_usual_limit_of_open_files() {
    gathers(400);
}

#[test]
#[ignore = "minutes: cargo test --release -p tests --test crowds -- --ignored"]
fn a_thousand_workers_at_the_usual_limit_of_open_files() {
    gathers(1_000);
}

/// Workers that start after the run is over warn that no ventilator can be reached.
#[test]
fn a_run_that_is_over_before_all_its_workers_have_started_ends_without_them() {
    let place = Place::new();
    place.write(
        "t.toml",
        "source = { kind = \"range\", from = 1, to = 10 }\n\
         stage = [{ name = \"s\", run = \"square\", workers = 400 }]\nsink = { output = \"out.jsonl\" }\n",
    );
    let mut run = place.start("pipeline", &["up", "t.toml", "--ephemeral"]);
    let ended = run.ends_within(CROWD_PATIENCE);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(lines(&place.path("out.jsonl")).len(), 10);
    assert!(!ended.stderr.contains("WARN"), "{}", ended.stderr);
}

/// The least that a process may have open, so that it can be had by few.
const FEW: &str = "ulimit -n 128";
/// As many as wait at one door while nobody opens, and more.
const STRANGERS: usize = 150;

/// One who connects and says nothing.
enum Stranger {
    Near(UnixStream),
    Far(TcpStream),
}

impl Stranger {
    /// None when nobody listens any more, or nobody takes notice.
    fn at(endpoint: &str) -> Option<Self> {
        match endpoint.split_once("://")? {
            ("ipc", path) => UnixStream::connect(path).ok().map(Self::Near),
            (_, address) => {
                let address = address.parse().ok()?;
                TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok().map(Self::Far)
            }
        }
    }

    /// Whether it was turned away: it is told at once, and does not wait for ever.
    fn is_turned_away(&mut self) -> bool {
        let mut word = [0; 64];
        let stream: &mut dyn Read = match self {
            Self::Near(stream) => {
                stream.set_nonblocking(true).expect("a socket");
                stream
            }
            Self::Far(stream) => {
                stream.set_nonblocking(true).expect("a socket");
                stream
            }
        };
        loop {
            match stream.read(&mut word) {
                Ok(0) => return true,
                // A greeting.
                Ok(_) => {}
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
    }
}

/// A sink and a ventilator that may have few files open, each with two doors.
struct House {
    hand: Hand,
    doors: Vec<String>,
    sink: Process,
    ventilator: Process,
}

impl House {
    fn over(transport: Transport) -> Self {
        let hand = Hand::over(transport);
        let more = ["s2", "v2"].map(|name| hand.place.endpoint(transport, name));
        let few = |name: &str, args: &[&str]| {
            let command = surroundings::command(&hand.place, FEW, &program(name), args);
            hand.place.start_command(name, command)
        };
        let (sink, ventilator) = (hand.sink_endpoint(), hand.ventilator_endpoint());
        let mut own = few(
            "sink",
            &[
                "--bind",
                sink,
                "--bind",
                &more[0],
                "--output",
                "out.jsonl",
                "--summary",
                "summary.json",
            ],
        );
        let mut other = few(
            "ventilator",
            &["--bind", ventilator, "--bind", &more[1], "--sink", sink, "--source", "range:1..40"],
        );
        own.is_up();
        other.is_up();
        let [second, fourth] = more;
        let doors = vec![sink.to_owned(), second, ventilator.to_owned(), fourth];
        Self { hand, doors, sink: own, ventilator: other }
    }

    /// So many come to each door that there are not files enough for them, all in one moment.
    fn is_besieged(&mut self) -> Vec<Stranger> {
        for process in [&self.sink, &self.ventilator] {
            process.stop();
        }
        // Whoever finds the queue full waits until the house goes on.
        let doors = self.doors.clone();
        let crowds = doors.into_iter().flat_map(|door| {
            (0..STRANGERS).map(move |_| {
                let door = door.clone();
                std::thread::spawn(move || Stranger::at(&door))
            })
        });
        let crowds: Vec<_> = crowds.collect();
        let queues = || crowds.iter().filter(|crowd| crowd.is_finished()).count() >= 300;
        wait::until("the queues are full", || queues().then_some(()));
        for process in [&self.sink, &self.ventilator] {
            process.go_on();
        }
        crowds.into_iter().filter_map(|stranger| stranger.join().expect("it connects")).collect()
    }

    fn completes(mut self) {
        let mut worker = self.hand.worker(&["--run", "square"]);
        for process in [&mut self.sink, &mut self.ventilator, &mut worker] {
            process.ends_well();
        }
        let squares: Vec<String> = (1_u64..=40).map(|n| (n * n).to_string()).collect();
        assert_same_lines(&lines(&self.hand.output()), &squares);
    }
}

/// On ipc, idle connections at the limit abort the sink; over tcp it spins.
#[test]
fn more_strangers_than_there_are_files_are_turned_away_and_when_they_go_others_come_in() {
    for transport in [Transport::Ipc, Transport::Tcp] {
        let mut house = House::over(transport);
        let mut strangers = house.is_besieged();
        wait::until("there is no more room for anybody", || {
            for process in [&mut house.sink, &mut house.ventilator] {
                let ended = process.has_ended();
                assert_eq!(ended, None, "{}: {}", process.name(), process.stderr());
            }
            let told = "nobody else is let in for now";
            (house.sink.stderr().contains(told) && house.ventilator.stderr().contains(told))
                .then_some(())
        });
        let away =
            || strangers.iter_mut().filter_map(|one| one.is_turned_away().then_some(())).next();
        wait::until("some are turned away", away);
        drop(strangers);
        house.completes();
    }
}
