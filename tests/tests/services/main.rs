//! A service: units come one by one, outcomes go back, and nothing is lost or done twice by it.

mod by_hand;
mod by_name;
mod http;
mod kills;
mod missing;
mod shell;
mod streams;
mod terms;
mod told;

use std::{fs, process::Stdio};

use serde_json::Value;
use tests::place::Place;
use tests::process::{Ended, Process};
use tests::programs::program;
use tests::runs::pipeline;
use tests::wait;

/// A service with this function, which has two workers.
pub fn write(place: &Place, name: &str, run: &str, more: &str) {
    let text = format!(
        "name = \"{name}\"\nsource = {{ kind = \"service\" }}\n[[stage]]\nname = \"s\"\n{run}\nworkers = 2\n{more}"
    );
    place.write(&format!("{name}.toml"), text);
}

/// Starts it; it is there when it takes clients.
pub fn start(place: &Place, name: &str) -> Process {
    let mut up = place.start("pipeline", &["up", &format!("{name}.toml")]);
    wait::until("it is there", || {
        up.is_up();
        (pipeline(place, &["tickets", name]).code == Some(0)).then_some(())
    });
    up
}

/// A service that notes what it begins, and finishes nothing before there is the file `go`.
pub fn held(place: &Place) -> Process {
    let script = "echo {} >> begun; while [ ! -e go ]; do sleep 0.02; done; echo {}";
    write(place, "held", &format!("exec = [\"sh\", \"-c\", '''{script}''']"), "");
    start(place, "held")
}

/// `pipeline call`, to its end.
pub fn call(place: &Place, args: &[&str]) -> Ended {
    pipeline(place, &[&["call"], args].concat())
}

/// What a program prints that is given these lines.
pub fn fed(place: &Place, args: &[&str], lines: &str) -> Ended {
    let input = place.write("input", lines);
    let mut command = place.command(program("pipeline"));
    command.args(args);
    let input = Stdio::from(fs::File::open(input).expect("it was written"));
    place.start_with("fed", command, input).ends()
}

/// What waits in a service, and what it keeps.
pub fn standing(place: &Place, name: &str) -> Value {
    let told = pipeline(place, &["tickets", name, "--output", "json"]);
    serde_json::from_str(&told.stdout).unwrap_or_default()
}

/// A client that submits the lines of a file, which are JSON.
pub fn client(place: &Place, name: &str, more: &[&str]) -> Process {
    let mut command = place.command(program("pipeline"));
    command.args([&["submit", name, "--jsonl", "--client", "c"], more].concat());
    let input = fs::File::open(place.path("numbers")).expect("it was written");
    place.start_with("submit", command, input.into())
}
