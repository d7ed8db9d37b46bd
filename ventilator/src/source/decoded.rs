//! From the raw bytes of a source to its text.
//!
//! Owns the decision what a source is, made at its first bytes and not by its name: a byte order
//! mark is passed over, gzip and zstd are unpacked, what is no UTF-8 text at all is refused by
//! name. Refuses to know lines, rows and values.

use std::io::{self, BufRead};

use super::{
    blocks::Input,
    peeked::Peeked,
    signature::{Content, content},
    unpack::{ContentError, unpacked},
};

/// How often something may be packed.
const LAYERS_MAX: u32 = 3;

/// The text of an input.
pub(super) struct Decoded {
    input: Peeked,
    begun: bool,
}

impl Decoded {
    /// Nothing is read before it is asked for.
    pub(super) fn new(raw: Box<dyn Input>) -> Self {
        Self { input: Peeked::new(raw), begun: false }
    }

    /// Finds out what the input is, layer by layer.
    fn begin(&mut self) -> io::Result<()> {
        for _ in 0..=LAYERS_MAX {
            match self.decide()? {
                Content::Packed(packing) => {
                    let nothing: Box<dyn Input> = Box::new(Nothing);
                    let packed = std::mem::replace(&mut self.input, Peeked::new(nothing));
                    self.input = Peeked::new(unpacked(packing, packed)?);
                }
                Content::Other(what, advice) => {
                    return Err(ContentError::Other { what, advice }.into());
                }
                Content::Text(mark) => {
                    self.input.consume(mark);
                    return Ok(());
                }
                Content::Undecided => {}
            }
        }
        let (what, advice) = ("packed many times over", "unpack it first");
        Err(ContentError::Other { what, advice }.into())
    }

    fn decide(&mut self) -> io::Result<Content> {
        let mut ended = false;
        loop {
            match content(self.input.ahead(), ended) {
                Content::Undecided if !ended => ended = !self.input.read_ahead()?,
                decided => return Ok(decided),
            }
        }
    }
}

impl Input for Decoded {
    fn append(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        if !self.begun {
            self.begin()?;
            self.begun = true;
        }
        self.input.append(to)
    }
}

struct Nothing;

impl Input for Nothing {
    fn append(&mut self, _: &mut Vec<u8>) -> io::Result<usize> {
        Ok(0)
    }
}
