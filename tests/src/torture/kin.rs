//! The processes that a launcher has started, as the system lists them.
//!
//! Owns the reading of `/proc`, and that a process id which is given out again is never taken for
//! the process that had it before.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::schedule::Role;

/// One process: its id, and when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kin {
    pid: u32,
    began: u64,
}

/// A process with a role in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Which process.
    pub kin: Kin,
    /// Its role.
    pub role: Role,
}

struct Stat {
    state: char,
    parent: u32,
    began: u64,
}

impl Kin {
    /// Its process id.
    pub fn pid(self) -> u32 {
        self.pid
    }

    /// When it began, on the system's own scale.
    pub fn began(self) -> u64 {
        self.began
    }

    /// The process that has this id now.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = stat(pid)?;
        (stat.state != 'Z').then_some(Kin { pid, began: stat.began })
    }

    /// Whether it still runs, or is stopped.
    pub fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends it a signal; whether it was there.
    pub fn signal(self, signal: Signal) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        self.lives() && pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }
}

/// The children of a launcher that have taken up their roles.
pub fn members(launcher: u32) -> Vec<Member> {
    let member = |pid| {
        let stat = stat(pid).filter(|stat| stat.parent == launcher && stat.state != 'Z')?;
        Some(Member { kin: Kin { pid, began: stat.began }, role: role(pid)? })
    };
    pids().filter_map(member).collect()
}

/// A launcher and its children with the states that the system gives them, in words.
pub fn states(launcher: u32) -> String {
    let state = |pid| stat(pid).map_or('-', |stat| stat.state);
    let mut words = format!("launcher {launcher} {}", state(launcher));
    for Member { kin, role } in members(launcher) {
        words += &format!(", {role} {} {}", kin.pid, state(kin.pid));
    }
    words
}

/// Every process that was started to keep its sockets in `folder`, whoever its parent is now.
pub fn dwellers(folder: &Path) -> Vec<u32> {
    let mark = format!("XDG_RUNTIME_DIR={}", folder.display());
    let lives_there = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
            && Kin::of(*pid).is_some()
    };
    pids().filter(lives_there).collect()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in parentheses and may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let began = fields.nth(17)?.parse().ok()?;
    Some(Stat { state, parent, began })
}

fn role(pid: u32) -> Option<Role> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    match line.split(|byte| *byte == 0).nth(1)? {
        b"sink" => Some(Role::Sink),
        b"ventilator" => Some(Role::Ventilator),
        b"worker" => Some(Role::Worker),
        _ => None,
    }
}
