//! What a host's name means to a process that listens: an address of this machine's.
//!
//! Owns that peers are told an address, since a name may mean something else to them; refuses to
//! look interfaces up: libzmq as it is built here knows none, and neither does the system's own look-up.

use std::net::ToSocketAddrs;

use super::{
    endpoint::{Endpoint, host_of},
    zeromq::NetError,
};

/// The endpoint with an address in place of a name.
///
/// # Errors
/// [`NetError::Host`] when nobody knows its host.
pub fn settle(endpoint: &Endpoint) -> Result<Endpoint, NetError> {
    let Endpoint::Tcp { host, port } = endpoint else { return Ok(endpoint.clone()) };
    if !endpoint.has_name() {
        return Ok(endpoint.clone());
    }
    match looked_up(host) {
        Some(host) => Ok(Endpoint::Tcp { host, port: *port }),
        None => Err(NetError::Host { endpoint: endpoint.clone() }),
    }
}

/// The address that a name stands for.
fn looked_up(name: &str) -> Option<String> {
    let found: Vec<_> = (name, 0).to_socket_addrs().ok()?.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.map(|address| host_of(address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_an_address_and_addresses_stay() {
        for (text, settled) in [
            ("tcp://localhost:*", "tcp://127.0.0.1:0"),
            ("tcp://localhost:1", "tcp://127.0.0.1:1"),
            ("tcp://*:1", "tcp://*:1"),
            ("tcp://[::1]:1", "tcp://[::1]:1"),
            ("tcp://10.1.2.3:1", "tcp://10.1.2.3:1"),
            ("ipc://v", "ipc://v"),
        ] {
            assert_eq!(settle(&text.parse().unwrap()).unwrap().to_string(), settled);
        }
        // So long a name is not even asked for.
        let nowhere = format!("tcp://{}:1", "x".repeat(64));
        let told = settle(&nowhere.parse().unwrap()).unwrap_err();
        assert!(told.to_string().contains("no name that this machine knows"), "{told}");
    }
}
