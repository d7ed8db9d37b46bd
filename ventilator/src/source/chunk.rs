//! What a source gives at a time: values, encoded.
//!
//! Owns when there are enough of them; refuses to know where they come from.

/// Values that were read, in order, as concatenated MessagePack.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The values.
    pub payload: Vec<u8>,
    /// Where each one ends.
    pub ends: Vec<u32>,
}

/// Bytes of values after which a chunk is full.
pub(super) const CHUNK_BYTES: usize = 256 << 10;

impl Chunk {
    /// How many values.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether it has as many values as asked, or bytes enough.
    pub fn is_full(&self, units_max: usize) -> bool {
        self.len() >= units_max || self.payload.len() >= CHUNK_BYTES
    }

    /// Ends the value whose bytes were appended last.
    pub fn end_value(&mut self) {
        self.ends.push(self.payload.len() as u32);
    }

    /// Appends a value.
    ///
    /// # Panics
    /// If the value has no MessagePack form; integers, strings and maps of strings have one.
    pub fn push(&mut self, value: &impl serde::Serialize) {
        rmp_serde::encode::write_named(&mut self.payload, value)
            .expect("plain values can be encoded");
        self.end_value();
    }
}
