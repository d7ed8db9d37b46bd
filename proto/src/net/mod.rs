//! Sockets: one inbox a process, a lane to each peer, and the loop that joins them to a role.

pub mod door;
pub mod driver;
pub mod endpoint;
pub mod hello;
pub mod host;
pub mod key;
pub mod lock;
mod send_buffer;
pub mod waker;
mod z85;
pub mod zeromq;
