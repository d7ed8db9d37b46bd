//! What the system's table of processes says.
//!
//! Owns the reading of `/proc`; refuses to do anything to a process. What is read may be out of
//! date at once: processes start and end meanwhile.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::OnceLock,
};

use rustix::process::{Pid, getpid};

/// Whether a process does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It runs, or waits for something.
    Alive,
    /// It was stopped, and may go on.
    Stopped,
    /// It has ended; its parent has not looked yet.
    Ended,
}

struct Known {
    state: State,
    parent: i32,
}

/// A process as text names it.
fn parse(text: &str) -> Option<Pid> {
    i32::from_str(text).ok().and_then(Pid::from_raw)
}

fn folder(pid: Pid) -> PathBuf {
    Path::new("/proc").join(pid.as_raw_nonzero().to_string())
}

fn entry(pid: Pid) -> Option<Known> {
    let text = fs::read_to_string(folder(pid).join("stat")).ok()?;
    // The name of the program stands in parentheses and may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = match fields.next()? {
        "T" | "t" => State::Stopped,
        "Z" | "X" => State::Ended,
        _ => State::Alive,
    };
    Some(Known { state, parent: fields.next()?.parse().ok()? })
}

/// How a process is; one that is not there has ended.
pub(super) fn state(pid: Pid) -> State {
    entry(pid).map_or(State::Ended, |entry| entry.state)
}

/// Every process that can be seen.
fn all() -> impl Iterator<Item = Pid> {
    numbers(Path::new("/proc"))
}

fn numbers(folder: &Path) -> impl Iterator<Item = Pid> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| parse(entry.file_name().to_str()?))
}

/// The children of one thread of a process.
fn children_of_thread(pid: Pid, thread: Pid) -> Vec<Pid> {
    let path = folder(pid).join("task").join(thread.as_raw_nonzero().to_string()).join("children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(parse).collect()
}

/// Whether the kernel lists the children of each thread (`CONFIG_PROC_CHILDREN`).
fn lists_children() -> bool {
    static LISTS: OnceLock<bool> = OnceLock::new();
    let me = getpid();
    let path = || folder(me).join("task").join(me.as_raw_nonzero().to_string()).join("children");
    *LISTS.get_or_init(|| path().is_file())
}

/// The children of a process.
pub(super) fn children(pid: Pid) -> Vec<Pid> {
    if lists_children() {
        let threads = numbers(&folder(pid).join("task"));
        return threads.flat_map(|thread| children_of_thread(pid, thread)).collect();
    }
    let raw = pid.as_raw_nonzero().get();
    all().filter(|child| entry(*child).is_some_and(|entry| entry.parent == raw)).collect()
}

/// The children of this process's main thread, to which those that lose their parent are given.
pub(super) fn children_of_main() -> Vec<Pid> {
    match lists_children() {
        true => children_of_thread(getpid(), getpid()),
        false => children(getpid()),
    }
}

/// Everything that descends from `root`, parents before their children; not `spared`, nor what
/// descends from that.
pub(super) fn below(root: Pid, spared: Option<Pid>) -> Vec<Pid> {
    let mut seen: BTreeSet<i32> = [root, spared.unwrap_or(root)].map(raw).into();
    let (mut found, mut parents) = (Vec::new(), vec![root]);
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            if seen.insert(raw(child)) {
                found.push(child);
                parents.push(child);
            }
        }
    }
    found
}

/// A process id as a number.
pub(super) fn raw(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

/// Whether a process was started with this entry, `NAME=value`, in its environment.
#[cfg(feature = "cli")]
pub(super) fn is_marked(pid: Pid, mark: &str) -> bool {
    let environment = fs::read(folder(pid).join("environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
}

/// Every process that was started with it.
#[cfg(feature = "cli")]
pub(super) fn marked(mark: &str) -> Vec<Pid> {
    all().filter(|pid| is_marked(*pid, mark)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        process::{Command, Stdio},
        time::{Duration, Instant},
    };

    #[test]
    fn what_a_child_has_started_is_below_this_process_and_bears_its_mark() {
        let mark = format!("PIPELINE_TABLE_TEST={}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 1000 & echo $!; wait"])
            .env(name, value)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = shell.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        let (shell_pid, sleep) = (Pid::from_child(&shell), parse(line.trim()).unwrap());
        let found = below(getpid(), None);
        let at = |pid| found.iter().position(|other| *other == pid).unwrap();
        assert!(at(shell_pid) < at(sleep));
        assert!(!below(getpid(), Some(shell_pid)).contains(&sleep));
        // A process has no environment while its program is being replaced by another one.
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_marked(sleep, &mark) {
            assert!(Instant::now() < deadline, "it never bears the mark");
            std::thread::yield_now();
        }
        assert!(marked(&mark).contains(&shell_pid));
        assert_eq!(state(sleep), State::Alive);
        for pid in [sleep, shell_pid] {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        shell.wait().unwrap();
        assert_eq!(state(shell_pid), State::Ended);
    }
}
