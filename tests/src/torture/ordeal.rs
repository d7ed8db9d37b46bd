//! One run of a topology with faults.
//!
//! Owns the launcher's process, the carrying out of a schedule, and the watching for a standstill.
//! Refuses to judge what came out.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use thiserror::Error;

use super::kin::{self, Kin};
use super::schedule::{Fault, Kind, Role, Tally};
use crate::place::Place;
use crate::process::{Ended, Process};
use crate::wait;

/// A run that records nothing for so long has come to a standstill.
const STANDSTILL: Duration = Duration::from_secs(30);
/// What is killed, or orphaned, is gone within this time.
const DYING: Duration = Duration::from_secs(20);
/// How often a run is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// What is wrong with a run.
#[derive(Debug, Error)]
pub enum Trouble {
    /// Nothing has been recorded for long.
    #[error("nothing was recorded for long, at {bytes} bytes; {states}")]
    Standstill {
        /// How far it had got.
        bytes: u64,
        /// Who is there, and in what state.
        states: String,
    },
    /// It did not end well.
    #[error("`{program}` ended with {code:?} instead of 0:\n{last_words}")]
    Code {
        /// Who.
        program: String,
        /// Its exit code.
        code: Option<i32>,
        /// The end of its stderr.
        last_words: String,
    },
    /// The output is another.
    #[error("the output's SHA-256 is {found}, that of the calm run {expected}")]
    Output {
        /// Of this run.
        found: String,
        /// Of the calm one.
        expected: String,
    },
    /// A count or an aggregate is another.
    #[error("`{name}` is {found}, in the calm run {expected}")]
    Figure {
        /// Which.
        name: &'static str,
        /// In this run.
        found: String,
        /// In the calm one.
        expected: String,
    },
    /// A file that a complete run writes is not there.
    #[error("{} is missing", path.display())]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// A line is another.
    #[error("line {line} of {what} is {found}, in the calm run {expected}")]
    Line {
        /// Of which file.
        what: &'static str,
        /// Which one, from 1.
        line: usize,
        /// In this run.
        found: String,
        /// In the calm one.
        expected: String,
    },
    /// Files of a run that is over are left where its processes met.
    #[error("left behind: {names:?}")]
    Litter {
        /// Their names.
        names: Vec<String>,
    },
    /// `pipeline verify` found something.
    #[error("`pipeline verify`: {findings}")]
    Verify {
        /// What it printed.
        findings: String,
    },
    /// Processes are left.
    #[error("processes are left: {pids:?}")]
    LeftBehind {
        /// Their ids.
        pids: Vec<u32>,
    },
}

/// How a launcher is started, and what its run writes.
pub struct Ordeal<'a> {
    place: &'a Place,
    args: Vec<String>,
    output: PathBuf,
    stop_lasts: Duration,
    launcher: Process,
    seen: BTreeSet<Kin>,
    stopped: Vec<(Kin, Instant)>,
    began: Instant,
    recorded: (u64, Instant),
    tally: Tally,
    change: Option<Change>,
}

/// A topology that takes the place of the one that the run began with, once its launcher is killed.
#[derive(Debug)]
pub struct Change {
    /// Where it is.
    pub path: PathBuf,
    /// What it becomes.
    pub text: String,
}

impl<'a> Ordeal<'a> {
    /// Starts `pipeline` with `args`, in `place`; the run writes `output`.
    pub fn begin(place: &'a Place, args: &[&str], output: PathBuf, stop_lasts: Duration) -> Self {
        Ordeal {
            launcher: launch(place, args),
            place,
            args: args.iter().map(ToString::to_string).collect(),
            output,
            stop_lasts,
            seen: BTreeSet::new(),
            stopped: Vec::new(),
            began: Instant::now(),
            recorded: (0, Instant::now()),
            tally: Tally::default(),
            change: None,
        }
    }

    /// The first launcher that takes a killed one's place finds this topology, and accepts it.
    pub fn accepting(mut self, change: Change) -> Self {
        self.change = Some(change);
        self
    }

    /// Carries out a schedule over an output of `bytes` and waits for the end of the run.
    ///
    /// # Errors
    /// [`Trouble::Standstill`].
    pub fn suffer(mut self, faults: &[Fault], bytes: u64) -> Result<(Ended, Tally), Trouble> {
        for fault in faults {
            let due = (fault.share * bytes as f64) as u64;
            self.look_until(|run| run.recorded.0 >= due)?;
            let start = Instant::now();
            self.look_until(|_| start.elapsed() >= fault.delay)?;
            if self.launcher.is_running() {
                self.strike(fault)?;
            }
        }
        let mut awaits_waking = |run: &mut Self| !run.launcher.is_running();
        self.look_until(&mut awaits_waking)?;
        let ended = self.launcher.ends();
        self.await_death()?;
        Ok((ended, self.tally))
    }

