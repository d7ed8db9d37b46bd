//! Torture of a service: clients that submit, while everybody is killed at random, they as well.
//!
//! Owns what must be true afterwards: each ticket was given once and had one outcome, that of a calm run; nothing
//! is left in the queue and in the store of outcomes; the memory is flat. [`schedule`] deals the kills,
//! [`ordeal`] carries them out, [`client`] is one client, whose [`journal`] tells what it had, [`memory`] judges
//! the growth.

pub mod client;
pub mod journal;
pub mod memory;
pub mod ordeal;
pub mod schedule;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use proto::ranges::RangeSet;
use serde_json::Value;
use thiserror::Error;

use self::journal::{Journal, JournalError};
use self::memory::Growth;
use self::ordeal::Ordeal;
use self::schedule::Victim;
use super::kin;
use crate::place::Place;
use crate::wait;

/// The service's name.
const NAME: &str = "squares";
/// Once everything was fetched, the service is at rest within this time.
const SETTLING: Duration = Duration::from_secs(60);
/// The submits and the kills are spread over this share of the time, so that all are in before it is over.
const SUBMITTING_SHARE: f64 = 0.9;
/// How often the service is asked how it stands.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// What a run directory may have at rest: segments of logs that are not full, and what is known of clients.
const RESTING_BYTES_MAX: u64 = 256 << 20;

/// What is done.
#[derive(Debug, Clone)]
pub struct Torture {
    /// Clients, each a process.
    pub clients: u64,
    /// Units of all of them together.
    pub submits: u64,
    /// For so long everybody is killed at random; then nothing new is submitted.
    pub lasts: Duration,
    /// SIGKILLs in that time.
    pub kills: usize,
    /// Of the kills.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Survived {
    /// Tickets that were given; each had one outcome.
    pub tickets: u64,
    /// How long it took until the last client had its last outcome.
    pub took: Duration,
    /// Kills that came about.
    pub kills: BTreeMap<Victim, usize>,
    /// The files of the run directory at rest, in bytes.
    pub resting: BTreeMap<String, u64>,
    /// The memory.
    pub growth: Growth,
}

/// What is wrong.
#[derive(Debug, Error)]
pub enum Trouble {
    /// A client has found something.
    #[error("client {number} has ended with {code:?}: {told}")]
    Client {
        /// Which.
        number: u64,
        /// Its exit code.
        code: Option<i32>,
        /// What it said.
        told: String,
    },
    /// The launcher has ended, or not well.
    #[error("the launcher has ended with {code:?}:\n{told}")]
    Launcher {
        /// Its exit code.
        code: Option<i32>,
        /// The end of what it said.
        told: String,
    },
    /// No client gets on.
    #[error("no client notes anything for long; {states}")]
    Standstill {
        /// Who is there, and in what state.
        states: String,
    },
    /// A journal is contradicted.
    #[error("client {number}: {source}")]
    Journal {
        /// Whose.
        number: u64,
        /// How.
        source: JournalError,
    },
    /// Two clients, or one twice, have one ticket.
    #[error("ticket {ticket} is number {number} of client {client}, and somebody else's")]
    Shared {
        /// Which.
        ticket: u64,
        /// A client that has it.
        client: u64,
        /// For what.
        number: u64,
    },
    /// A client has tickets without outcomes.
    #[error(
        "client {client} has {tickets} tickets and {outcomes} outcomes, and submitted {submitted}"
    )]
    Missing {
        /// Which.
        client: u64,
        /// How many tickets it has.
        tickets: u64,
        /// How many outcomes.
        outcomes: u64,
        /// How many units.
        submitted: u64,
    },
    /// The service has given tickets that no client has, or has outcomes left.
    #[error("the service is not at rest: {standing}, with {tickets} tickets given")]
    Restless {
        /// What it tells of itself.
        standing: Value,
        /// Known to the clients.
        tickets: u64,
    },
    /// The run directory has not gone back to its resting size.
    #[error("the run directory has {bytes} bytes at rest: {files:?}")]
    Large {
        /// All of it.
        bytes: u64,
        /// Each file.
        files: BTreeMap<String, u64>,
    },
    /// The memory is not flat.
    #[error("memory has grown: {roles}\n{growth}")]
    Grown {
        /// Whose.
        roles: String,
        /// How.
        growth: Growth,
    },
    /// Processes are left.
    #[error("processes are left: {pids:?}")]
    LeftBehind {
        /// Their ids.
        pids: Vec<u32>,
    },
}

