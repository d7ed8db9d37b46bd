//! A case that is run with a strike in it, run again until it is complete, and judged.
//!
//! Owns what has to hold: it ends, with the exit code that was promised; the same command
//! completes it; what it gave is what a calm run gives; nobody and nothing is left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::point::{Point, Reach, Role};
use super::shim::{Shim, Trace};
use crate::cases::{self, Case, Taken};
use crate::place::Place;
use crate::process::Ended;
use crate::torture::{Trouble, kin, trial};
use crate::wait;

/// A run in which no file changes for so long has come to a standstill.
const STANDSTILL: Duration = Duration::from_secs(60);
/// Who is orphaned is gone within this time.
const DYING: Duration = Duration::from_secs(30);
/// Exit codes that an error of the disk may end a run with: an output, the source or the run
/// directory; a folder or socket.
const DISK_CODES: [i32; 2] = [74, 71];
/// A further one, where the topology can't be read.
const UNREAD_CODE: i32 = 78;
/// How the private folder of a launcher is called.
const PRIVATE: &str = "pipeline-";
/// How input by a pipe arrives.
const INPUT_LASTS: Duration = Duration::from_millis(30);

/// Where points of one case are tried.
#[derive(Debug)]
pub struct Site<'a> {
    /// Where files are.
    pub place: &'a Place,
    /// Who strikes.
    pub shim: &'a Shim,
    /// What is run.
    pub case: &'a Case,
}

/// What came of a point that went well.
#[derive(Debug, Clone)]
pub struct Struck {
    /// Where it was, in words; fewer than asked for when there were not so many operations.
    pub strikes: Vec<String>,
    /// The exit codes of the launchers; `None` for one that was killed.
    pub codes: Vec<Option<i32>>,
}

