//! A value whose buffers lie on a shelf.
//!
//! Owns its form: where they lie, how long they are, and the pickle that they belong to; and the way back to a value that
//! holds them itself.

use std::io;

use super::{
    encode::{Fault, extension},
    ext,
};
use crate::shelf::{Place, Shelf};

/// What the content of such an extension says.
#[derive(Debug)]
pub(crate) struct Shelved<'a> {
    pub place: Place,
    /// Of the buffers, in their order.
    pub lengths: Vec<u64>,
    pub pickle: &'a [u8],
}

impl<'a> Shelved<'a> {
    /// Reads the content.
    pub fn read(mut content: &'a [u8]) -> Option<Self> {
        let rest = &mut content;
        let place = Place { shelf: number(rest)?, part: number(rest)?, number: number(rest)? };
        let count = number(rest)?;
        let lengths = (0..count).map(|_| number(rest)).collect::<Option<_>>()?;
        Some(Self { place, lengths, pickle: content })
    }

    /// What a value says, if it is one.
    pub fn of(value: &'a [u8]) -> Option<Self> {
        let (width, rest) = match value.split_first()? {
            (0xc7, rest) => (1, rest),
            (0xc8, rest) => (2, rest),
            (0xc9, rest) => (4, rest),
            _ => return None,
        };
        let (kind, content) = rest.get(width..)?.split_first()?;
        if *kind == ext::SHELVED { Self::read(content) } else { None }
    }

    /// Appends the value with its buffers.
    ///
    /// # Errors
    /// When they are not there any more, or are too large.
    pub fn append_whole(&self, shelf: &Shelf, out: &mut Vec<u8>) -> io::Result<()> {
        let bytes: u64 = self.lengths.iter().sum();
        let len = 8 + 8 * self.lengths.len() + self.pickle.len() + bytes as usize;
        out.reserve(len + 16);
        let mut read = Ok(());
        let written = extension(out, ext::BUFFERS, len, |out| {
            out.extend_from_slice(&(self.pickle.len() as u32).to_be_bytes());
            out.extend_from_slice(&(self.lengths.len() as u32).to_be_bytes());
            self.lengths.iter().for_each(|len| out.extend_from_slice(&len.to_be_bytes()));
            out.extend_from_slice(self.pickle);
            read = shelf.read(self.place, bytes as usize, out);
            Ok(())
        });
        written.map_err(|_| io::Error::other("it is too large"))?;
        read
    }
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (number, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u64::from_be_bytes(*number))
}

/// Appends a value whose buffers lie there.
pub(super) fn append(
    pickle: &[u8],
    lengths: &[u64],
    place: (u64, u64, u64),
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let len = 8 * (4 + lengths.len()) + pickle.len();
    extension(out, ext::SHELVED, len, |out| {
        let count = lengths.len() as u64;
        for number in [place.0, place.1, place.2, count].iter().chain(lengths) {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(pickle);
        Ok(())
    })
}
