//! The frame of a record in a log: its length, its checksum, its bytes.
//!
//! Owns the form of the frame, and where a log ends: at the first record that is not whole. Refuses
//! to know what a record says.
#![cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "offsets of its own buffer"))]

use std::io::{self, Read};

/// Length and checksum in front of each record.
pub const FRAME_BYTES: usize = 8;
/// A longer record is taken for rubbish.
const RECORD_BYTES_MAX: usize = 1 << 30;

/// Appends the record that `write` appends, in its frame.
pub(super) fn append_record(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    let record = start + FRAME_BYTES;
    buffer.resize(record, 0);
    write(buffer);
    let len = (buffer.len() - record) as u32;
    let sum = crc32fast::hash(&buffer[record..]);
    buffer[start..start + 4].copy_from_slice(&len.to_le_bytes());
    buffer[start + 4..record].copy_from_slice(&sum.to_le_bytes());
}

/// Gives each whole record to `replay`, up to the first that is not; where that one begins.
pub(super) fn read_records(
    reader: &mut impl Read,
    mut replay: impl FnMut(&[u8]),
) -> io::Result<u64> {
    let mut bytes = 0;
    while let Some(record) = next_record(reader)? {
        bytes += (FRAME_BYTES + record.len()) as u64;
        replay(&record);
    }
    Ok(bytes)
}

/// The next whole record, or none at the first that is not.
pub(super) fn next_record(reader: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut frame = Vec::with_capacity(FRAME_BYTES);
    read_up_to(reader, FRAME_BYTES as u64, &mut frame)?;
    let Some((len, sum)) = read_frame(&frame) else { return Ok(None) };
    if len > RECORD_BYTES_MAX {
        return Ok(None);
    }
    let mut record = Vec::new();
    read_up_to(reader, len as u64, &mut record)?;
    Ok((record.len() == len && crc32fast::hash(&record) == sum).then_some(record))
}

/// Length and checksum, if the frame is all there.
fn read_frame(frame: &[u8]) -> Option<(usize, u32)> {
    let (len, rest) = frame.split_first_chunk()?;
    let (sum, _) = rest.split_first_chunk()?;
    Some((u32::from_le_bytes(*len) as usize, u32::from_le_bytes(*sum)))
}

/// Appends the next `bytes` bytes to a buffer, or as many as there are.
pub(super) fn read_up_to(reader: &mut impl Read, bytes: u64, to: &mut Vec<u8>) -> io::Result<()> {
    reader.take(bytes).read_to_end(to).map(drop)
}