    fn strike(&mut self, fault: &Fault) -> Result<(), Trouble> {
        if fault.role == Role::Launcher {
            return self.strike_launcher(fault);
        }
        let mut victims = Vec::new();
        self.look_until(|run| {
            victims = kin::members(run.launcher.id());
            run.seen.extend(victims.iter().map(|member| member.kin));
            victims.retain(|member| member.role == fault.role);
            !victims.is_empty()
        })?;
        // None when the run has ended meanwhile.
        if let Some(victim) = victims.get(fault.pick % victims.len().max(1)) {
            match fault.kind {
                Kind::Kill if victim.kin.signal(Signal::KILL) => {
                    self.note(fault.kind, fault.role, victim.kin);
                }
                Kind::Stop => self.stop(victim.kin, fault.role),
                Kind::Kill => {}
            }
        }
        Ok(())
    }

    fn strike_launcher(&mut self, fault: &Fault) -> Result<(), Trouble> {
        let Some(launcher) = Kin::of(self.launcher.id()) else { return Ok(()) };
        if fault.kind == Kind::Stop {
            self.stop(launcher, fault.role);
            return Ok(());
        }
        self.seen.extend(kin::members(self.launcher.id()).iter().map(|member| member.kin));
        self.launcher.kill();
        if self.launcher.ends().code.is_some() {
            // It had ended by itself before.
            return Ok(());
        }
        self.note(fault.kind, fault.role, launcher);
        // The same command at once, or when all is quiet: both must do.
        if fault.pick.is_multiple_of(2) {
            self.await_death()?;
        }
        self.make_change();
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        self.launcher = launch(self.place, &args);
        self.await_death()
    }

    /// Asked for again by later launchers it is no other change.
    fn make_change(&mut self) {
        if let Some(Change { path, text }) = self.change.take() {
            fs::write(path, text).expect("the scenario's folder can be written");
            self.args.push("--accept-change".into());
            self.tally.note_change();
        }
    }

    fn stop(&mut self, kin: Kin, role: Role) {
        if kin.signal(Signal::STOP) {
            self.stopped.push((kin, Instant::now() + self.stop_lasts));
            self.note(Kind::Stop, role, kin);
        }
    }

    /// Counts a fault, and writes it down beside the output for whoever looks for a cause.
    fn note(&mut self, kind: Kind, role: Role, kin: Kin) {
        self.tally.note(kind, role);
        let seconds = self.began.elapsed().as_secs_f64();
        let bytes = self.recorded.0;
        let line = format!("{seconds:8.3} s, {bytes:9} bytes: {kind:?} {role} {}\n", kin.pid());
        let diary = File::options().create(true).append(true).open(self.diary());
        let written = diary.and_then(|mut diary| diary.write_all(line.as_bytes()));
        written.expect("the scenario's folder can be written");
    }

    fn diary(&self) -> PathBuf {
        self.output.with_file_name("faults")
    }

    /// Looks on until `reached`, or the run has ended; wakes who was stopped for long enough.
    fn look_until(&mut self, mut reached: impl FnMut(&mut Self) -> bool) -> Result<(), Trouble> {
        while self.launcher.is_running() && !reached(self) {
            self.wake();
            self.note_output();
            if self.recorded.1.elapsed() > STANDSTILL {
                let states = kin::states(self.launcher.id());
                return Err(Trouble::Standstill { bytes: self.recorded.0, states });
            }
            wait::pace(LOOK_INTERVAL, || false);
        }
        Ok(())
    }

    fn wake(&mut self) {
        let now = Instant::now();
        self.stopped.retain(|(kin, until)| {
            let rests = now < *until;
            if !rests {
                kin.signal(Signal::CONT);
            }
            rests
        });
    }

    fn note_output(&mut self) {
        let bytes = fs::metadata(&self.output).map_or(0, |data| data.len());
        if bytes > self.recorded.0 {
            self.recorded = (bytes, Instant::now());
        }
    }

    /// Everyone who was there, but is no child of the present launcher, goes with the former one.
    fn await_death(&mut self) -> Result<(), Trouble> {
        let start = Instant::now();
        loop {
            let present: Vec<Kin> =
                kin::members(self.launcher.id()).iter().map(|member| member.kin).collect();
            self.seen.retain(|kin| kin.lives() && !present.contains(kin));
            if self.seen.is_empty() {
                return Ok(());
            }
            if start.elapsed() > DYING {
                let pids = kin::dwellers(self.place.folder());
                return Err(Trouble::LeftBehind { pids });
            }
            wait::pace(LOOK_INTERVAL, || false);
        }
    }
}

fn launch(place: &Place, args: &[&str]) -> Process {
    let mut command = place.command(crate::programs::program("pipeline"));
    command.env("XDG_RUNTIME_DIR", place.folder()).args(args);
    place.start_command("up", command)
}
