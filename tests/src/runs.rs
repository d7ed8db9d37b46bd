//! Runs that are found and steered from elsewhere.
//!
//! Owns how a scenario starts one that goes on until it is let go, and asks `pipeline ps` about it.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::place::Place;
use crate::process::Ended;
use crate::wait;

/// A file of this name lets the units go, each of which notes in `begun` that it was begun.
pub const GO: &str = "go";

/// A topology of so many units, none of which is done before [`GO`] is there.
pub fn held(place: &Place, name: &str, units: usize) -> PathBuf {
    let script =
        format!("echo $1 >> {name}.begun; until test -e {GO}; do sleep 0.01; done; echo $1");
    topology(place, name, units, &script)
}

/// A topology of so many units that take a few milliseconds each.
pub fn slow(place: &Place, name: &str, units: usize) -> PathBuf {
    topology(place, name, units, &format!("echo $1 >> {name}.begun; sleep 0.02; echo $1"))
}

fn topology(place: &Place, name: &str, units: usize, script: &str) -> PathBuf {
    let text = format!(
        "name = \"{name}\"\n[source]\nkind = \"range\"\nfrom = 1\nto = {units}\n[[stage]]\nname = \"s\"\nworkers = 2\n\
         exec = [\"sh\", \"-c\", {script:?}, \"sh\", \"{{}}\"]\n[sink]\noutput = \"{name}.jsonl\"\n"
    );
    place.write(&format!("{name}.toml"), text)
}

/// The units that were begun, in order.
pub fn begun(place: &Place, name: &str) -> Vec<String> {
    let begun = fs::read_to_string(place.path(&format!("{name}.begun"))).unwrap_or_default();
    begun.lines().map(str::to_owned).collect()
}

/// The runs that go on, as `pipeline ps` tells programs.
///
/// # Panics
/// When it fails.
pub fn ps(place: &Place) -> Vec<Value> {
    let told = pipeline(place, &["ps", "--output", "json"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    serde_json::from_str(&told.stdout).expect("an array")
}

/// Waits until the only run that goes on is so.
pub fn until(place: &Place, what: &str, mut is_so: impl FnMut(&Value) -> bool) {
    wait::until(what, || match &ps(place)[..] {
        [run] if is_so(run) => Some(()),
        _ => None,
    });
}

/// Runs a command to its end.
pub fn pipeline(place: &Place, args: &[&str]) -> Ended {
    place.run("pipeline", args)
}

/// What is listed of runs, dead or alive.
pub fn entries(place: &Place) -> Vec<PathBuf> {
    let folder = place.config().join("state/pipeline/runs");
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|file| file.path()).collect()
}

/// The child of a process that plays this role, the first if there are several.
pub fn child_of(pid: u32, role: &str) -> Option<u32> {
    children_of(pid, role).into_iter().next()
}

/// Kills a process that this test has started, or that was started by one.
pub fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::KILL).expect("it is ours");
}

/// All children of a process that play this role.
pub fn children_of(pid: u32, role: &str) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    let plays = |child: &u32| {
        let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).split('\0').nth(1) == Some(role)
    };
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).filter(plays).collect()
}
