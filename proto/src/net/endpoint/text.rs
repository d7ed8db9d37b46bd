//! The text form of endpoints: what is taken, and for everything else that ZeroMQ documents, or
//! that people write, why it is not.
//!
//! Owns the grammar; refuses to look at this machine, so what names a host or a folder may
//! turn out to be none later.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    str::FromStr,
};

use thiserror::Error;

use super::{Endpoint, IPC_PATH_BYTES_MAX};

/// The transports of ZeroMQ that no process here listens at, and why.
const FOREIGN: [(&str, &str); 10] = [
    ("pgm", "multicast cannot give each unit to one worker"),
    ("epgm", "multicast cannot give each unit to one worker"),
    ("norm", "multicast cannot give each unit to one worker"),
    ("udp", "datagrams get lost"),
    ("ws", "WebSockets are not built in"),
    ("wss", "WebSockets are not built in"),
    ("tipc", "TIPC is not built in"),
    ("vmci", "sockets between virtual machines are not built in"),
    ("vsock", "sockets between virtual machines are not built in"),
    ("hyperv", "sockets between virtual machines are not built in"),
];

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` {flaw}", text.escape_debug())]
pub struct EndpointError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What is wrong with an endpoint's text. `Display` goes on after the text itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Flaw {
    /// Nothing that ZeroMQ knows.
    #[error("is no endpoint; write tcp://HOST:PORT or ipc://PATH")]
    Transport,
    /// A transport of ZeroMQ's that is not used here.
    #[error(
        "is no endpoint of a pipeline, {scheme}:// is not used: {why}; write tcp://HOST:PORT or ipc://PATH"
    )]
    Foreign {
        /// The transport.
        scheme: String,
        /// Why it is not.
        why: &'static str,
    },
    /// Within one process, where several have to meet.
    #[error("is seen in its own process only; write tcp://HOST:PORT or ipc://PATH")]
    OwnProcess,
    /// The right letters in the wrong case.
    #[error("is no endpoint: write {0}:// in small letters")]
    Case(String),
    /// A character that no endpoint has.
    #[error("has a character that no endpoint can have")]
    Character,
    /// Nothing before the port.
    #[error(
        "needs a host before the port, as in tcp://127.0.0.1:5557, or * for all of this machine's addresses"
    )]
    NoHost,
    /// Nothing behind the last colon, or no colon.
    #[error("needs a port, as in tcp://127.0.0.1:5557")]
    NoPort,
    /// No number that a port can have.
    #[error("needs a port that is a number from 1 to 65535, or * for any that is free")]
    Port,
    /// A port that nobody can connect to.
    #[error("needs the port at which the other side listens: nobody can connect to 0 or *")]
    AnyPort,
    /// All addresses, where others have to be told one.
    #[error("needs a host that others can reach: * says nothing to them")]
    AnyHost,
    /// Something behind the port.
    #[error("has a `/` behind its host: only tcp://HOST:PORT is an endpoint, without a path")]
    Tail,
    /// An address to connect from.
    #[error(
        "names an address to connect from, before the `;`: that is not used, the system's routes choose it; write tcp://HOST:PORT"
    )]
    Source,
    /// An address of IPv6 without brackets, or without a port.
    #[error(
        "has colons in its host: an address of IPv6 is written in brackets, as in tcp://[::1]:5557"
    )]
    Brackets,
    /// Something else in brackets.
    #[error("has no address of IPv6 in its brackets")]
    NoIpv6,
    /// An address that means something else on every machine.
    #[error(
        "is an address of one link only, which cannot be told to others; use a global address or a name"
    )]
    LinkLocal,
    /// Digits and dots that are no address.
    #[error("is no address of IPv4, which has four numbers up to 255")]
    NoIpv4,
    /// No name that a host can have.
    #[error("has no host: that is an address or a name of letters, digits, `-`, `_` and `.`")]
    Host,
    /// A name that libzmq takes for something else than a file.
    #[error("is no socket that has an owner; write ipc://PATH")]
    Ownerless,
    /// No name at the end of the path.
    #[error("names a folder: a socket needs a name in it, as in ipc:///run/user/1000/v")]
    Folder,
    /// Too long for a Unix socket's address.
    #[error("is {len} bytes long, a Unix socket's path can have {IPC_PATH_BYTES_MAX}")]
    Long {
        /// The length of its path in bytes.
        len: usize,
    },
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        read(text).map_err(|flaw| EndpointError { text: text.into(), flaw })
    }
}

/// Where a process is to listen, for flags.
///
/// # Errors
/// [`EndpointError`] for what is no endpoint, or none between processes.
pub fn listening(text: &str) -> Result<Endpoint, EndpointError> {
    checked(text, |endpoint| match endpoint {
        Endpoint::Inproc(_) => Some(Flaw::OwnProcess),
        _ => None,
    })
}

/// Where another process listens, for flags. `*` is this machine.
///
/// # Errors
/// As [`listening`], and for a port that is still to be chosen.
pub fn elsewhere(text: &str) -> Result<Endpoint, EndpointError> {
    checked(text, |endpoint| match endpoint {
        Endpoint::Inproc(_) => Some(Flaw::OwnProcess),
        Endpoint::Tcp { port: 0, .. } => Some(Flaw::AnyPort),
        _ => None,
    })
}

/// What others are to be told, for flags.
///
/// # Errors
/// As [`elsewhere`], and for a host that says nothing to others.
pub fn told(text: &str) -> Result<Endpoint, EndpointError> {
    let endpoint = elsewhere(text)?;
    match endpoint.is_wildcard() {
        true => Err(EndpointError { text: text.into(), flaw: Flaw::AnyHost }),
        false => Ok(endpoint),
    }
}

fn checked(
    text: &str,
    flaw: impl FnOnce(&Endpoint) -> Option<Flaw>,
) -> Result<Endpoint, EndpointError> {
    let endpoint = text.parse()?;
    match flaw(&endpoint) {
        Some(flaw) => Err(EndpointError { text: text.into(), flaw }),
        None => Ok(endpoint),
    }
}

fn read(text: &str) -> Result<Endpoint, Flaw> {
    // libzmq takes text that ends at the first NUL, and its crate panics on one.
    if text.chars().any(char::is_control) {
        return Err(Flaw::Character);
    }
    let (scheme, rest) = text.split_once("://").ok_or(Flaw::Transport)?;
    match scheme {
        "tcp" => tcp(rest),
        "ipc" => ipc(rest),
        "inproc" if !rest.is_empty() => Ok(Endpoint::Inproc(rest.into())),
        other => Err(unknown(other)),
    }
}

fn unknown(scheme: &str) -> Flaw {
    let small = scheme.to_ascii_lowercase();
    if let Some((_, why)) = FOREIGN.iter().find(|(foreign, _)| *foreign == small) {
        return Flaw::Foreign { scheme: small, why };
    }
    match small.as_str() {
        "tcp" | "ipc" if small != scheme => Flaw::Case(small),
        _ => Flaw::Transport,
    }
}

fn tcp(rest: &str) -> Result<Endpoint, Flaw> {
    if rest.contains(';') {
        return Err(Flaw::Source);
    }
    if rest.contains('/') {
        return Err(Flaw::Tail);
    }
    let (host, port) = match rest.strip_prefix('[').map(|inner| inner.split_once(']')) {
        Some(Some((inner, behind))) => {
            ipv6(inner)?;
            (format!("[{inner}]"), behind.strip_prefix(':').ok_or(Flaw::NoPort)?)
        }
        Some(None) => return Err(Flaw::NoIpv6),
        None => {
            if rest.parse::<Ipv6Addr>().is_ok() {
                return Err(Flaw::Brackets);
            }
            let (host, port) = rest.rsplit_once(':').ok_or(Flaw::NoPort)?;
            plain_host(host)?;
            (host.to_owned(), port)
        }
    };
    Ok(Endpoint::Tcp { host, port: number(port)? })
}

fn number(port: &str) -> Result<u16, Flaw> {
    match port {
        "" => Err(Flaw::NoPort),
        "*" => Ok(0),
        // `parse` alone would take a sign.
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map_err(|_| Flaw::Port)
        }
        _ => Err(Flaw::Port),
    }
}

fn ipv6(inner: &str) -> Result<(), Flaw> {
    let (address, zone) = match inner.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (inner, None),
    };
    let address: Ipv6Addr = address.parse().map_err(|_| Flaw::NoIpv6)?;
    match address.is_unicast_link_local() || zone.is_some() {
        true => Err(Flaw::LinkLocal),
        false => Ok(()),
    }
}

fn plain_host(host: &str) -> Result<(), Flaw> {
    let letter = |c: char| c.is_ascii_alphanumeric();
    let of_name = |c: char| letter(c) || matches!(c, '-' | '_' | '.');
    match host {
        "" => Err(Flaw::NoHost),
        "*" => Ok(()),
        host if host.contains([':', '%']) => Err(Flaw::Brackets),
        host if !host.chars().all(of_name) || !host.starts_with(letter) => Err(Flaw::Host),
        host => {
            let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
            let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
            match is_number && host.parse::<Ipv4Addr>().is_err() {
                true => Err(Flaw::NoIpv4),
                false => Ok(()),
            }
        }
    }
}

fn ipc(path: &str) -> Result<Endpoint, Flaw> {
    match path {
        "" => Err(Flaw::Folder),
        path if path.len() > IPC_PATH_BYTES_MAX => Err(Flaw::Long { len: path.len() }),
        path if path.starts_with('@') || path == "*" => Err(Flaw::Ownerless),
        path if path.ends_with(['/']) || path.ends_with("/.") || path == "." => Err(Flaw::Folder),
        path if Path::new(path).file_name().is_none() => Err(Flaw::Folder),
        path => Ok(Endpoint::Ipc(path.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken, and how it is written then; what is not, and words of the reason. Every form
    /// of zmq_tcp(7), zmq_ipc(7), zmq_inproc(7) and of the transports that are not used.
    const TABLE: &[(&str, Result<&str, &str>)] = &[
        ("tcp://127.0.0.1:5557", Ok("tcp://127.0.0.1:5557")),
        ("tcp://localhost:5557", Ok("tcp://localhost:5557")),
        ("tcp://node-1.example.org.:5557", Ok("tcp://node-1.example.org.:5557")),
        ("tcp://my_host:1", Ok("tcp://my_host:1")),
        ("tcp://3com:1", Ok("tcp://3com:1")),
        ("tcp://eth0:5557", Ok("tcp://eth0:5557")),
        ("tcp://lo:*", Ok("tcp://lo:0")),
        ("tcp://*:*", Ok("tcp://*:0")),
        ("tcp://*:0", Ok("tcp://*:0")),
        ("tcp://*:5557", Ok("tcp://*:5557")),
        ("tcp://0.0.0.0:65535", Ok("tcp://0.0.0.0:65535")),
        ("tcp://127.0.0.1:0080", Ok("tcp://127.0.0.1:80")),
        ("tcp://[::1]:9", Ok("tcp://[::1]:9")),
        ("tcp://[::]:*", Ok("tcp://[::]:0")),
        ("tcp://[::ffff:10.0.0.1]:9", Ok("tcp://[::ffff:10.0.0.1]:9")),
        ("ipc:///run/x", Ok("ipc:///run/x")),
        ("ipc://v", Ok("ipc://v")),
        ("ipc://a folder/v", Ok("ipc://a folder/v")),
        ("inproc://a", Ok("inproc://a")),
        ("", Err("no endpoint")),
        ("localhost:5557", Err("tcp://HOST:PORT")),
        ("tcp:/localhost:5557", Err("no endpoint")),
        ("://a:1", Err("no endpoint")),
        ("http://a:1", Err("no endpoint")),
        ("inproc://", Err("no endpoint")),
        (" tcp://a:1", Err("no endpoint")),
        ("TCP://a:1", Err("write tcp:// in small letters")),
        ("Ipc:///x", Err("write ipc:// in small letters")),
        ("udp://a:1", Err("udp:// is not used: datagrams")),
        ("UDP://a:1", Err("udp:// is not used")),
        ("pgm://eth0;239.192.1.1:5555", Err("pgm:// is not used: multicast")),
        ("epgm://eth0;239.192.1.1:5555", Err("epgm:// is not used: multicast")),
        ("norm://239.192.1.1:5555", Err("norm:// is not used: multicast")),
        ("vmci://*:5555", Err("vmci:// is not used")),
        ("vsock://*:5555", Err("vsock:// is not used")),
        ("hyperv://*:5555", Err("hyperv:// is not used")),
        ("tipc://{5560,0,0}", Err("tipc:// is not used")),
        ("ws://127.0.0.1:1", Err("ws:// is not used: WebSockets")),
        ("wss://127.0.0.1:1", Err("wss:// is not used: WebSockets")),
        ("tcp://", Err("needs a port")),
        ("tcp://localhost", Err("needs a port")),
        ("tcp://localhost:", Err("needs a port")),
        ("tcp://[::1]", Err("needs a port")),
        ("tcp://[::1]5557", Err("needs a port")),
        ("tcp://:5557", Err("needs a host")),
        ("tcp://a:65536", Err("from 1 to 65535")),
        ("tcp://a:-1", Err("from 1 to 65535")),
        ("tcp://a:+1", Err("from 1 to 65535")),
        ("tcp://a:http", Err("from 1 to 65535")),
        ("tcp://a:!", Err("from 1 to 65535")),
        ("tcp://a: 1", Err("from 1 to 65535")),
        ("tcp://a:1 ", Err("from 1 to 65535")),
        ("tcp://a:1/", Err("without a path")),
        ("tcp://a/x:1", Err("without a path")),
        ("tcp://192.168.1.17:5555;192.168.1.1:5555", Err("to connect from")),
        ("tcp://eth0;192.168.1.1:5555", Err("to connect from")),
        ("tcp://::1:5557", Err("in brackets")),
        ("tcp://::1", Err("in brackets")),
        ("tcp://fe80::1%eth0:1", Err("in brackets")),
        ("tcp://a:1:2", Err("in brackets")),
        ("tcp://[fe80::1%eth0]:1", Err("one link only")),
        ("tcp://[fe80::1]:1", Err("one link only")),
        ("tcp://[::1:1", Err("no address of IPv6")),
        ("tcp://[127.0.0.1]:1", Err("no address of IPv6")),
        ("tcp://[*]:1", Err("no address of IPv6")),
        ("tcp://[]:1", Err("no address of IPv6")),
        ("tcp://256.0.0.1:1", Err("no address of IPv4")),
        ("tcp://127.1:1", Err("no address of IPv4")),
        ("tcp://1:1", Err("no address of IPv4")),
        ("tcp://a b:1", Err("has no host")),
        ("tcp://user@host:1", Err("has no host")),
        ("tcp://-a:1", Err("has no host")),
        ("tcp://bücher:1", Err("has no host")),
        ("tcp://a*:1", Err("has no host")),
        ("tcp://a\0b:1", Err("a character")),
        ("ipc:///a\0b", Err("a character")),
        ("inproc://a\0b", Err("a character")),
        ("tcp://a:1\n", Err("a character")),
        ("ipc://", Err("names a folder")),
        ("ipc:///tmp/", Err("names a folder")),
        ("ipc:///tmp/.", Err("names a folder")),
        ("ipc:///tmp/..", Err("names a folder")),
        ("ipc:///", Err("names a folder")),
        ("ipc://.", Err("names a folder")),
        ("ipc://@abstract", Err("no socket that has an owner")),
        ("ipc://*", Err("no socket that has an owner")),
    ];

    #[test]
    fn every_form_of_an_endpoint_is_taken_or_refused_by_name() {
        for (text, expected) in TABLE {
            let read = text.parse::<Endpoint>();
            match (expected, &read) {
                (Ok(written), Ok(endpoint)) => assert_eq!(endpoint.to_string(), *written, "{text}"),
                (Err(words), Err(error)) => {
                    let told = error.to_string();
                    assert!(told.contains(words), "{text:?}: {told}");
                    let begin = format!("`{}`", text.escape_debug());
                    assert!(told.starts_with(&begin), "{told}");
                }
                _ => panic!("{text:?}: {read:?}"),
            }
        }
        let long = format!("ipc:///{}", "x".repeat(200));
        assert!(long.parse::<Endpoint>().unwrap_err().to_string().contains("201 bytes"));
    }

    #[test]
    fn flags_refuse_what_is_of_no_use_in_their_place() {
        let refused = |read: Result<Endpoint, EndpointError>| read.err().map(|error| error.flaw);
        for text in ["tcp://*:*", "tcp://lo:0", "tcp://[::1]:1", "ipc://v"] {
            assert_eq!(refused(listening(text)), None, "{text}");
        }
        assert_eq!(refused(listening("inproc://a")), Some(Flaw::OwnProcess));
        assert_eq!(refused(elsewhere("inproc://a")), Some(Flaw::OwnProcess));
        for text in ["tcp://a:*", "tcp://127.0.0.1:0"] {
            assert_eq!(refused(elsewhere(text)), Some(Flaw::AnyPort), "{text}");
            assert_eq!(refused(told(text)), Some(Flaw::AnyPort), "{text}");
        }
        assert_eq!(refused(elsewhere("tcp://*:1")), None);
        for text in ["tcp://*:1", "tcp://0.0.0.0:1", "tcp://[::]:1"] {
            assert_eq!(refused(told(text)), Some(Flaw::AnyHost), "{text}");
        }
        assert_eq!(refused(told("tcp://a:1")), None);
    }
}