impl Site<'_> {
    /// Runs the case without strikes: what it gives, and what each role did to files.
    ///
    /// # Errors
    /// [`Trouble`] when even that goes wrong.
    pub fn calm(&self) -> Result<(Taken, BTreeMap<String, Vec<Trace>>), Trouble> {
        let (folder, state) = self.folders(&format!("{}-calm", self.case.name));
        self.case.lay_out(&folder);
        let mut command = self.case.up(self.place, &folder);
        self.shim.watch(&mut command, &folder, &state);
        let ended = self.run(command, &folder)?;
        self.complete(&folder, &ended)?;
        let taken = self.judge(&folder)?;
        is_clean(&folder, 0)?;
        Ok((taken, Shim::traces(&state)))
    }

    /// Tries `point` in a folder called `name`, and compares with what a calm run gave.
    ///
    /// # Errors
    /// [`Trouble`] when anything is not as it has to be.
    pub fn strike(&self, name: &str, point: &Point, calm: &Taken) -> Result<Struck, Trouble> {
        let (folder, state) = self.folders(name);
        self.case.lay_out(&folder);
        let mut codes = Vec::new();
        // A strike may end a launcher each; the last one is not struck.
        for _ in 0..=point.at.len() {
            let before = Shim::strikes(&state).len();
            let mut command = self.case.up(self.place, &folder);
            if before == codes.len() && before < point.at.len() {
                self.shim.strike(&mut command, &folder, &state, point);
            }
            let ended = self.run(command, &folder)?;
            codes.push(ended.code);
            if ended.code == Some(self.case.code) {
                break;
            }
            let strike = Shim::strikes(&state).get(before).cloned();
            if !strike.is_some_and(|strike| may_end_so(point, &strike, ended.code)) {
                self.complete(&folder, &ended)?;
            }
        }
        if codes.last() != Some(&Some(self.case.code)) {
            let ended = self.run(self.case.up(self.place, &folder), &folder)?;
            self.complete(&folder, &ended)?;
            codes.push(ended.code);
        }
        self.judge(&folder)?.same_as(calm)?;
        let strikes = Shim::strikes(&state);
        let killed = codes.iter().filter(|code| code.is_none()).count();
        // What could not be removed stays.
        let kept = strikes.iter().filter(|strike| !point.how.kills() && removes(strike)).count();
        is_clean(&folder, killed + kept)?;
        Ok(Struck { strikes, codes })
    }

    /// Removes what a point that went well has left.
    pub fn clear(&self, name: &str) {
        let (folder, state) = self.folders(name);
        let _ = std::fs::remove_dir_all(folder);
        let _ = std::fs::remove_dir_all(state);
    }

    fn folders(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.place.path(name), self.place.path(&format!("{name}-state")))
    }

    /// Runs a launcher to its end, and waits for whoever it leaves.
    fn run(&self, command: Command, folder: &Path) -> Result<Ended, Trouble> {
        let mut launcher = cases::start(self.case, self.place, folder, command, INPUT_LASTS);
        let mut changed = (wait::traces_of(folder), Instant::now());
        while launcher.is_running() {
            let now = wait::traces_of(folder);
            if now != changed.0 {
                changed = (now, Instant::now());
            }
            if changed.1.elapsed() > STANDSTILL {
                let states = kin::states(launcher.id());
                return Err(Trouble::Standstill { bytes: changed.0.bytes, states });
            }
            wait::pace(Duration::from_millis(5), || false);
        }
        let dying = Instant::now();
        loop {
            let pids = kin::dwellers(folder);
            if pids.is_empty() {
                return Ok(launcher.ends());
            }
            if dying.elapsed() > DYING {
                return Err(Trouble::LeftBehind { pids });
            }
            wait::pace(Duration::from_millis(5), || false);
        }
    }

    fn complete(&self, folder: &Path, ended: &Ended) -> Result<(), Trouble> {
        if ended.code == Some(self.case.code) {
            return Ok(());
        }
        let program = format!("pipeline up in {}", folder.display());
        let last_words = trial::last_words(&ended.stderr);
        Err(Trouble::Code { program, code: ended.code, last_words })
    }

    fn judge(&self, folder: &Path) -> Result<Taken, Trouble> {
        if !folder.join(cases::SUMMARY).exists() {
            // It was killed when all was done: the same command says so again.
            let ended = self.run(self.case.up(self.place, folder), folder)?;
            self.complete(folder, &ended)?;
        }
        let run_dir = self.case.run_dir_in(folder).display().to_string();
        let verified = self.place.run("pipeline", &["verify", &run_dir]);
        if verified.code != Some(0) {
            let findings = verified.stdout + &verified.stderr;
            return Err(Trouble::Verify { findings });
        }
        Taken::read(self.case, folder)
    }
}

/// Whether a launcher may end so where `point` struck, in words `strike`.
fn may_end_so(point: &Point, strike: &str, code: Option<i32>) -> bool {
    let reads = ["read", "pread", "open"].contains(&operation(strike));
    match code {
        None => point.how.kills() && (point.role == Role::Launcher || point.reach == Reach::Run),
        Some(_) if point.how.kills() || point.how.is_harmless() => false,
        Some(code) => DISK_CODES.contains(&code) || (reads && code == UNREAD_CODE),
    }
}

/// Whether it struck the removal of something; a folder is opened for that.
fn removes(strike: &str) -> bool {
    let is_private = || strike.rsplit('/').next().is_some_and(|name| name.starts_with(PRIVATE));
    ["unlink", "rmdir"].contains(&operation(strike)) || operation(strike) == "open" && is_private()
}

/// A strike is told as `12 write /path`.
fn operation(strike: &str) -> &str {
    strike.split(' ').nth(1).unwrap_or_default()
}

/// Whether every launcher that was not killed has removed its private folder. Those of the others go with
/// the first launcher that comes a minute later.
fn is_clean(folder: &Path, killed: usize) -> Result<(), Trouble> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names: Vec<String> = names.filter(|name| name.starts_with(PRIVATE)).collect();
    if names.len() > killed { Err(Trouble::Litter { names }) } else { Ok(()) }
}
