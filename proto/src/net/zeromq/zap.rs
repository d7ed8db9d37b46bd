//! Which keys may connect: the handler that libzmq asks, and that it has to ask.
//!
//! Owns the answers; refuses to know who has a key.

use std::{
    os::raw::{c_int, c_void},
    sync::atomic::{AtomicBool, Ordering},
};

use tracing::warn;
use zmq::{PollEvents, PollItem, Socket};

use crate::net::{key::fingerprint, waker::Wakeups};

/// Where libzmq asks who may connect; see <https://rfc.zeromq.org/spec/27/>.
pub(super) const ENDPOINT: &str = "inproc://zeromq.zap.01";
/// Of an inbox that only the keys admit to.
pub(super) const KEYED_DOMAIN: &str = "keyed";
/// Of an inbox that this machine's file permissions guard.
pub(super) const LOCAL_DOMAIN: &str = "local";
/// `ZMQ_ZAP_ENFORCE_DOMAIN`, which the `zmq` crate does not wrap.
const ENFORCE_DOMAIN: c_int = 93;

/// Without this option libzmq admits every key when no ZAP handler is alive.
pub(super) fn enforce_domain(socket: &mut Socket) -> Result<(), zmq::Error> {
    let enforce: c_int = 1;
    let address: *const c_int = &enforce;
    let raw = socket.as_mut_ptr();
    // SAFETY: `raw` is a live socket that nothing else uses during this call, and the option
    // takes one int, which `address` points at. The crate has no safe way to set this option.
    #[allow(unsafe_code)]
    let code = unsafe {
        zmq_sys::zmq_setsockopt(raw, ENFORCE_DOMAIN, address.cast::<c_void>(), size_of::<c_int>())
    };
    if code == 0 { Ok(()) } else { Err(zmq::Error::EINVAL) }
}

/// The body of the thread that libzmq asks whether a key may connect.
pub(super) fn admit(
    socket: &Socket,
    admitted: &[Vec<u8>],
    mut wakeups: Wakeups,
    halt: &AtomicBool,
) -> Result<(), zmq::Error> {
    let mut strangers = 0_u64;
    loop {
        wakeups.clear();
        if halt.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut items = [
            PollItem::from_fd(wakeups.fd(), PollEvents::POLLIN),
            socket.as_poll_item(PollEvents::POLLIN),
        ];
        match zmq::poll(&mut items, -1) {
            Err(zmq::Error::EINTR) | Ok(0) => continue,
            other => other?,
        };
        if !items[1].is_readable() {
            continue;
        }
        let request = socket.recv_multipart(0)?;
        let known = match &request[..] {
            [_, _, domain, _, _, mechanism] => {
                domain == LOCAL_DOMAIN.as_bytes() && mechanism == b"NULL"
            }
            [_, _, _, _, _, mechanism, key] => mechanism == b"CURVE" && admitted.contains(key),
            _ => false,
        };
        let id = request.get(1).cloned().unwrap_or_default();
        // 300 asks a stranger to try later; 400 would make its socket give up without a word.
        let (code, text) = if known { ("200", "OK") } else { ("300", "unknown key") };
        let answer = ["1.0".as_bytes(), &id, code.as_bytes(), text.as_bytes(), b"", b""];
        socket.send_multipart(answer, 0)?;
        if !known {
            strangers += 1;
            if strangers.is_power_of_two() {
                tell_stranger(&request, strangers);
            }
        }
    }
}

/// A peer knows the public half of this inbox's key, and has another one itself.
fn tell_stranger(request: &[Vec<u8>], count: u64) {
    let peer = request.get(3).map(|address| String::from_utf8_lossy(address)).unwrap_or_default();
    // So does an inbox for both kinds of addresses write those of IPv4.
    let peer = peer.strip_prefix("::ffff:").unwrap_or(&peer);
    let key = request.get(6).filter(|key| key.len() == 32);
    let key = key.and_then(|key| zmq::z85_encode(key).ok()).unwrap_or_default();
    let key = fingerprint(&key);
    warn!(%peer, key, count, "refused a peer whose key is not accepted here");
}
