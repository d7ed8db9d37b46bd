//! A run whose processes are on several machines, with its network cut and joined again.
//!
//! Owns who runs where, the carrying out of the cuts, and the comparison with a calm run. The
//! machines are namespaces, see [`network`](super::network).

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use super::network::{CUTS, Cut, Network};
use super::ordeal::Trouble;
use super::trial::{Calm, LIVENESS, Torn, compare, last_words, sha256};
use super::{Role, Tally};
use crate::outcome;
use crate::place::Place;
use crate::process::Process;
use crate::programs::program;
use crate::wait;

/// Ventilator, sink, and two sites with a worker for each stage.
pub const SITES: usize = 4;
/// Site by site; the last one is never cut off, so that the run can go on without the third.
const ROLES: [Role; 3] = [Role::Ventilator, Role::Sink, Role::Worker];
/// Later than this no cut begins: the run would end without those who are cut off, and they would
/// wait for it.
const SHARE_MAX: f64 = 0.7;
/// A run that records nothing for so long has come to a standstill.
const STANDSTILL: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// One cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// It comes when this share of the output is there.
    pub share: f64,
    /// Which site is cut off.
    pub site: usize,
    /// How.
    pub cut: Cut,
}

/// The cuts of one run from a seed: every site and every kind comes in turn.
pub fn schedule(rng: &mut Rng, count: usize) -> Vec<Fault> {
    let shift = rng.usize(..CUTS.len());
    let mut all: Vec<Fault> = (0..count)
        .map(|index| Fault {
            share: rng.f64() * SHARE_MAX,
            site: index % ROLES.len(),
            cut: CUTS[(index + shift) % CUTS.len()],
        })
        .collect();
    all.sort_by(|one, other| one.share.total_cmp(&other.share));
    all
}

/// What is run, and where.
#[derive(Debug)]
pub struct Remote<'a> {
    /// Where files are.
    pub place: &'a Place,
    /// Where processes are; of [`SITES`] sites.
    pub network: &'a Network,
    /// A folder in the place.
    pub folder: &'a str,
    /// How many numbers are factored.
    pub units: u64,
    /// The first number; the larger, the longer a unit takes.
    pub first: u64,
    /// So long is a site cut off; the liveness limit is a second.
    pub cut_lasts: Duration,
}

/// The processes of one run.
struct Party {
    folder: PathBuf,
    all: Vec<Process>,
}

