//! CURVE keys, as libzmq makes and reads them.
//!
//! Owns whether this program can encrypt at all, and the form of a key; refuses to know whose key it
//! is.

use super::NetError;
use crate::net::z85;

/// Whether the libzmq that was built in can encrypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// It can, as it does wherever the `zeromq-src` of this project took the place of the other.
    BuiltIn,
    /// It can't: who depends on these crates has not said which `zeromq-src` is to be built.
    Missing,
}

/// What a program without CURVE is told when it shall talk over tcp.
pub const WITHOUT_CURVE: &str = "built without CURVE, so nothing can be encrypted over tcp; add \
     `[patch.crates-io]` with this project's `zeromq-src` to your Cargo.toml, as its README shows, and run \
     `cargo update -p zeromq-src`; or use ipc://, or no encryption (--insecure)";

impl Curve {
    /// Whether this program has it.
    pub fn here() -> Self {
        if zmq::has("curve") == Some(true) { Self::BuiltIn } else { Self::Missing }
    }

    /// Refuses to go on without it.
    pub(super) fn needed(self) -> Result<(), NetError> {
        match self {
            Self::BuiltIn => Ok(()),
            Self::Missing => Err(NetError::WithoutCurve),
        }
    }
}

/// A new CURVE key pair in Z85: public, secret. Where there is no [`Curve`] it is two keys of
/// chance, which fit nothing: nobody talks to anybody with them.
#[expect(clippy::expect_used, reason = "nothing of a peer's is in it")]
pub fn new_key_pair() -> (String, String) {
    let text = |half: &[u8]| zmq::z85_encode(half).expect("32 bytes have a Z85 form");
    if let Ok(pair) = zmq::CurveKeyPair::new() {
        return (text(&pair.public_key), text(&pair.secret_key));
    }
    let mut halves = [[0; 32]; 2];
    // Without chance they are no worse.
    let _ = halves.iter_mut().try_for_each(|half| getrandom::fill(half));
    let [public, secret] = halves.map(|half| text(&half));
    (public, secret)
}

/// The bytes of one half of a key pair; none of what is no key.
pub fn decode_key(half: &str) -> Vec<u8> {
    z85::decode(half).unwrap_or_default()
}

/// Whether a text is one half of a key pair.
pub fn valid_key(text: &str) -> bool {
    z85::decode(text).is_some_and(|half| half.len() == 32)
}
