//! What happened in a run, as one number and, when asked, as text.
//!
//! Owns the digest by which two runs are compared, and the last lines of the text.

use std::{collections::VecDeque, fmt};

use proto::frame::{Envelope, Frame};

use super::clock::Moment;

/// Whether the text is kept as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// The digest only.
    Digest,
    /// The digest and so many of the last lines.
    Text(usize),
}

/// What has happened so far.
#[derive(Debug)]
pub(super) struct Trace {
    digest: u64,
    detail: Detail,
    lines: VecDeque<String>,
}

impl Trace {
    pub fn new(detail: Detail) -> Self {
        Self { digest: 0xcbf2_9ce4_8422_2325, detail, lines: VecDeque::new() }
    }

    /// Notes that something happened to a process: `what` and `bytes` tell it apart.
    pub fn note(&mut self, at: Moment, process: usize, what: u64, bytes: &[u8]) {
        self.mix(at.0);
        self.mix(process as u64);
        self.mix(what);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    /// Adds a line to the text, if it is kept.
    pub fn say(&mut self, at: Moment, line: impl FnOnce() -> String) {
        if let Detail::Text(most) = self.detail {
            if self.lines.len() >= most {
                self.lines.pop_front();
            }
            self.lines.push_back(format!("{:>12.3} ms  {}", at.as_ms(), line()));
        }
    }

    /// The number that two equal runs have in common.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The last lines.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }

    /// FNV-1a over words instead of bytes.
    fn mix(&mut self, word: u64) {
        self.digest = (self.digest ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.digest ^= self.digest >> 29;
    }
}

/// Whether a frame says something that its receiver did not know: heartbeats fill no lines.
pub(super) fn is_news(envelope: &Envelope) -> bool {
    !matches!(envelope.frame, Frame::Beat | Frame::Credit(_))
}

/// A frame, short enough for a line.
pub(super) struct Short<'a>(pub &'a Envelope);

impl fmt::Display for Short<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:?}", self.0.frame);
        let end = text.char_indices().nth(300).map_or(text.len(), |(at, _)| at);
        write!(to, "session {} seq {} {}", self.0.session, self.0.seq, &text[..end])
    }
}
