//! What the cases read: lines, rows and files that are the same each time.
//!
//! Owns contents. Each is made of its number, so that a line in a wrong place is seen.

use std::fmt::Write;

/// A factor far above what 128 KiB of a file are written at once with.
const LARGE_BYTES: usize = 200_000;

pub(super) fn lines(count: u64) -> Vec<u8> {
    text(count, |text, number| writeln!(text, "LINE {number} OF Many"))
}

/// Every twentieth line is far larger than what is written at once.
pub(super) fn large_lines(count: u64) -> Vec<u8> {
    text(count, |text, number| match number % 20 {
        7 => writeln!(text, "LARGE {number} {}", "x".repeat(LARGE_BYTES + number as usize)),
        _ => writeln!(text, "SMALL {number}"),
    })
}

/// Numbers, so that `lower` fails each tenth.
pub(super) fn mixed_json(count: u64) -> Vec<u8> {
    text(count, |text, number| match number % 10 {
        3 => writeln!(text, "{number}"),
        _ => writeln!(text, "\"VALUE {number}\""),
    })
}

pub(super) fn objects(count: u64) -> Vec<u8> {
    text(count, |text, number| {
        writeln!(text, "{{\"n\": {number}, \"group\": \"g{}\"}}", number % 7)
    })
}

pub(super) fn table(count: u64) -> Vec<u8> {
    let rows = text(count, |text, number| writeln!(text, "{number},\"a \"\"{number}\"\", b\""));
    [b"number,words\n".to_vec(), rows].concat()
}

pub(super) fn prose(count: u64) -> Vec<u8> {
    text(count, |text, number| writeln!(text, "The word{} and the Other{number} of it", number % 9))
}

/// Milliseconds to sleep.
pub(super) fn pauses(count: u64) -> Vec<u8> {
    text(count, |text, number| writeln!(text, "{}", number % 3))
}

fn text(count: u64, line: impl Fn(&mut String, u64) -> std::fmt::Result) -> Vec<u8> {
    let mut text = String::new();
    for number in 0..count {
        line(&mut text, number).expect("a string takes everything");
    }
    text.into_bytes()
}
