//! Where a function's outputs go: encoded values, one after the other, and where each ends.
//!
//! Owns the encoding and the limits of what one unit may give; refuses to know which unit an
//! output belongs to beyond the one that is being worked on.

use std::ops::Range;

use proto::limits::Limits;
use proto::value::{push_uint, value_len};
use serde::Serialize;

use super::{Failure, SharedParts, lock_parts};

/// What an envelope may add to a value in its frame.
const FRAME_SLACK_BYTES: u64 = 64 << 10;

/// How many frames the outputs of one unit may fill together.
const UNIT_FRAMES_MAX: u64 = 4;

/// How much one unit may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits {
    /// Outputs of one unit.
    pub units_max: u32,
    /// Bytes of one output.
    pub value_bytes_max: usize,
    /// Bytes of all outputs of one unit; never above 4 GiB, because ends are 32-bit offsets.
    pub unit_bytes_max: usize,
}

impl From<&Limits> for OutputLimits {
    /// One value fits a frame with its envelope; one unit's outputs fill at most four frames.
    fn from(limits: &Limits) -> Self {
        let frame = limits.frame_bytes_max;
        let bounded = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            units_max: limits.expansion_units_max,
            value_bytes_max: bounded(frame.saturating_sub(FRAME_SLACK_BYTES)),
            unit_bytes_max: bounded(frame.saturating_mul(UNIT_FRAMES_MAX).min(u64::from(u32::MAX))),
        }
    }
}

impl OutputLimits {
    /// Whether so many bytes may be the one output of a unit.
    ///
    /// # Errors
    /// A [`Failure`] that names the limit.
    #[inline]
    pub(crate) fn admit_value(&self, len: usize) -> Result<(), Failure> {
        if self.units_max > 0 && len <= self.value_bytes_max {
            Ok(())
        } else {
            Err(self.refusal(0, len))
        }
    }

    /// Why one more output of `len` bytes is too much behind so many of the same unit.
    #[cold]
    fn refusal(&self, outputs: usize, len: usize) -> Failure {
        Failure::new(if outputs >= self.units_max as usize {
            format!(
                "more than {} outputs of one unit (the limit expansion_units_max)",
                self.units_max
            )
        } else if len > self.value_bytes_max {
            format!(
                "an output of {len} bytes, more than {} (from the limit frame_bytes_max)",
                self.value_bytes_max
            )
        } else {
            format!(
                "more than {} bytes of outputs of one unit ({UNIT_FRAMES_MAX} times the limit frame_bytes_max)",
                self.unit_bytes_max
            )
        })
    }
}

impl Default for OutputLimits {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}

/// The outputs of one unit or of several in a row.
///
/// Limits are a unit's: whoever collects several units here calls [`Outputs::begin_unit`] before
/// each, and takes the outputs out before they come near 4 GiB.
#[derive(Debug, Default)]
pub struct Outputs {
    payload: Vec<u8>,
    ends: Vec<u32>,
    limits: OutputLimits,
    /// How many outputs there were when the current unit began.
    begun: usize,
    // Where each is put as well, for whoever wants to see it at once.
    parts: Option<SharedParts>,
}

impl Outputs {
    /// No outputs yet.
    pub fn new(limits: OutputLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Each output can be seen there as soon as it is given.
    pub(crate) fn shown_in(self, parts: SharedParts) -> Self {
        Self { parts: Some(parts), ..self }
    }

    /// Says that what follows are the outputs of another unit.
    pub fn begin_unit(&mut self) {
        self.begun = self.ends.len();
    }

    /// Appends a value that is encoded already: `value` has to be exactly one MessagePack value,
    /// nested no deeper than [`proto::value::VALUE_DEPTH_MAX`]. This is not checked.
    ///
    /// # Errors
    /// A [`Failure`] when a limit is reached; nothing is appended then.
    #[inline]
    pub fn push_bytes(&mut self, value: &[u8]) -> Result<(), Failure> {
        debug_assert_eq!(value_len(value), Ok(value.len()));
        self.admit(value.len())?;
        self.payload.extend_from_slice(value);
        self.close();
        Ok(())
    }

    /// Appends a whole number.
    ///
    /// # Errors
    /// A [`Failure`] when a limit is reached; nothing is appended then.
    // A call of its own would be a tenth of what a short function takes.
    #[inline(always)]
    pub(crate) fn push_uint(&mut self, number: u64) -> Result<(), Failure> {
        const LONGEST: usize = 9;
        self.admit(LONGEST)?;
        push_uint(&mut self.payload, number);
        self.close();
        Ok(())
    }

    /// Appends a value. Structs become maps with their fields' names, and types with a
    /// human-readable form (addresses, dates) take that, because values are shown as JSON.
    ///
    /// # Errors
    /// A [`Failure`] when the value cannot be encoded, is nested too deep, or a limit is reached;
    /// nothing is appended then.
    #[inline]
    pub fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        let start = self.payload.len();
        let pushed = self.encode(value);
        if pushed.is_err() {
            self.payload.truncate(start);
        } else {
            self.close();
        }
        pushed
    }

