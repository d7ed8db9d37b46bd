//! Room for a large frame in a connection on this machine.
//!
//! Linux gives a local socket room for 208 KiB, so a frame of a megabyte passes in pieces, and both
//! processes wake up for each. libzmq sets another size for tcp only, where the system finds one by
//! itself, and tells a connection's descriptor as a mere number. Owns the way from that number to
//! the socket: the system hands out a second descriptor of it (pidfd_getfd(2)).

use std::os::fd::RawFd;

use rustix::{
    io,
    net::sockopt::set_socket_send_buffer_size,
    process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
};

/// Linux grants twice as much, as far as `net.core.wmem_max` lets it.
const SEND_BUFFER_BYTES: usize = 512 << 10;

/// Makes room in a connection of this process.
///
/// # Errors
/// When the system or a sandbox does not know or allow it; everything works without, too.
pub(super) fn enlarge_send_buffer(connection: u32) -> io::Result<()> {
    let connection = RawFd::try_from(connection).map_err(|_| io::Errno::BADF)?;
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    let socket = pidfd_getfd(this, connection, PidfdGetfdFlags::empty())?;
    set_socket_send_buffer_size(socket, SEND_BUFFER_BYTES)
}

#[cfg(test)]
mod tests {
    use std::os::{fd::AsRawFd, unix::net::UnixStream};

    use rustix::net::sockopt::socket_send_buffer_size;

    use super::*;

    #[test]
    fn a_connection_known_by_its_number_gets_more_room() {
        let (here, _there) = UnixStream::pair().unwrap();
        let before = socket_send_buffer_size(&here).unwrap();
        if let Err(error) = enlarge_send_buffer(here.as_raw_fd().cast_unsigned()) {
            return eprintln!("SKIPPED: this machine does not allow it: {error}");
        }
        assert!(socket_send_buffer_size(&here).unwrap() > before);
    }
}
