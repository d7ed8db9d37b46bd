//! Processes that find each other: by every endpoint, in any order, in crowds, with keys, among strangers.

mod any_order;
mod crowds;
mod endpoints;
mod hostile_peers;
mod keys;
mod remote_workers;
