//! Why two processes do not come to talk, and how that is told on both sides.
//!
//! Owns the words, and how often they are said: whoever knocks may knock a thousand times a
//! second. Refuses to decide who gets in.

use tracing::warn;

use super::endpoint::Endpoint;

/// What was wrong between a lane and an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// One side encrypts and the other does not.
    Encryption,
    /// They do not have the same key.
    Key,
    /// The other side does not speak the protocol.
    Protocol,
    /// The other side has taken the connection, and said nothing.
    Silent,
    /// The other side has closed the connection before both had agreed, and said no more. It may
    /// have found any of the other reasons.
    Closed,
}

impl Mismatch {
    /// What the process that was refused at `endpoint` tells its user. `key` is the fingerprint
    /// of its own key, unless it is insecure.
    pub fn told_to_the_refused(self, endpoint: &Endpoint, key: Option<&str>) -> String {
        match (self, key) {
            (Self::Protocol, _) => format!("{endpoint} is no process of a pipeline"),
            (Self::Silent, _) => format!("{endpoint} takes connections and does not answer"),
            (Self::Encryption, Some(_)) => {
                format!(
                    "{endpoint} is not encrypted: it runs with --insecure, this process does not"
                )
            }
            (Self::Encryption, None) => {
                format!("{endpoint} is encrypted, and this process runs with --insecure")
            }
            (Self::Key | Self::Closed, Some(key)) => format!(
                "{endpoint} does not know this key, {key}, or runs with --insecure; both need the same key file (`pipeline key fingerprint` shows which it is)"
            ),
            (Self::Key | Self::Closed, None) => format!(
                "{endpoint} has closed the connection; does it encrypt? this process runs with --insecure"
            ),
        }
    }
}

/// Who was not let in at one inbox.
#[derive(Debug)]
pub struct Refusals {
    key: Option<String>,
    counts: [u64; 4],
}

impl Refusals {
    /// Nobody yet. `key` is the fingerprint of the inbox's own key, unless it is insecure.
    pub fn new(key: Option<String>) -> Self {
        Self { key, counts: [0; 4] }
    }

    /// Someone was refused; tells it the first time, the second, the fourth, and so on.
    pub fn refused(&mut self, mismatch: Mismatch) {
        let [encryption, key, protocol, closed] = &mut self.counts;
        let (count, what) = match (mismatch, &self.key) {
            (Mismatch::Encryption, Some(_)) => (
                encryption,
                "refused a peer that does not encrypt; was it started with --insecure?",
            ),
            (Mismatch::Encryption, None) => {
                (encryption, "refused a peer that encrypts; this process runs with --insecure")
            }
            (Mismatch::Key, _) => {
                (key, "refused a peer with another key; it needs a copy of this one")
            }
            (Mismatch::Protocol | Mismatch::Silent, _) => {
                (protocol, "refused a peer that does not speak the protocol")
            }
            (Mismatch::Closed, Some(_)) => {
                (closed, "a peer left before it had shown a key; was it started with --insecure?")
            }
            (Mismatch::Closed, None) => (closed, "a peer left before it had said who it is"),
        };
        *count += 1;
        let count = *count;
        if count.is_power_of_two() {
            let key = self.key.as_deref().unwrap_or("none");
            warn!(key, count, "{what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refused_learns_which_of_the_two_has_to_change() {
        let endpoint = "tcp://10.0.0.1:5557".parse().unwrap();
        let told = |mismatch: Mismatch, key| mismatch.told_to_the_refused(&endpoint, key);
        assert!(told(Mismatch::Encryption, Some("ab")).contains("it runs with --insecure"));
        assert!(told(Mismatch::Encryption, None).contains("this process runs with --insecure"));
        assert!(told(Mismatch::Closed, Some("ab-cd")).contains("does not know this key, ab-cd"));
    }
}
