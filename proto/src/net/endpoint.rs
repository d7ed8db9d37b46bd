//! Endpoints: where an inbox listens, which of several is of use to whom, and where a process
//! listens that was not told.
//!
//! Owns the choices; opens nothing but a throw-away UDP socket that asks the routing table for the
//! local address. The [text form](text) has a file of its own.

pub mod text;

use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket},
    path::PathBuf,
};

use rustix::system::uname;
use serde::{Deserialize, Serialize};

pub use self::text::{EndpointError, Flaw, elsewhere, listening, told};

/// The ports of inboxes that were not told one: below the range from which the kernel takes the
/// local ports of outgoing connections, since reconnecting to a dead port of that range can
/// connect a socket to itself.
pub const INBOX_PORTS: std::ops::RangeInclusive<u16> = 20_000..=32_767;

/// The longest path that fits a Unix socket's address.
pub const IPC_PATH_BYTES_MAX: usize = 107;

/// Where an inbox listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Endpoint {
    /// Another machine, or this one.
    Tcp {
        /// A name or an address, one of IPv6 in brackets; `*` for all addresses of this machine.
        host: String,
        /// 0: any of [`INBOX_PORTS`].
        port: u16,
    },
    /// This machine: a Unix socket.
    Ipc(PathBuf),
    /// This process.
    Inproc(String),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Ipc(path) => write!(f, "ipc://{}", path.display()),
            Self::Inproc(name) => write!(f, "inproc://{name}"),
        }
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

/// Which addresses a socket uses; libzmq uses those of IPv6 only when told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Those of IPv4 only.
    V4,
    /// Those of IPv6, and for a name that has none those of IPv4.
    V6,
}

