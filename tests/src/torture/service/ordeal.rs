//! A service and its clients while they are killed.
//!
//! Owns the processes: the launcher and the clients are started again when they were killed, and the launcher
//! starts the others; and the watching for a standstill. Refuses to judge what came out.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use super::memory::Sample;
use super::schedule::{Kill, Victim};
use super::{NAME, SUBMITTING_SHARE, Torture, Trouble, journal_of};
use crate::memory::resident_bytes;
use crate::place::Place;
use crate::process::Process;
use crate::programs::program;
use crate::torture::kin::{self, Kin};
use crate::torture::schedule::Role;
use crate::torture::trial::last_words;
use crate::wait;

/// Clients that note nothing for so long have come to a standstill.
const STANDSTILL: Duration = Duration::from_secs(90);
/// What is killed is gone within this time.
const DYING: Duration = Duration::from_secs(20);
/// How often everybody is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
const TELL_INTERVAL: Duration = Duration::from_secs(30);
/// What a launcher ends with that was asked to: its source might have gone on.
const STOPPED: i32 = 75;
/// Once nothing new is submitted, what is under way is over within this time.
const REST: Duration = Duration::from_secs(300);

/// See the module.
pub struct Ordeal<'a> {
    place: &'a Place,
    torture: &'a Torture,
    launcher: Process,
    // None once a client has all its outcomes.
    clients: Vec<Option<Process>>,
    began: Instant,
    // Everybody whom a launcher has started, and when that was noticed.
    seen: BTreeMap<Kin, Instant>,
    samples: Vec<Sample>,
    sampled: Instant,
    // Bytes of all journals, and when they grew last.
    noted: (u64, Instant),
    kills: BTreeMap<Victim, usize>,
}

