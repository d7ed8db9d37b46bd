//! Windows on a run stay open while its processes are killed, and tell when the launcher is.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::http::Page;
use tests::mark::Mark;
use tests::place::Place;
use tests::process::Process;
use tests::runs::{child_of, entries, ps};
use tests::terminal::{Shown, Terminal};
use tests::{programs, wait};

/// Three stages, with more units than a scenario lasts; each eighth says that it was begun, which leaves what else is
/// said on the page for a while.
const TOPOLOGY: &str = r#"name = "t"
[source]
kind = "range"
from = 1
to = 1000000
[[stage]]
name = "s"
workers = 2
exec = ["sh", "-c", "test $(($1 % 8)) != 0 || echo began $1 >&2; sleep 0.02; echo $1", "sh", "{}"]
[[stage]]
name = "next"
workers = 1
run = "echo"
[[stage]]
name = "last"
workers = 1
run = "echo"
[sink]
output = "t.jsonl"
"#;

/// What a launcher says of a process that was killed.
const DEATH: &str = "was ended by SIGKILL; it is started again";
const WINDOWS: [&str; 5] = ["top", "page", "logs", "tap", "ps"];
/// Units that each window has to show more, after each kill.
const NEWS: u64 = 20;

/// The picture that came last over `/events`, by those who watch until the other side ends.
struct Events {
    last: Arc<Mutex<(String, Value)>>,
    // All lines that told of somebody's death.
    deaths: Arc<Mutex<BTreeSet<String>>>,
    watching: Option<JoinHandle<()>>,
}

impl Events {
    fn of(page: &Page) -> Self {
        let last = Arc::new(Mutex::new((String::new(), Value::Null)));
        let deaths = Arc::new(Mutex::new(BTreeSet::new()));
        let (events, seen, died) = (page.events(), last.clone(), deaths.clone());
        let watching = thread::spawn(move || {
            for (name, data) in events {
                let picture: Value = serde_json::from_str(&data).expect("JSON");
                let lines = picture["lines"].as_array().into_iter().flatten();
                let texts = lines.filter_map(|line| line["text"].as_str());
                let told = texts.filter(|text| text.contains(DEATH)).map(str::to_owned);
                died.lock().expect("no thread panics with it").extend(told);
                *seen.lock().expect("no thread panics with it") = (name, picture);
            }
        });
        Self { last, deaths, watching: Some(watching) }
    }

    /// Whether the death of a process whose name begins so was told.
    fn has_told(&self, name: &str) -> Option<()> {
        let deaths = self.deaths.lock().expect("no thread panics with it");
        deaths.iter().any(|line| line.starts_with(name)).then_some(())
    }

    fn last(&self) -> (String, Value) {
        self.last.lock().expect("no thread panics with it").clone()
    }

    fn ends(mut self) -> (String, Value) {
        let watching = self.watching.take().expect("it ends once");
        wait::until("the events end", || watching.is_finished().then_some(()));
        watching.join().expect("the events are read to their end");
        self.last()
    }
}

/// All that can be looked at of one run.
struct Windows<'a> {
    place: &'a Place,
    top: Shown,
    events: Events,
    logs: Process,
    tap: Process,
}

impl<'a> Windows<'a> {
    fn open(place: &'a Place, up: &Process, terminal: &Terminal) -> Self {
        let mut top = place.command(programs::program("pipeline"));
        top.arg("top").env("TERM", "xterm");
        Self {
            place,
            top: terminal.start_shown(&top, 80, 24),
            events: Events::of(&Page::of(up)),
            logs: place.start("pipeline", &["logs", "t.toml", "-f"]),
            tap: place.start("pipeline", &["tap", "--stage", "s", "--rate", "1000"]),
        }
    }

    /// How many units one of them tells, if it tells any.
    fn figure(&self, window: &str) -> Option<u64> {
        let digits = |text: &str| text.replace(',', "").parse::<u64>().ok();
        let began = |line: &str| digits(line.rsplit_once(" began ")?.1);
        let passed =
            |line: &str| digits(serde_json::from_str::<Value>(line).ok()?["unit"].as_str()?);
        match window {
            "top" => digits(self.top.text().split_once(": ")?.1.split(' ').next()?),
            "page" => self.events.last().1["status"]["done"].as_u64(),
            "logs" => self.logs.stdout().lines().filter_map(began).max(),
            "tap" => self.tap.stdout().lines().filter_map(passed).max(),
            "ps" => ps(self.place).first()?["done"].as_u64(),
            _ => panic!("{window} is no window"),
        }
    }

    /// Each shows units that none has shown before.
    fn go_on(&self, after: &str) {
        let before = WINDOWS.iter().filter_map(|window| self.figure(window)).max();
        let wanted = before.unwrap_or_default() + NEWS;
        for window in WINDOWS {
            let goes_on = || (self.figure(window) >= Some(wanted)).then_some(());
            wait::until(&format!("{window} goes on {after}"), goes_on);
        }
    }
}

/// Kills a process of the run, and waits until another one has its place.
fn kill(up: &Process, role: &str) {
    let killed = child_of(up.id(), role).expect("it is there");
    let pid = Pid::from_raw(killed as i32).expect("no zero");
    kill_process(pid, Signal::KILL).expect("it is there");
    wait::until("another one is there", || child_of(up.id(), role).filter(|now| *now != killed));
}

#[test]
fn windows_go_on_over_every_death_and_tell_that_of_the_launcher() {
    let (place, mark, terminal) = (Place::new(), Mark::new(), Terminal::new());
    place.write("t.toml", TOPOLOGY);
    let mut command = place.command(programs::program("pipeline"));
    command.args(["up", "t.toml", "--http", "127.0.0.1:0"]);
    mark.put_on(&mut command);
    let mut up = place.start_command("up", command);
    wait::until("it runs", || ps(&place).first().filter(|run| run["workers"] == 4).map(drop));
    let mut windows = Windows::open(&place, &up, &terminal);
    windows.go_on("at the beginning");
    for (role, name) in [("worker", ""), ("sink", "sink "), ("ventilator", "ventilator ")] {
        kill(&up, role);
        windows.go_on(&format!("over the death of a {role}"));
        // Who looks on is told what happened, and that it is mended.
        wait::until("the page tells it", || windows.events.has_told(name));
        let told = |line: &str| line.contains(DEATH) && line.contains(name);
        wait::until("logs tell it", || windows.logs.stdout().lines().any(told).then_some(()));
    }
    let picture = windows.top.text();
    for part in ["t running: ", "> s ", "  next ", "  last ", "OLDEST UNIT", " s-1 ", " last-1 "] {
        assert!(picture.contains(part), "{part}\n{picture}");
    }

    up.kill();
    let died = format!("process {}, has died", up.id());
    wait::until("top ends", || windows.top.has_ended());
    wait::until("top tells it", || windows.top.sent().contains(&died).then_some(()));
    for window in [&mut windows.tap, &mut windows.logs] {
        let ended = window.ends();
        assert!(ended.code == Some(0) && ended.stderr.contains(&died), "{}", ended.stderr);
    }
    assert_eq!(windows.events.ends().0, "run", "nobody has said that it was over");
    assert_eq!(ps(&place), [Value::Null; 0]);
    assert!(entries(&place).is_empty());
    wait::until("nothing of the run is left", || mark.bearers().is_empty().then_some(()));
    assert!(fs::exists(place.path("t.jsonl")).expect("a folder"), "what it gave is kept");
}