impl Family {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

impl Endpoint {
    /// Whether both are of one transport.
    pub fn same_transport(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Whether it listens on all interfaces, so that peers need an address of one of them.
    pub fn is_wildcard(&self) -> bool {
        let Self::Tcp { host, .. } = self else { return false };
        let unspecified = |host: &str| host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
        host == "*" || unspecified(host.trim_matches(['[', ']']))
    }

    /// Whether its host has yet to be looked up: it is the name of a machine.
    pub fn has_name(&self) -> bool {
        let Self::Tcp { host, .. } = self else { return false };
        !host.starts_with('[') && host != "*" && host.parse::<IpAddr>().is_err()
    }

    /// Which addresses it has, as far as its text says: all of this machine's are those of both.
    pub fn family(&self) -> Family {
        match self {
            Self::Tcp { host, .. } if host.starts_with('[') || host == "*" => Family::V6,
            _ => Family::V4,
        }
    }

    /// The same for processes in other folders.
    pub fn absolute(&self) -> Self {
        match self {
            Self::Ipc(path) => {
                Self::Ipc(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
            }
            other => other.clone(),
        }
    }

    /// The address of this machine by which it reaches `peer`, for a peer that has to answer.
    pub fn local_address_towards(peer: &Self, family: Family) -> Option<String> {
        let Self::Tcp { host, port } = peer else { return None };
        let found = (host.trim_matches(['[', ']']), *port).to_socket_addrs().ok()?;
        let found: Vec<SocketAddr> = found.collect();
        let wanted = |address: &&SocketAddr| address.is_ipv6() == (family == Family::V6);
        let target = *found.iter().find(wanted).or(found.first())?;
        let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(target).ok()?;
        Some(host_of(socket.local_addr().ok()?.ip()))
    }
}

/// An address as an endpoint has it.
pub fn host_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// A name of this machine that `ipc://` endpoints are tied to: its name and its boot.
pub fn this_host() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot: String = boot.chars().take(8).collect();
    format!("{}-{boot}", uname().nodename().to_string_lossy())
}

/// Endpoints as they are reached by way of `via`: a host `*` in what a process tells means its own
/// machine, and who was told so over tcp has an address of that.
pub fn seen_from(offers: Vec<String>, via: &str) -> Vec<String> {
    let Ok(Endpoint::Tcp { host, .. }) = via.parse() else { return offers };
    let seen = |offer: String| match offer.parse() {
        Ok(endpoint @ Endpoint::Tcp { port, .. }) if endpoint.is_wildcard() => {
            Endpoint::Tcp { host: host.clone(), port }.to_string()
        }
        _ => offer,
    };
    offers.into_iter().map(seen).collect()
}

/// The endpoint of those on offer that this process, on machine `here`, can reach best: ipc on
/// the same machine, else tcp.
pub fn choose(offers: &[String], host: Option<&str>, here: &str) -> Option<Endpoint> {
    let parsed: Vec<Endpoint> = offers.iter().filter_map(|offer| offer.parse().ok()).collect();
    let near = host.is_none_or(|host| host == here);
    let rank = |endpoint: &Endpoint| match endpoint {
        Endpoint::Inproc(_) => Some(0),
        Endpoint::Ipc(_) => near.then_some(1),
        Endpoint::Tcp { .. } if endpoint.is_wildcard() => near.then_some(3),
        Endpoint::Tcp { .. } => Some(2),
    };
    let best = parsed.into_iter().filter(|endpoint| rank(endpoint).is_some()).min_by_key(rank);
    best.map(|endpoint| match endpoint {
        Endpoint::Tcp { port, .. } if endpoint.is_wildcard() => {
            Endpoint::Tcp { host: "127.0.0.1".into(), port }
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_a_machine_are_told_from_one_of_them() {
        for (text, wildcard) in [
            ("tcp://*:*", true),
            ("tcp://0.0.0.0:1", true),
            ("tcp://[::]:1", true),
            ("tcp://[0::0]:1", true),
            ("tcp://127.0.0.1:1", false),
            ("tcp://host:1", false),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().is_wildcard(), wildcard, "{text}");
        }
    }

    #[test]
    fn what_has_to_be_looked_up_and_in_which_family_is_seen_from_the_text() {
        for (text, name, family) in [
            ("tcp://host:1", true, Family::V4),
            ("tcp://eth0:1", true, Family::V4),
            ("tcp://10.0.0.1:1", false, Family::V4),
            ("tcp://0.0.0.0:1", false, Family::V4),
            ("tcp://[::1]:1", false, Family::V6),
            ("tcp://*:1", false, Family::V6),
            ("ipc://v", false, Family::V4),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.has_name(), endpoint.family()), (name, family), "{text}");
        }
    }

    #[test]
    fn ipc_is_chosen_on_one_machine_and_tcp_between_two() {
        let offers = ["tcp://10.0.0.1:1".to_owned(), "ipc:///x".to_owned()];
        assert!(matches!(choose(&offers, Some("a"), "a"), Some(Endpoint::Ipc(_))));
        assert!(matches!(choose(&offers, Some("b"), "a"), Some(Endpoint::Tcp { .. })));
        assert_eq!(choose(&offers[1..], Some("b"), "a"), None);
    }

    #[test]
    fn all_interfaces_of_a_machine_are_reached_as_its_ventilator_is() {
        let offers = vec!["ipc:///x".to_owned(), "tcp://*:5558".to_owned()];
        let seen = seen_from(offers.clone(), "tcp://10.0.0.7:5557");
        assert_eq!(seen, ["ipc:///x", "tcp://10.0.0.7:5558"]);
        assert_eq!(seen_from(offers.clone(), "ipc:///v"), offers);
        let wildcard = &offers[1..];
        assert_eq!(choose(wildcard, Some("b"), "a"), None);
        let near = choose(wildcard, Some("a"), "a").unwrap();
        assert_eq!(near.to_string(), "tcp://127.0.0.1:5558");
    }

    #[test]
    fn the_way_to_loopback_is_loopback() {
        let peer = "tcp://127.0.0.1:5557".parse().unwrap();
        assert_eq!(Endpoint::local_address_towards(&peer, Family::V4).unwrap(), "127.0.0.1");
    }
}
