//! One run of a case with faults, and the verdict on it.
//!
//! Owns the carrying out of a plan, the watching for a standstill, and what must be true
//! afterwards. A run stands still when no file of it changes for long, however busy the machine is.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::party::Party;
use super::plan::{Blow, EDGE, Moment};
use crate::cases::{self, Case, Taken};
use crate::place::Place;
use crate::torture::kin::{self, Kin, Member};
use crate::torture::{Kind, Role, Tally, Trouble};
use crate::wait::{self, Traces};

/// A run that changes no file for so long has come to a standstill.
const STANDSTILL: Duration = Duration::from_secs(60);
/// A run that changes files and does not end for so long is going round in circles.
const ENDLESS: Duration = Duration::from_secs(600);
/// Who is orphaned is gone within this time.
const DYING: Duration = Duration::from_secs(30);
/// How often a run is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// How often its files are.
const FILES_INTERVAL: Duration = Duration::from_millis(200);

/// A case, and where it is run.
#[derive(Debug, Clone, Copy)]
pub struct Storm<'a> {
    /// Where files are.
    pub place: &'a Place,
    /// What is run.
    pub case: &'a Case,
    /// How long input by a pipe takes to arrive.
    pub input_lasts: Duration,
}

/// What came of a run that went well.
#[derive(Debug, Clone)]
pub struct Weathered {
    /// What it gave.
    pub taken: Taken,
    /// The faults that came about.
    pub tally: Tally,
    /// How long it took.
    pub took: Duration,
}

/// A run that goes on.
struct Course<'a> {
    folder: PathBuf,
    party: Party<'a>,
    began: Instant,
    present: BTreeSet<Kin>,
    struck: BTreeSet<Kin>,
    stopped: Vec<(Kin, Instant)>,
    looked: Instant,
    files: (Traces, Instant),
    end: End,
    tally: Tally,
}

/// How it is seen that a run is about to be over.
#[derive(Debug, Clone, Default)]
struct End {
    /// An output of so many bytes is complete; unknown for the first run, and for databases.
    output: Option<(PathBuf, u64)>,
    /// The sink writes it last.
    manifest: PathBuf,
    has_come: bool,
}

impl Storm<'_> {
    /// Runs it under `blows` in the folder `name`. `output_bytes` are those of a complete output, where
    /// that is known.
    ///
    /// # Errors
    /// [`Trouble`] when it does not come to its end, or is not whole.
    pub fn run(
        &self,
        name: &str,
        blows: &[Blow],
        output_bytes: Option<u64>,
    ) -> Result<Weathered, Trouble> {
        let folder = self.place.path(name);
        self.case.lay_out(&folder);
        let end = End {
            output: self.case.output_in(&folder).zip(output_bytes),
            manifest: self.case.run_dir_in(&folder).join("manifest.json"),
            has_come: false,
        };
        let began = Instant::now();
        let mut course = Course {
            party: Party::begin(self.place, self.case, &folder, self.input_lasts),
            folder,
            began,
            present: BTreeSet::new(),
            struck: BTreeSet::new(),
            stopped: Vec::new(),
            looked: began,
            files: (Traces::default(), began),
            end,
            tally: Tally::default(),
        };
        for blow in blows {
            course.strike(blow)?;
        }
        course.look_until(|_| false)?;
        course.all_leave()?;
        let (took, tally) = (began.elapsed(), course.tally);
        let taken = self.judge(&course.folder)?;
        Ok(Weathered { taken, tally, took })
    }

    fn judge(&self, folder: &Path) -> Result<Taken, Trouble> {
        if !folder.join(cases::SUMMARY).exists() {
            // Its launcher was killed when all was done: the same command says so again.
            let mut party = Party::begin(self.place, self.case, folder, self.input_lasts);
            let begin = Instant::now();
            while party.tend()? {
                if begin.elapsed() > STANDSTILL {
                    return Err(Trouble::Standstill { bytes: 0, states: party.states() });
                }
                wait::pace(LOOK_INTERVAL, || false);
            }
        }
        let run_dir = self.case.run_dir_in(folder).display().to_string();
        let verified = self.place.run("pipeline", &["verify", &run_dir]);
        match verified.code {
            Some(0) => Taken::read(self.case, folder),
            _ => Err(Trouble::Verify { findings: verified.stdout + &verified.stderr }),
        }
    }
}