impl Remote<'_> {
    /// Runs it without cuts.
    ///
    /// # Errors
    /// [`Trouble`] when even that goes wrong.
    pub fn calm(&self) -> Result<Calm, Trouble> {
        let begin = Instant::now();
        let mut party = self.begin("calm");
        party.ends(self)?;
        let output = party.output();
        let bytes = party.length();
        let summary = outcome::json(&party.folder.join("summary.json"));
        Ok(Calm { sha256: sha256(&output), bytes, took: begin.elapsed(), summary })
    }

    /// Runs it in the folder `name` with these cuts, and compares. How often a process says that
    /// it has lost a peer comes with it: a cut that nobody notices was none.
    ///
    /// # Errors
    /// [`Trouble`] when anything differs from the calm run.
    pub fn under(
        &self,
        name: &str,
        calm: &Calm,
        faults: &[Fault],
    ) -> Result<(Torn, usize), Trouble> {
        let begin = Instant::now();
        let mut party = self.begin(name);
        let mut tally = Tally::default();
        for fault in faults {
            party.reaches((fault.share * calm.bytes as f64) as u64)?;
            self.network.cut(fault.site, fault.cut);
            wait::pace(self.cut_lasts, || false);
            self.network.mend(fault.site, fault.cut);
            tally.note_cut(fault.cut, ROLES[fault.site]);
        }
        party.ends(self)?;
        let found = sha256(&party.output());
        if found != calm.sha256 {
            return Err(Trouble::Output { found, expected: calm.sha256.clone() });
        }
        let summary = outcome::json(&party.folder.join("summary.json"));
        compare(&summary, &calm.summary)?;
        let losses = party.all.iter().map(|process| process.stderr().matches("loss=").count());
        let losses = losses.sum();
        Ok((Torn { tally, took: begin.elapsed(), summary: Some(summary) }, losses))
    }

    fn begin(&self, name: &str) -> Party {
        let folder = self.place.path(self.folder).join(name);
        fs::create_dir_all(&folder).expect("the scenario's folder can be written");
        let write = |role: &str, setup: Value| {
            let setup = setup.to_string();
            self.place
                .write(&format!("{}/{name}/{role}.json", self.folder), setup)
                .display()
                .to_string()
        };
        let sink = write("sink", self.sink(&folder));
        let ventilator = write("ventilator", self.ventilator());
        let summary = folder.join("summary.json").display().to_string();
        let mut all = vec![
            self.start(name, "sink", 1, &["--setup", &sink, "--summary", &summary]),
            self.start(name, "ventilator", 0, &["--setup", &ventilator]),
        ];
        let endpoint = self.endpoint(0);
        for site in [2, 3] {
            for stage in ["factor", "pass"] {
                let flags = ["--ventilator", &endpoint, "--stage", stage];
                all.push(self.start(name, "worker", site, &flags));
            }
        }
        Party { folder, all }
    }

    fn start(&self, name: &str, role: &str, site: usize, flags: &[&str]) -> Process {
        let mut command = self.place.command("ip");
        command.args(self.network.at(site, &program(role))).args(flags);
        self.place.start_command(&format!("{name}-{role}"), command)
    }

    /// Nobody else is in these namespaces, so any port is free.
    fn endpoint(&self, site: usize) -> String {
        format!("tcp://{}:5557", self.network.address(site))
    }

    /// What `pipeline up` writes for a sink, but over tcp.
    fn sink(&self, folder: &std::path::Path) -> Value {
        json!({
            "name": "sink",
            "bind": [self.endpoint(1)],
            "config": {
                "output": { "jsonl": folder.join("out.jsonl") },
                "order": "input",
                "aggregate": ["count", "sum", "max"],
            },
            "run_dir": folder.join("run"),
            "limits": limits(),
        })
    }

    /// The same for a ventilator.
    fn ventilator(&self) -> Value {
        let stage = |name: &str, run: &str| {
            json!({
                "name": name, "function": { "run": run },
                "retries": 2, "backoff_ms": 100, "crash_limit": 3,
            })
        };
        json!({
            "name": "ventilator",
            "bind": [self.endpoint(0)],
            "sink": self.endpoint(1),
            "source": {
                "kind": "range", "from": self.first, "to": self.first + self.units - 1, "step": 1,
            },
            "stages": [stage("factor", "factor-sum"), stage("pass", "echo")],
            "limits": limits(),
        })
    }
}

impl Party {
    fn output(&self) -> PathBuf {
        self.folder.join("out.jsonl")
    }

    fn length(&self) -> u64 {
        fs::metadata(self.output()).map_or(0, |data| data.len())
    }

    /// Waits until so many bytes are recorded, or all is over.
    fn reaches(&mut self, bytes: u64) -> Result<(), Trouble> {
        let mut recorded = (0, Instant::now());
        while self.length() < bytes && self.all[0].is_running() {
            self.moves_on(&mut recorded)?;
        }
        Ok(())
    }

    fn moves_on(&mut self, recorded: &mut (u64, Instant)) -> Result<(), Trouble> {
        let length = self.length();
        if length > recorded.0 {
            *recorded = (length, Instant::now());
        }
        if recorded.1.elapsed() > STANDSTILL {
            let states = self
                .all
                .iter_mut()
                .filter_map(|process| process.is_running().then(|| process.name().to_owned()));
            let states = states.collect::<Vec<_>>().join(", ");
            return Err(Trouble::Standstill { bytes: length, states });
        }
        wait::pace(LOOK_INTERVAL, || false);
        Ok(())
    }

    /// Waits until all have ended, each with 0, and looks whether the run is whole.
    fn ends(&mut self, remote: &Remote<'_>) -> Result<(), Trouble> {
        let mut recorded = (0, Instant::now());
        while self.all.iter_mut().any(Process::is_running) {
            self.moves_on(&mut recorded)?;
        }
        for process in &mut self.all {
            let ended = process.ends();
            if ended.code != Some(0) {
                let program = process.name().to_owned();
                let last_words = last_words(&ended.stderr);
                return Err(Trouble::Code { program, code: ended.code, last_words });
            }
        }
        let run_dir = self.folder.join("run").display().to_string();
        let verified = remote.place.run("pipeline", &["verify", &run_dir]);
        match verified.code {
            Some(0) => Ok(()),
            _ => Err(Trouble::Verify { findings: verified.stdout + &verified.stderr }),
        }
    }
}

fn limits() -> Value {
    let liveness = LIVENESS.as_millis() as u64;
    json!({ "liveness_ms": liveness, "heartbeat_interval_ms": liveness / 5 })
}