impl<'a> Ordeal<'a> {
    /// Starts the service and all clients.
    pub fn begin(place: &'a Place, torture: &'a Torture) -> Self {
        fs::create_dir_all(place.path("journals")).expect("the scenario's folder can be written");
        let launcher = launch(place);
        let mut ordeal = Self {
            place,
            torture,
            launcher,
            clients: Vec::new(),
            began: Instant::now(),
            seen: BTreeMap::new(),
            samples: Vec::new(),
            sampled: Instant::now(),
            noted: (0, Instant::now()),
            kills: BTreeMap::new(),
        };
        ordeal.clients = (0..torture.clients).map(|number| Some(ordeal.client(number))).collect();
        ordeal
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The memory of everybody whom a launcher has started.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Carries out the kills, and waits until each client has all its outcomes.
    ///
    /// # Errors
    /// [`Trouble`] of a client or the launcher, or when nobody gets on.
    pub fn suffer(&mut self, kills: &[Kill], mut tell: impl FnMut(&str)) -> Result<(), Trouble> {
        let (mut due, mut told) = (kills.iter().peekable(), Instant::now());
        let (mut is_enough, lasts) = (false, self.torture.lasts);
        while self.clients.iter().any(Option::is_some) {
            // A client that is gone for good can't tell a sink once more what it has fetched.
            let is_over = self.clients.iter().any(Option::is_none);
            if let Some(kill) = due.next_if(|kill| kill.at <= self.began.elapsed() && !is_over) {
                self.strike(kill)?;
            }
            if !is_enough && self.began.elapsed() >= lasts {
                is_enough = true;
                self.place.write("enough", "");
            }
            self.look()?;
            if told.elapsed() >= TELL_INTERVAL {
                told = Instant::now();
                tell(&self.progress());
            }
            wait::pace(LOOK_INTERVAL, || false);
        }
        Ok(())
    }

    fn progress(&self) -> String {
        let over = self.clients.iter().filter(|client| client.is_none()).count();
        let kills: usize = self.kills.values().sum();
        let seconds = self.began.elapsed().as_secs();
        format!(
            "{seconds} s: {kills} kills, {over} clients done, journals of {} bytes",
            self.noted.0
        )
    }

    /// Has the service stop, which drains; the kills that came about.
    ///
    /// # Errors
    /// [`Trouble::Launcher`] when it does not end well.
    pub fn end(mut self) -> Result<BTreeMap<Victim, usize>, Trouble> {
        let down = pipeline(self.place, &["down", NAME]).ends();
        let ended = self.launcher.ends();
        match (down.code, ended.code) {
            (Some(0), Some(STOPPED)) => Ok(self.kills),
            (_, code) => Err(Trouble::Launcher { code, told: last_words(&ended.stderr) }),
        }
    }

    fn strike(&mut self, kill: &Kill) -> Result<(), Trouble> {
        let role = match kill.victim {
            Victim::Process(Role::Launcher) => return self.strike_launcher(kill.pick),
            Victim::Process(role) => role,
            Victim::Client => {
                self.strike_client(kill.pick);
                return Ok(());
            }
        };
        // Nobody is there between two lives: then there is nobody to kill.
        let mut victims = kin::members(self.launcher.id());
        victims.retain(|member| member.role == role);
        if let Some(victim) = victims.get(kill.pick % victims.len().max(1))
            && victim.kin.signal(Signal::KILL)
        {
            self.note(kill.victim, victim.kin.pid());
        }
        Ok(())
    }

    fn strike_client(&mut self, pick: usize) {
        let mut present: Vec<(usize, &mut Process)> = self
            .clients
            .iter_mut()
            .enumerate()
            .filter_map(|(number, client)| Some((number, client.as_mut()?)))
            .collect();
        let count = present.len();
        let Some((number, client)) = present.get_mut(pick % count.max(1)) else { return };
        if client.is_running() {
            client.kill();
            let (number, pid) = (*number, client.id());
            self.note(Victim::Client, pid);
            self.clients[number] = Some(self.client(number as u64));
        }
    }

    fn strike_launcher(&mut self, pick: usize) -> Result<(), Trouble> {
        self.notice();
        let pid = self.launcher.id();
        self.launcher.kill();
        self.note(Victim::Process(Role::Launcher), pid);
        // The same command at once, or when all is quiet: both must do.
        if pick.is_multiple_of(2) {
            self.await_death()?;
        }
        self.launcher = launch(self.place);
        self.await_death()
    }

    /// Everyone who was there, but is no child of the present launcher, goes with the former one.
    fn await_death(&mut self) -> Result<(), Trouble> {
        let launcher = self.launcher.id();
        let is_quiet = wait::is_soon(DYING, || {
            let present: Vec<Kin> =
                kin::members(launcher).iter().map(|member| member.kin).collect();
            self.seen.retain(|kin, _| kin.lives());
            self.seen.keys().all(|kin| present.contains(kin))
        });
        match is_quiet {
            true => Ok(()),
            false => {
                Err(Trouble::LeftBehind { pids: self.seen.keys().map(|kin| kin.pid()).collect() })
            }
        }
    }

    /// Counts a kill, and writes it down for whoever looks for a cause.
    fn note(&mut self, victim: Victim, pid: u32) {
        *self.kills.entry(victim).or_default() += 1;
        let line = format!("{:8.3} s: {victim} {pid}\n", self.began.elapsed().as_secs_f64());
        let diary = File::options().create(true).append(true).open(self.place.path("kills"));
        let written = diary.and_then(|mut diary| diary.write_all(line.as_bytes()));
        written.expect("the scenario's folder can be written");
    }

    fn look(&mut self) -> Result<(), Trouble> {
        if let Some(code) = self.launcher.has_ended() {
            return Err(Trouble::Launcher { code, told: last_words(&self.launcher.stderr()) });
        }
        for (number, client) in (0..).zip(&mut self.clients) {
            match client.as_mut().and_then(Process::has_ended) {
                None => {}
                Some(Some(0)) => *client = None,
                Some(code) => {
                    let told = client.as_ref().map(Process::stderr).unwrap_or_default();
                    return Err(Trouble::Client { number, code, told: last_words(&told) });
                }
            }
        }
        if self.sampled.elapsed() >= SAMPLE_INTERVAL {
            self.sampled = Instant::now();
            self.notice();
            self.look_at_journals()?;
        }
        Ok(())
    }

    fn look_at_journals(&mut self) -> Result<(), Trouble> {
        let bytes =
            |number| fs::metadata(journal_of(self.place, number)).map_or(0, |data| data.len());
        let bytes: u64 = (0..self.torture.clients).map(bytes).sum();
        if bytes > self.noted.0 {
            self.noted = (bytes, Instant::now());
        }
        let is_late = self.began.elapsed() > self.torture.lasts + REST;
        match is_late || self.noted.1.elapsed() > STANDSTILL {
            true => Err(Trouble::Standstill { states: kin::states(self.launcher.id()) }),
            false => Ok(()),
        }
    }

    /// Who is there, and how much memory each has.
    fn notice(&mut self) {
        let (now, at) = (Instant::now(), self.began.elapsed());
        for member in kin::members(self.launcher.id()) {
            let first = *self.seen.entry(member.kin).or_insert(now);
            if let Some(bytes) = resident_bytes(member.kin.pid()) {
                let age = now.duration_since(first);
                self.samples.push(Sample { at, role: member.role, age, bytes });
            }
        }
    }

    fn client(&self, number: u64) -> Process {
        let (own, quota) = (number.to_string(), self.torture.quota().to_string());
        let since = self.began.elapsed();
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let begun_ms = begun.saturating_sub(since).as_millis().to_string();
        let lasts_ms = self.torture.lasts.mul_f64(SUBMITTING_SHARE).as_millis().to_string();
        let mut command = user(self.place, &["client", "--number", &own, "--quota", &quota]);
        command.args(["--begun-ms", &begun_ms, "--lasts-ms", &lasts_ms]);
        command.arg("--journal").arg(journal_of(self.place, number));
        command.arg("--enough").arg(self.place.path("enough"));
        self.place.start_with(&format!("client-{number}"), command, Stdio::null())
    }
}

/// This program as another one of the service's users.
pub(super) fn user(place: &Place, args: &[&str]) -> Command {
    let own = env::current_exe().expect("this program knows where it is");
    let mut command = place.command(own);
    command.env("XDG_RUNTIME_DIR", place.folder()).args(args).args(["--service", NAME]);
    command
}

/// `pipeline` in the place, whose runs are listed there.
pub(super) fn pipeline(place: &Place, args: &[&str]) -> Process {
    let mut command = place.command(program("pipeline"));
    command.env("XDG_RUNTIME_DIR", place.folder()).args(args);
    place.start_command(args.first().unwrap_or(&"pipeline"), command)
}

fn launch(place: &Place) -> Process {
    pipeline(place, &["up", &format!("{NAME}.toml")])
}
