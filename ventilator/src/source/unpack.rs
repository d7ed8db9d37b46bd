//! Compressed sources, unpacked while they are read.
//!
//! Owns what may follow what (members, frames, padding) and the place of a fault in the packed
//! bytes; refuses to unpack what is damaged any further.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use thiserror::Error;

use super::{
    blocks::{BLOCK_BYTES, Input},
    peeked::Peeked,
    signature::Packing,
};

/// Why a source is not read on, whatever it holds.
#[derive(Debug, Error)]
pub(super) enum ContentError {
    /// It is something else than text.
    #[error("it is {what}: {advice}")]
    Other { what: &'static str, advice: &'static str },
    /// It ends too early.
    #[error("its {packing} data is cut off: it ends at byte {at}, before it is complete")]
    Cut { packing: &'static str, at: u64 },
    /// It is not what was packed.
    #[error("its {packing} data is damaged, at byte {at} or before: {problem}")]
    Damaged { packing: &'static str, at: u64, problem: String },
    /// Something follows the packed data.
    #[error("at byte {at} its {packing} data ends, and something else follows")]
    Trailing { packing: &'static str, at: u64 },
}

impl From<ContentError> for io::Error {
    fn from(error: ContentError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Unpacks what `packed` gives.
pub(super) fn unpacked(packing: Packing, packed: Peeked) -> io::Result<Box<dyn Input>> {
    Ok(match packing {
        Packing::Gzip => Box::new(Gunzip(Some(GzDecoder::new(packed)))),
        Packing::Zstd => Box::new(Unzstd(zstd::Decoder::with_buffer(packed)?)),
    })
}

/// Appends what one read gives, in steps that stay small where there is much room.
fn append(from: &mut impl Read, to: &mut Vec<u8>) -> io::Result<usize> {
    let start = to.len();
    let room = (to.capacity() - start).min(BLOCK_BYTES);
    to.resize(start + room, 0);
    let read = from.read(&mut to[start..]);
    to.truncate(start + read.as_ref().map_or(0, |count| *count));
    read
}

fn named(packing: &'static str, packed: &Peeked, error: io::Error) -> io::Error {
    let at = packed.position();
    match error.kind() {
        // What was said of the input below stays as it is.
        _ if packed.has_failed() => error,
        io::ErrorKind::UnexpectedEof => ContentError::Cut { packing, at }.into(),
        _ => ContentError::Damaged { packing, at, problem: error.to_string() }.into(),
    }
}

/// One member after the other; none only after the last, or after a failure.
struct Gunzip(Option<GzDecoder<Peeked>>);

impl Input for Gunzip {
    fn append(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        while let Some(decoder) = &mut self.0 {
            match append(decoder, to) {
                Ok(0) if to.capacity() > to.len() => self.0 = next_member(self.0.take())?,
                Ok(count) => return Ok(count),
                Err(error) => return Err(named("gzip", decoder.get_ref(), error)),
            }
        }
        Ok(0)
    }
}

/// What follows a member: another one, padding (as on tapes) or nothing.
fn next_member(ended: Option<GzDecoder<Peeked>>) -> io::Result<Option<GzDecoder<Peeked>>> {
    let Some(ended) = ended else { return Ok(None) };
    let mut rest = ended.into_inner();
    loop {
        let at = rest.position();
        let bytes = rest.fill_buf()?;
        let padding = bytes.iter().take_while(|byte| **byte == 0).count();
        match bytes {
            [] => return Ok(None),
            [0x1f, ..] => return Ok(Some(GzDecoder::new(rest))),
            [0, ..] => rest.consume(padding),
            _ => return Err(ContentError::Trailing { packing: "gzip", at }.into()),
        }
    }
}

struct Unzstd(zstd::Decoder<'static, Peeked>);

impl Input for Unzstd {
    fn append(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        append(&mut self.0, to).map_err(|error| named("zstd", self.0.get_ref(), error))
    }
}
