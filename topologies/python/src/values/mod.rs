//! Objects of Python as MessagePack, and back.
//!
//! Owns the forms of values between processes of this package; refuses to know what a value is for.
//!
//! What MessagePack has, None, bool, int, float, str, bytes, list and dict with keys of text, travels as
//! that. The first other object makes the whole value an extension: pickled, and with large buffers
//! (arrays) beside the pickle, so that they are copied and not translated, or on a shelf, where they are not even sent. Tuples are such objects, since
//! they must not become lists.

mod decode;
mod encode;
mod raised;
mod shelved;

pub(crate) use self::{
    decode::Decoder,
    encode::{Encoder, Fault, append_raised, push_int, too_large},
    raised::Raised,
    shelved::Shelved,
};

/// The MessagePack extension types of this package.
pub(crate) mod ext {
    /// A pickle.
    pub(crate) const PICKLE: u8 = 1;
    /// A pickle with its buffers beside it: the pickle's length and the number of buffers (both u32), the
    /// length of each buffer (u64), then the pickle and the buffers. Numbers are big-endian.
    pub(crate) const BUFFERS: u8 = 2;
    /// What a function raised instead of returning: a pickle of what to raise.
    pub(crate) const RAISED: u8 = 3;
    /// A pickle whose buffers lie on a shelf of this machine (see `shelf.rs`): the shelf, the part and the number
    /// there, the number of buffers, the length of each (all u64, big-endian), then the pickle.
    pub(crate) const SHELVED: u8 = 4;
}
