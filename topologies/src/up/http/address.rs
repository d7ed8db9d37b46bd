//! Where the page of a run is served, as it is written on the command line.
//!
//! Owns the forms: a port, or an address with one. Refuses names of hosts, which may mean several.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use thiserror::Error;

/// It is no address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "write it as a port, or as an address with one, like 8080 or 127.0.0.1:8080; port 0 is any that is free"
)]
pub struct AddressError;

/// Reads it. A port alone is one of 127.0.0.1.
///
/// # Errors
/// [`AddressError`] when it is none.
pub fn address(text: &str) -> Result<SocketAddr, AddressError> {
    let here = |port: &str| {
        let port = port.parse().map_err(|_| AddressError)?;
        Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    };
    match text.strip_prefix("localhost:") {
        Some(port) => here(port),
        None => text.parse().or_else(|_| here(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_this_machine() {
        let told = |text| address(text).map(|address| address.to_string());
        assert_eq!(told("8080").as_deref(), Ok("127.0.0.1:8080"));
        assert_eq!(told("localhost:0").as_deref(), Ok("127.0.0.1:0"));
        assert_eq!(told("0.0.0.0:80").as_deref(), Ok("0.0.0.0:80"));
        assert_eq!(told("[::1]:9").as_deref(), Ok("[::1]:9"));
        for wrong in ["", "65536", "example.org:80", "127.0.0.1", "http://127.0.0.1:1/", "-1"] {
            assert_eq!(told(wrong), Err(AddressError), "{wrong}");
        }
    }
}