impl Course<'_> {
    fn strike(&mut self, blow: &Blow) -> Result<(), Trouble> {
        match blow.moment {
            Moment::Later => {}
            Moment::Start => self.kill_first(blow)?,
            Moment::End => self.look_until(Self::is_ending)?,
        }
        let start = Instant::now();
        self.look_until(|_| start.elapsed() >= blow.delay)?;
        let mut victim = None;
        // At the end there may be nobody of this role any more.
        let patience = if blow.moment == Moment::End { EDGE } else { STANDSTILL };
        let start = Instant::now();
        self.look_until(|course| {
            victim = course.member(blow);
            victim.is_some() || start.elapsed() >= patience
        })?;
        if let Some(member) = victim {
            self.hit(member, blow);
        }
        Ok(())
    }

    /// Kills one of the role, and waits until another one has taken its place.
    fn kill_first(&mut self, blow: &Blow) -> Result<(), Trouble> {
        let mut victim = None;
        self.look_until(|course| {
            victim = course.member(blow);
            victim.is_some()
        })?;
        let Some(first) = victim else { return Ok(()) };
        let before: BTreeSet<Kin> = self.party.members().iter().map(|member| member.kin).collect();
        self.hit(first, &Blow { kind: Kind::Kill, ..*blow });
        self.look_until(|course| {
            let members = course.party.members();
            members.iter().any(|member| member.role == first.role && !before.contains(&member.kin))
        })
    }

    /// The newest of a role for a start, else any.
    fn member(&mut self, blow: &Blow) -> Option<Member> {
        let mut members = self.party.members();
        if self.party.is_by_hand() && blow.role == Role::Launcher {
            // There is none: the ventilator instead.
            members.retain(|member| member.role == Role::Ventilator);
        } else {
            members.retain(|member| member.role == blow.role);
        }
        if blow.moment == Moment::Start {
            return members.into_iter().max_by_key(|member| member.kin.began());
        }
        members.get(blow.pick % members.len().max(1)).copied()
    }

    fn hit(&mut self, member: Member, blow: &Blow) {
        let signal = if blow.kind == Kind::Stop { Signal::STOP } else { Signal::KILL };
        self.struck.insert(member.kin);
        if member.role == Role::Launcher && blow.kind == Kind::Kill {
            // Its children go with it.
            self.struck.extend(self.party.members().iter().map(|member| member.kin));
        }
        if !member.kin.signal(signal) {
            return;
        }
        if blow.kind == Kind::Stop {
            self.stopped.push((member.kin, Instant::now() + blow.lasts));
        }
        self.tally.note(blow.kind, member.role);
        let seconds = self.began.elapsed().as_secs_f64();
        let Blow { moment, kind, .. } = blow;
        let line = format!(
            "{seconds:8.3} s: {kind:?} {} {} ({moment:?})\n",
            member.role,
            member.kin.pid()
        );
        let diary = File::options().create(true).append(true).open(self.folder.join("faults"));
        let written = diary.and_then(|mut diary| diary.write_all(line.as_bytes()));
        written.expect("the scenario's folder can be written");
    }

    /// Looks on until `reached`, or the run is over; wakes who was stopped for long enough, and has
    /// started again who was killed.
    fn look_until(&mut self, mut reached: impl FnMut(&mut Self) -> bool) -> Result<(), Trouble> {
        while self.party.tend()? && !reached(self) {
            self.wake();
            self.note_presence();
            self.note_files()?;
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

    /// Whether the last unit is recorded.
    fn is_ending(&mut self) -> bool {
        let is_whole = |(path, bytes): &(PathBuf, u64)| {
            fs::metadata(path).is_ok_and(|data| data.len() >= *bytes)
        };
        self.end.has_come |=
            self.end.output.as_ref().is_some_and(is_whole) || self.end.manifest.exists();
        self.end.has_come
    }

    /// Who was there, was not struck and is gone has left by itself: the end has begun.
    fn note_presence(&mut self) {
        let present: BTreeSet<Kin> = self.party.members().iter().map(|member| member.kin).collect();
        let struck = &self.struck;
        self.end.has_come |=
            self.present.iter().any(|kin| !present.contains(kin) && !struck.contains(kin));
        self.present = present;
    }

    fn note_files(&mut self) -> Result<(), Trouble> {
        if self.looked.elapsed() < FILES_INTERVAL {
            return Ok(());
        }
        self.looked = Instant::now();
        let files = wait::traces_of(&self.folder);
        if files != self.files.0 {
            self.files = (files, self.looked);
        }
        if self.files.1.elapsed() > STANDSTILL || self.began.elapsed() > ENDLESS {
            let (bytes, states) = (self.files.0.bytes, self.party.states());
            return Err(Trouble::Standstill { bytes, states });
        }
        Ok(())
    }

    fn all_leave(&mut self) -> Result<(), Trouble> {
        let start = Instant::now();
        loop {
            self.wake();
            let pids = kin::dwellers(&self.folder);
            if pids.is_empty() {
                return Ok(());
            }
            if start.elapsed() > DYING {
                return Err(Trouble::LeftBehind { pids });
            }
            wait::pace(LOOK_INTERVAL, || false);
        }
    }
}
