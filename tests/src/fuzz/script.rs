//! Bytes as a script: what happens next, and with which numbers.
//!
//! Owns the way from bytes to choices. Every script is valid and every prefix of one too, so that
//! whatever a mutation does to it gives another script. Numbers are mostly small, so that they meet
//! each other, and sometimes at the edge of their type.

/// A script that is read.
#[derive(Debug)]
pub struct Script<'a>(&'a [u8]);

/// Numbers at which arithmetic goes wrong.
const EDGES: [u64; 12] = [
    u64::MAX,
    u64::MAX - 1,
    i64::MAX as u64,
    1 << 63,
    u32::MAX as u64,
    u32::MAX as u64 + 1,
    1 << 32,
    i32::MAX as u64,
    1 << 20,
    65_536,
    256,
    127,
];

impl<'a> Script<'a> {
    /// From the start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A choice of so many; at most 256.
    pub fn below(&mut self, count: u64) -> u64 {
        u64::from(self.byte()) % count
    }

    /// One in two.
    pub fn coin(&mut self) -> bool {
        self.below(2) == 1
    }

    /// Any number, most often a small one.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            byte @ 0..=199 => u64::from(byte) % 24,
            byte @ 200..=239 => EDGES[usize::from(byte) % EDGES.len()],
            _ => (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte())),
        }
    }

    /// The same, cut to 32 bits.
    pub fn number32(&mut self) -> u32 {
        self.number() as u32
    }

    /// The next bytes, a few of them.
    pub fn bytes(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }
}

/// Adds to a fingerprint of what was seen.
pub fn note(seen: &mut u64, what: u64) {
    *seen = (*seen ^ what).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
}

/// How large something is, roughly: numbers that differ little are the same.
pub fn about(number: u64) -> u64 {
    u64::from(64 - number.leading_zeros())
}
