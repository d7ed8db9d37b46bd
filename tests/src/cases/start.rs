//! A launcher with what it reads on standard input.
//!
//! Owns the pipe and whoever writes into it.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use super::{Case, INPUT, Stdin};
use crate::place::Place;
use crate::process::Process;
use crate::wait;

/// A pipe takes 64 KiB at once.
const PIECE_BYTES_MAX: usize = 50_000;

/// Starts `command` in `folder`, its input from the case's beginning. What comes by a pipe takes about
/// `lasts`.
///
/// # Panics
/// When it can't be started.
pub fn start(
    case: &Case,
    place: &Place,
    folder: &Path,
    command: Command,
    lasts: Duration,
) -> Process {
    let input = match case.stdin {
        Stdin::Nothing => Stdio::null(),
        Stdin::File => File::open(folder.join(INPUT)).expect("the case has an input").into(),
        Stdin::Pipe => Stdio::piped(),
    };
    let mut process = place.start_with("up", command, input);
    if let Some(pipe) = process.take_input() {
        let content = std::fs::read(folder.join(INPUT)).expect("the case has an input");
        let seed = u64::from(process.id());
        thread::spawn(move || feed(pipe, &content, lasts, Rng::with_seed(seed)));
    }
    process
}

/// Writes until all is written, or nobody reads any more.
fn feed(mut pipe: ChildStdin, content: &[u8], lasts: Duration, mut rng: Rng) {
    let pieces = content.len() / (PIECE_BYTES_MAX / 2) + 1;
    let pause = lasts / u32::try_from(pieces).unwrap_or(u32::MAX);
    let mut rest = content;
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(rng.usize(1..=PIECE_BYTES_MAX).min(rest.len()));
        if pipe.write_all(piece).is_err() {
            return;
        }
        rest = later;
        wait::pace(pause, || false);
    }
}
