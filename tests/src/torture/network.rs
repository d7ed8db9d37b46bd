//! Several machines on this one: network namespaces that are joined by a bridge, and its cuts.
//!
//! Owns the namespaces, their addresses, and how a site is cut off and joined again. They go when
//! the network is dropped, also after a panic. Refuses to know what runs in them.

use std::fmt;
use std::path::Path;
use std::process::{self, Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use thiserror::Error;

/// A private network of this test; nothing outside its namespaces sees it.
const SUBNET: &str = "10.213.77";
/// A hardware address that nobody has.
const NOBODY: &str = "02:00:00:00:00:99";

/// Why there can be no namespaces here.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// There is no program for it.
    #[error("`ip` (package iproute2) does not start: {0}")]
    NoProgram(#[from] std::io::Error),
    /// The system refuses.
    #[error("`{command}`: {answer}")]
    Refused {
        /// What was tried.
        command: String,
        /// What it said.
        answer: String,
    },
}

/// How a site is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// Its interface is down: the system tells whoever sends from there.
    Down,
    /// Its cable is pulled at the other end.
    Unplugged,
    /// Nothing arrives in either direction, and nobody is told.
    Silent,
    /// What it sends is lost, what others send to it arrives, and nobody is told.
    Mute,
}

/// All of them, for schedules.
pub const CUTS: [Cut; 4] = [Cut::Silent, Cut::Down, Cut::Mute, Cut::Unplugged];

/// Sites, numbered from 0, which reach each other.
#[derive(Debug)]
pub struct Network {
    hub: String,
    sites: Vec<String>,
}

impl Network {
    /// Makes as many sites.
    ///
    /// # Errors
    /// [`NetworkError`] when this process may not, or the system has no namespaces or bridges.
    pub fn of(sites: usize) -> Result<Self, NetworkError> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = |what: &str| format!("pltest-{}-{number}-{what}", process::id());
        let mut network = Network { hub: name("hub"), sites: Vec::new() };
        let hub = network.hub.clone();
        ip(&["netns", "add", &hub])?;
        ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "bridge", "up"])?;
        for site in 0..sites {
            network.sites.push(name(&site.to_string()));
            network.join(site)?;
        }
        Ok(network)
    }

    /// A network, or none and a line on stderr that says why.
    pub fn or_skip(sites: usize) -> Option<Self> {
        let network = Self::of(sites);
        if let Err(reason) = &network {
            eprintln!("SKIPPED: no network namespaces can be made here: {reason}");
        }
        network.ok()
    }

    fn join(&self, site: usize) -> Result<(), NetworkError> {
        let (name, port) = (&self.sites[site], port(site));
        let address = format!("{}/24", self.address(site));
        ip(&["netns", "add", name])?;
        let pair = ["type", "veth", "peer", "name", "eth", "netns", name];
        ip(&[&["-n", &self.hub, "link", "add", &port], &pair[..]].concat())?;
        ip(&["-n", &self.hub, "link", "set", &port, "master", "bridge", "up"])?;
        ip(&["-n", name, "address", "add", &address, "dev", "eth"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        ip(&["-n", name, "link", "set", "eth", "up"])
    }

    /// The address of a site.
    pub fn address(&self, site: usize) -> String {
        format!("{SUBNET}.{}", site + 1)
    }

    /// What to put before a command's arguments so that it runs at a site.
    pub fn at(&self, site: usize, program: &Path) -> Vec<String> {
        let program = program.display().to_string();
        ["netns", "exec", &self.sites[site], &program].map(str::to_owned).to_vec()
    }

    /// Cuts a site off.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn cut(&self, site: usize, cut: Cut) {
        self.set(site, cut, true).unwrap_or_else(|error| panic!("{cut} site {site}: {error}"));
    }

    /// Joins it again.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn mend(&self, site: usize, cut: Cut) {
        self.set(site, cut, false).unwrap_or_else(|error| panic!("{cut} site {site}: {error}"));
    }

    fn set(&self, site: usize, cut: Cut, off: bool) -> Result<(), NetworkError> {
        let (name, hub, port) = (&self.sites[site], &self.hub, port(site));
        let state = if off { "down" } else { "up" };
        match cut {
            Cut::Down => ip(&["-n", name, "link", "set", "eth", state]),
            Cut::Unplugged => ip(&["-n", hub, "link", "set", &port, state]),
            Cut::Silent if off => ip(&["-n", hub, "link", "set", &port, "nomaster"]),
            Cut::Silent => ip(&["-n", hub, "link", "set", &port, "master", "bridge"]),
            Cut::Mute => (0..self.sites.len())
                .filter(|other| *other != site)
                .try_for_each(|other| self.mislead(site, other, off)),
        }
    }

    /// Lets a site believe that another one has an address that nobody has.
    fn mislead(&self, site: usize, other: usize, off: bool) -> Result<(), NetworkError> {
        let (name, address) = (&self.sites[site], self.address(other));
        if off {
            let wrong = ["lladdr", NOBODY, "dev", "eth", "nud", "permanent"];
            ip(&[&["-n", name, "neigh", "replace", &address], &wrong[..]].concat())
        } else {
            ip(&["-n", name, "neigh", "del", &address, "dev", "eth"])
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in self.sites.iter().chain([&self.hub]) {
            // One that was never made can't be removed.
            let _ = ip(&["netns", "del", name]);
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Down => "down",
            Self::Unplugged => "unplugged",
            Self::Silent => "silent",
            Self::Mute => "mute",
        })
    }
}

/// The bridge's end of a site's cable.
fn port(site: usize) -> String {
    format!("port{site}")
}

fn ip(args: &[&str]) -> Result<(), NetworkError> {
    let Output { status, stderr, .. } = Command::new("ip").args(args).output()?;
    if status.success() {
        return Ok(());
    }
    let answer = String::from_utf8_lossy(&stderr).trim().to_owned();
    Err(NetworkError::Refused { command: format!("ip {}", args.join(" ")), answer })
}
