//! How a process of this machine introduces itself.
//!
//! Owns what it says of where it runs; refuses to know its endpoints, which the mesh tells each peer.

use std::process;

use super::endpoint::this_host;
use crate::frame::{Hello, HelloRole};

/// The Hello of this process in a role, by the name that people know it by.
pub fn hello(role: HelloRole, name: &str) -> Hello {
    Hello {
        role,
        name: name.to_owned(),
        endpoints: Vec::new(),
        host: this_host(),
        pid: process::id(),
    }
}
