//! A mark in the environment, by which a scenario knows everything that it has started.
//!
//! Owns the search for what bears it, whoever its parent is now and whatever it is called; refuses
//! to end anything.

use std::fs;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const VARIABLE: &str = "PIPELINE_TEST_MARK";

/// A mark that nobody else has.
#[derive(Debug)]
pub struct Mark {
    // A folder's name is given out once.
    folder: TempDir,
}

/// A process that bears a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// Its process id.
    pub pid: u32,
    /// Its command line.
    pub command: String,
    /// Whether it is stopped, or can't go on before a child of its that is: who starts a program the
    /// fast way is held by the kernel (`D`) until that has begun.
    pub stopped: bool,
}

impl Mark {
    /// A new one.
    ///
    /// # Panics
    /// When no folder can be made for its name.
    pub fn new() -> Self {
        Mark { folder: tempfile::tempdir().expect("a temporary folder can be made") }
    }

    fn value(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Has a command and everything that it starts bear it.
    pub fn put_on(&self, command: &mut Command) {
        command.env(VARIABLE, self.value());
    }

    /// What bears it and has not ended.
    pub fn bearers(&self) -> Vec<Bearer> {
        let mark = format!("{VARIABLE}={}", self.value());
        pids().filter_map(|pid| bearer(pid, mark.as_bytes())).collect()
    }
}

impl Default for Mark {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // A scenario that fails must leave nothing behind either.
        for bearer in self.bearers() {
            bearer.signal(Signal::KILL);
        }
    }
}

impl Bearer {
    /// Sends it a signal; it may have ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Whether it is one of the programs under test, and not what they have started.
    pub fn is_ours(&self) -> bool {
        let exe = fs::read_link(format!("/proc/{}/exe", self.pid)).unwrap_or_default();
        let name = exe.file_name().unwrap_or_default().to_string_lossy().into_owned();
        ["pipeline", "sink", "ventilator", "worker"].contains(&name.as_str())
    }
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn bearer(pid: u32, mark: &[u8]) -> Option<Bearer> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|byte| *byte == 0).find(|entry| *entry == mark)?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit_once(')')?.1.trim_start().chars().next()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    (state != 'Z' && state != 'X').then_some(Bearer {
        pid,
        command,
        stopped: matches!(state, 'T' | 'D'),
    })
}