    /// Appends what `write` appends: exactly one MessagePack value, nested no deeper than
    /// [`proto::value::VALUE_DEPTH_MAX`]. This is not checked.
    ///
    /// # Errors
    /// That of `write`, or a [`Failure`] when a limit is reached; nothing is appended then.
    #[inline]
    pub fn push_written<E: From<Failure>>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.payload.len();
        let written = write(&mut self.payload)
            .and_then(|()| Ok(self.admit_at(start, self.payload.len() - start)?));
        match written {
            Ok(()) => self.close(),
            Err(_) => self.payload.truncate(start),
        }
        written
    }

    #[inline]
    fn encode<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        let start = self.payload.len();
        let mut encoder =
            rmp_serde::Serializer::new(&mut self.payload).with_struct_map().with_human_readable();
        value
            .serialize(&mut encoder)
            .map_err(|error| Failure::new(format!("an output cannot be encoded: {error}")))?;
        let encoded = &self.payload[start..];
        // Only what nests can be too deep for the peers that read it; scalars and strings skip
        // the walk.
        if matches!(encoded.first(), Some(0x80..=0x9f | 0xdc..=0xdf)) {
            value_len(encoded)
                .map_err(|error| Failure::new(format!("an output cannot be sent: {error}")))?;
        }
        self.admit_at(start, encoded.len())
    }

    /// Whether `len` more bytes keep the limits.
    #[inline]
    fn admit(&self, len: usize) -> Result<(), Failure> {
        self.admit_at(self.payload.len(), len)
    }

    #[inline]
    fn admit_at(&self, start: usize, len: usize) -> Result<(), Failure> {
        let limits = &self.limits;
        let unit_start = self.end_of(self.begun);
        if self.ends.len() - self.begun < limits.units_max as usize
            && len <= limits.value_bytes_max
            && start + len - unit_start <= limits.unit_bytes_max
            && u32::try_from(start + len).is_ok()
        {
            return Ok(());
        }
        Err(limits.refusal(self.ends.len() - self.begun, len))
    }

    /// Ends the output that was appended last.
    #[inline]
    fn close(&mut self) {
        let end = u32::try_from(self.payload.len());
        self.ends.push(end.expect("admitted only while the offset fits 32 bits"));
        if self.parts.is_some() {
            self.show();
        }
    }

    #[cold]
    fn show(&self) {
        let start = self.end_of(self.ends.len() - 1);
        self.parts.iter().for_each(|parts| lock_parts(parts).push(&self.payload[start..]));
    }

    /// Where the first `count` outputs end.
    #[inline]
    fn end_of(&self, count: usize) -> usize {
        match count.checked_sub(1) {
            Some(last) => self.ends[last] as usize,
            None => 0,
        }
    }

    /// How many outputs there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The encoded values, one after the other.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// For each output, where it ends in the payload.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Each output's encoded value, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.range(0..self.len())
    }

    /// Some of them.
    pub(crate) fn range(
        &self,
        indices: Range<usize>,
    ) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        indices.map(|i| &self.payload[self.end_of(i)..self.end_of(i + 1)])
    }

    /// The limits it was made with.
    pub fn limits(&self) -> OutputLimits {
        self.limits
    }

    /// Keeps the first `count` outputs.
    pub fn truncate(&mut self, count: usize) {
        if count < self.ends.len() {
            self.payload.truncate(self.end_of(count));
            self.ends.truncate(count);
            self.begun = self.begun.min(count);
        }
    }

    /// Forgets what the current unit gave, also where its last output was not finished.
    pub fn forget_unit(&mut self) {
        self.ends.truncate(self.begun);
        self.payload.truncate(self.end_of(self.begun));
    }

    /// Forgets all outputs; the memory is kept for the next ones.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Hands over payload and ends, and starts anew.
    pub fn take(&mut self) -> (Vec<u8>, Vec<u32>) {
        self.begun = 0;
        (std::mem::take(&mut self.payload), std::mem::take(&mut self.ends))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Outputs {
        Outputs::new(OutputLimits { units_max: 3, value_bytes_max: 8, unit_bytes_max: 16 })
    }

    #[test]
    fn outputs_lie_one_after_the_other_and_each_end_is_known() {
        let mut out = Outputs::default();
        out.push(&7).unwrap();
        out.push("ab").unwrap();
        out.push_bytes(&[0xc0]).unwrap();
        assert_eq!(out.payload(), [7, 0xa2, b'a', b'b', 0xc0]);
        assert_eq!(out.ends(), [1, 4, 5]);
        let each: Vec<_> = out.iter().collect();
        assert_eq!(each, [&[7][..], &[0xa2, b'a', b'b'], &[0xc0]]);
        assert_eq!(out.take(), (vec![7, 0xa2, b'a', b'b', 0xc0], vec![1, 4, 5]));
        assert!(out.is_empty() && out.payload().is_empty());
    }

    #[test]
    fn a_struct_keeps_the_names_of_its_fields_and_an_address_is_readable() {
        #[derive(Serialize)]
        struct Host {
            name: &'static str,
            address: std::net::Ipv4Addr,
        }
        let mut out = Outputs::default();
        let host = Host { name: "here", address: std::net::Ipv4Addr::LOCALHOST };
        out.push(&host).unwrap();
        let mut json = Vec::new();
        proto::value::to_json(out.payload(), &mut json).unwrap();
        assert_eq!(json, br#"{"name":"here","address":"127.0.0.1"}"#);
    }

    #[test]
    fn one_output_too_many_is_a_failure_and_the_next_unit_starts_from_none() {
        let mut out = small();
        for _ in 0..3 {
            out.push(&1).unwrap();
        }
        let failure = out.push(&1).unwrap_err();
        assert_eq!(
            failure.text(),
            "more than 3 outputs of one unit (the limit expansion_units_max)"
        );
        assert_eq!((out.len(), out.payload().len()), (3, 3));
        out.begin_unit();
        out.push(&1).unwrap();
        assert_eq!(out.len(), 4);
    }

    #[test]
    fn an_output_that_is_too_large_is_a_failure_and_not_kept() {
        let mut out = small();
        out.push("1234567").unwrap();
        for failure in
            [out.push("12345678").unwrap_err(), out.push_bytes(b"\xa812345678").unwrap_err()]
        {
            assert_eq!(
                failure.text(),
                "an output of 9 bytes, more than 8 (from the limit frame_bytes_max)"
            );
        }
        assert_eq!(out.payload(), b"\xa71234567");
    }

    #[test]
    fn many_large_outputs_of_one_unit_are_a_failure() {
        let mut out = small();
        out.push("1234567").unwrap();
        out.push("1234567").unwrap();
        assert!(out.push(&1).unwrap_err().text().contains("16 bytes"));
        out.begin_unit();
        out.push(&1).unwrap();
    }

    #[test]
    fn truncating_discards_the_last_outputs_with_their_bytes() {
        let mut out = small();
        out.push("ab").unwrap();
        out.begin_unit();
        out.push(&1).unwrap();
        out.push(&2).unwrap();
        out.truncate(1);
        assert_eq!((out.payload(), out.ends()), (&b"\xa2ab"[..], &[3][..]));
        out.truncate(5);
        assert_eq!(out.len(), 1);
        out.clear();
        assert_eq!((out.payload(), out.ends()), (&[][..], &[][..]));
        out.push(&1).unwrap();
    }

    #[test]
    fn a_value_that_peers_would_refuse_as_too_deep_is_a_failure_here() {
        #[derive(Serialize)]
        struct Nest(Option<Box<[Nest; 1]>>);
        let nest =
            |levels: usize| (0..levels).fold(Nest(None), |inner, _| Nest(Some(Box::new([inner]))));
        let mut out = Outputs::default();
        out.push(&nest(127)).unwrap();
        let failure = out.push(&nest(128)).unwrap_err();
        assert!(failure.text().contains("deeper than 128"), "{failure}");
        assert_eq!(out.len(), 1);
    }
}
