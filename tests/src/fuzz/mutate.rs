//! Changes to inputs, by seed.
//!
//! Owns what can be done to some bytes; refuses to know what they mean.

use fastrand::Rng;

/// The longest input that is made, in bytes.
pub const INPUT_BYTES_MAX: usize = 256;

/// Bytes at which decoders go wrong: markers of MessagePack, and the ends of ranges.
const EDGES: [u8; 20] = [
    0, 1, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x9f, 0xa0, 0xc0, 0xc1, 0xc4, 0xc6, 0xcf, 0xd9, 0xdc, 0xdd,
    0xdf, 0xfe, 0xff,
];

/// Changes `input` in one to eight ways; `other` is another input to take pieces from.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    for _ in 0..1 << rng.u32(0..4) {
        change(input, other, rng);
    }
    input.truncate(INPUT_BYTES_MAX);
}

fn change(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    if input.is_empty() {
        return append(input, 16, rng);
    }
    let at = rng.usize(..input.len());
    match rng.u32(0..11) {
        0 => input[at] ^= 1 << rng.u32(0..8),
        1 => input[at] = rng.u8(..),
        2 => input[at] = EDGES[rng.usize(..EDGES.len())],
        3 => input[at] = input[at].wrapping_add(rng.u8(..16)).wrapping_sub(8),
        4 => input.insert(at, rng.u8(..)),
        5 => drop(input.remove(at)),
        6 => input.truncate(at),
        7 => append(input, rng.usize(1..32), rng),
        8 => {
            let end = (at + rng.usize(1..64)).min(input.len());
            let piece = input[at..end].to_vec();
            let to = rng.usize(..=input.len());
            input.splice(to..to, piece);
        }
        9 => {
            let end = (at + rng.usize(1..64)).min(input.len());
            input.drain(at..end);
        }
        _ if !other.is_empty() => {
            let from = rng.usize(..other.len());
            let end = (from + rng.usize(1..256)).min(other.len());
            let until = if rng.bool() { at } else { (at + end - from).min(input.len()) };
            input.splice(at..until, other[from..end].iter().copied());
        }
        _ => {}
    }
}

fn append(input: &mut Vec<u8>, count: usize, rng: &mut Rng) {
    input.extend(std::iter::repeat_with(|| rng.u8(..)).take(count));
}