impl Torture {
    /// Does it, with `tell` told now and then how far it is.
    ///
    /// # Errors
    /// [`Trouble`] when anything is not as it must be.
    pub fn inflict(&self, place: &Place, tell: impl FnMut(&str)) -> Result<Survived, Trouble> {
        let topology = format!(
            "name = \"{NAME}\"\nsource = {{ kind = \"service\", accept = \"durable\" }}\n\
             [[stage]]\nname = \"square\"\nrun = \"square\"\nworkers = 2\nretries = 0\n[sink]\nretain = \"1h\"\n"
        );
        place.write(&format!("{NAME}.toml"), topology);
        let submitting = self.lasts.mul_f64(SUBMITTING_SHARE);
        let kills = schedule::schedule(&mut Rng::with_seed(self.seed), self.kills, submitting);
        let mut ordeal = Ordeal::begin(place, self);
        ordeal.suffer(&kills, tell)?;
        let took = ordeal.elapsed();
        let tickets = self.audit(place)?;
        settle(place, &tickets)?;
        let resting = files(place);
        let bytes = resting.values().sum();
        if bytes > RESTING_BYTES_MAX {
            return Err(Trouble::Large { bytes, files: resting });
        }
        let growth = Growth::of(ordeal.samples(), took);
        let roles = growth.unbounded();
        if !roles.is_empty() {
            let roles = roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(Trouble::Grown { roles, growth });
        }
        let kills = ordeal.end()?;
        depart(place)?;
        Ok(Survived { tickets: tickets.len(), took, kills, resting, growth })
    }

    /// How many units a client submits.
    pub fn quota(&self) -> u64 {
        self.submits.div_ceil(self.clients.max(1))
    }

    /// Each ticket was given once, and had one outcome; all tickets.
    fn audit(&self, place: &Place) -> Result<RangeSet, Trouble> {
        let mut all = RangeSet::new();
        for client in 0..self.clients {
            let journal = Journal::open(&journal_of(place, client));
            let journal = journal.map_err(|source| Trouble::Journal { number: client, source })?;
            let mut own = 0;
            for (number, ticket) in journal.tickets() {
                if all.contains(ticket) {
                    return Err(Trouble::Shared { ticket, client, number });
                }
                all.insert(ticket..ticket + 1);
                own += 1;
            }
            let (outcomes, submitted) = (journal.outcomes(), journal.submitted());
            if own != outcomes || own != submitted {
                return Err(Trouble::Missing { client, tickets: own, outcomes, submitted });
            }
        }
        Ok(all)
    }
}

/// Waits until the service is at rest: nothing in its queue, no outcome kept.
fn settle(place: &Place, tickets: &RangeSet) -> Result<(), Trouble> {
    let is_at_rest = || {
        let standing = standing(place);
        let counts = ["queued", "done", "kept"].map(|key| standing[key].as_u64());
        counts == [Some(0), Some(tickets.len()), Some(0)]
    };
    match wait::is_soon(SETTLING, is_at_rest) {
        true => Ok(()),
        false => Err(Trouble::Restless { standing: standing(place), tickets: tickets.len() }),
    }
}

/// What the service tells of itself.
fn standing(place: &Place) -> Value {
    // Each look is a process.
    wait::pace(LOOK_INTERVAL, || false);
    let told = ordeal::pipeline(place, &["tickets", NAME, "--output", "json"]).ends();
    serde_json::from_str(&told.stdout).unwrap_or_default()
}

/// Nobody is left.
fn depart(place: &Place) -> Result<(), Trouble> {
    match kin::dwellers(place.folder()) {
        none if none.is_empty() => Ok(()),
        pids => Err(Trouble::LeftBehind { pids }),
    }
}

/// The files of the run directory, but for dead letters and logs of processes, which are the user's.
fn files(place: &Place) -> BTreeMap<String, u64> {
    let entries = std::fs::read_dir(place.path(&format!(".pipeline/{NAME}")));
    let files = entries.into_iter().flatten().flatten().filter_map(|entry| {
        let (name, data) = (entry.file_name().into_string().ok()?, entry.metadata().ok()?);
        (data.is_file() && !name.starts_with("dead")).then_some((name, data.len()))
    });
    files.collect()
}

fn journal_of(place: &Place, client: u64) -> PathBuf {
    place.path(&format!("journals/{client}"))
}

impl fmt::Display for Survived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        writeln!(
            f,
            "{} tickets, each with one outcome, in {seconds:.1} s: {:.0} a second",
            self.tickets,
            self.tickets as f64 / seconds
        )?;
        let kills: Vec<String> =
            self.kills.iter().map(|(victim, count)| format!("{victim} {count}")).collect();
        let all: usize = self.kills.values().sum();
        writeln!(f, "kills {all} ({})", kills.join(", "))?;
        let files: Vec<String> =
            self.resting.iter().map(|(name, bytes)| format!("{name} {bytes}")).collect();
        writeln!(f, "at rest: {}", files.join(", "))?;
        write!(f, "{}", self.growth)
    }
}
