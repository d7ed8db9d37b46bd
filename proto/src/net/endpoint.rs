//! Endpoints: where an inbox listens, which of several is of use to whom, and where a process
//! listens that was not told.
//!
//! Owns the text form and the choices; opens nothing but a throw-away UDP socket that asks the
//! routing table for the local address.

use std::{
    net::{IpAddr, ToSocketAddrs, UdpSocket},
    path::PathBuf,
    str::FromStr,
};

use rustix::system::uname;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The ports of inboxes that were not told one: below the range from which the kernel takes the
/// local ports of outgoing connections, since reconnecting to a dead port of that range can
/// connect a socket to itself.
pub const INBOX_PORTS: std::ops::RangeInclusive<u16> = 20_000..=32_767;

/// The longest path that fits a Unix socket's address.
const IPC_PATH_BYTES_MAX: usize = 107;

/// Where an inbox listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Endpoint {
    /// Another machine, or this one.
    Tcp {
        /// A name or an address; `*` or `0.0.0.0` for all interfaces.
        host: String,
        /// 0: any of [`INBOX_PORTS`].
        port: u16,
    },
    /// This machine: a Unix socket.
    Ipc(PathBuf),
    /// This process.
    Inproc(String),
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// Neither tcp, ipc nor inproc.
    #[error("`{text}` is no endpoint; write tcp://HOST:PORT or ipc://PATH")]
    Transport {
        /// The text.
        text: String,
    },
    /// No number from 0 to 65535 behind the last colon.
    #[error("`{text}` needs a port, as in tcp://127.0.0.1:5557")]
    Port {
        /// The text.
        text: String,
    },
    /// A name that libzmq takes for something else than a file.
    #[error("`{text}` is no socket that has an owner; write ipc://PATH")]
    Ownerless {
        /// The text.
        text: String,
    },
    /// Too long for a Unix socket's address.
    #[error("`{text}` is {len} bytes long, a Unix socket's path can have {IPC_PATH_BYTES_MAX}")]
    Long {
        /// The text.
        text: String,
        /// The length of its path in bytes.
        len: usize,
    },
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let transport = || EndpointError::Transport { text: text.into() };
        let (kind, rest) = text.split_once("://").ok_or_else(transport)?;
        match kind {
            "tcp" => {
                let port = || EndpointError::Port { text: text.into() };
                let (host, digits) = rest.rsplit_once(':').ok_or_else(port)?;
                if host.is_empty() {
                    return Err(transport());
                }
                let number = if digits == "*" { 0 } else { digits.parse().map_err(|_| port())? };
                Ok(Self::Tcp { host: host.into(), port: number })
            }
            "ipc" if rest.len() > IPC_PATH_BYTES_MAX => {
                Err(EndpointError::Long { text: text.into(), len: rest.len() })
            }
            "ipc" if rest.starts_with('@') || rest == "*" => {
                Err(EndpointError::Ownerless { text: text.into() })
            }
            "ipc" if !rest.is_empty() => Ok(Self::Ipc(rest.into())),
            "inproc" if !rest.is_empty() => Ok(Self::Inproc(rest.into())),
            _ => Err(transport()),
        }
    }
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

    /// Whether its host is an address of IPv6, which libzmq uses only when told to.
    pub fn is_ipv6(&self) -> bool {
        matches!(self, Self::Tcp { host, .. } if host.starts_with('['))
    }

    /// The address of this machine by which it reaches `peer`, for a peer that has to answer.
    pub fn local_address_towards(peer: &Self) -> Option<String> {
        let Self::Tcp { host, port } = peer else { return None };
        let target = (host.trim_matches(['[', ']']), *port).to_socket_addrs().ok()?.next()?;
        let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(target).ok()?;
        let address = socket.local_addr().ok()?.ip();
        Some(if address.is_ipv6() { format!("[{address}]") } else { address.to_string() })
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
    fn endpoints_have_a_text_form() {
        for text in ["tcp://127.0.0.1:5557", "tcp://[::1]:9", "ipc:///run/x", "inproc://a"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
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
    fn a_wrong_endpoint_is_told_what_is_right() {
        let told = |text: &str| text.parse::<Endpoint>().unwrap_err().to_string();
        assert!(told("localhost:5557").contains("tcp://HOST:PORT"));
        assert!(told("tcp://localhost").contains("needs a port"));
        assert!(told("udp://a:1").contains("no endpoint"));
        assert!(told("ipc://@abstract").contains("no socket that has an owner"));
        assert!(told(&format!("ipc:///{}", "x".repeat(200))).contains("201 bytes"));
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
        assert_eq!(Endpoint::local_address_towards(&peer).unwrap(), "127.0.0.1");
    }
}
