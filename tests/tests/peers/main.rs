//! Processes that find each other: by every endpoint, in any order, with keys, among strangers.

mod any_order;
mod endpoints;
mod hostile_peers;
mod keys;
mod remote_workers;
