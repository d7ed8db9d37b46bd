//! The processes of the ZeroMQ guide's own pipeline, which ours is measured against.
//!
//! Owns what each of them does, as tightly as can be written: no acknowledgement, no recovery, one
//! unit a message, and an end that is known by count. Refuses to start any; that is
//! [`processes`]'s.

pub mod processes;
mod sockets;

use std::{
    fs::File,
    hint,
    io::{self, BufRead, Read, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use proto::net::{endpoint::Endpoint, zeromq::NetError};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use self::sockets::{Bare, Push, Whole};

/// The longest line of those that are sent one at a time.
const LINE_BYTES_MAX: usize = 64;

/// Why a process of the guide's pipeline ended early.
#[derive(Debug, thiserror::Error)]
pub enum BareError {
    /// A socket.
    #[error(transparent)]
    Net(#[from] NetError),
    /// What is sent can't be read, or what came can't be printed.
    #[error("cannot read or print: {0}")]
    Io(#[from] io::Error),
}

/// What the ventilator tells before it sends.
#[derive(Debug, Serialize, Deserialize)]
pub struct Begun {
    /// When it began to send, on the machine's monotonic clock.
    pub begun_ns: u64,
}

/// What the sink tells at its end.
#[derive(Debug, Serialize, Deserialize)]
pub struct Collected {
    /// When the last unit had come, on the machine's monotonic clock.
    pub ended_ns: u64,
    /// How many came.
    pub count: u64,
    /// The sum of the values, or of the lengths of large ones.
    pub sum: u128,
}

/// Where a ventilator listens, and for how many workers it waits before it begins.
#[derive(Debug)]
pub struct Gate {
    /// Where.
    pub bind: Endpoint,
    /// How many.
    pub workers: u32,
}

/// Nanoseconds on a clock that all processes of the machine share.
fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

impl Gate {
    /// Sends when all workers are there, and then waits to be killed: a process that leaves loses
    /// what libzmq still has of its last messages. `begins` is called before the first one.
    fn send(
        &self,
        begins: impl FnOnce(Begun),
        send: impl FnOnce(&Push) -> Result<(), BareError>,
    ) -> Result<(), BareError> {
        let bare = Bare::new();
        let entrance = bare.push_at(&self.bind)?;
        let push = entrance.await_peers(self.workers)?;
        begins(Begun { begun_ns: now_ns() });
        send(push)?;
        loop {
            thread::park();
        }
    }

    /// Sends the numbers 1 to `units`.
    ///
    /// # Errors
    /// [`BareError`] when a socket fails.
    pub fn send_range(&self, units: u64, begins: impl FnOnce(Begun)) -> Result<(), BareError> {
        self.send(begins, |push| {
            for number in 1..=units {
                push.send(&number.to_le_bytes())?;
            }
            Ok(())
        })
    }

    /// Sends the numbers in a file, one a line.
    ///
    /// # Errors
    /// [`BareError`] when the file can't be read or a socket fails.
    pub fn send_numbers(&self, path: &Path, begins: impl FnOnce(Begun)) -> Result<(), BareError> {
        let text = std::fs::read_to_string(path)?;
        let numbers = text.lines().map(str::parse).collect::<Result<Vec<u64>, _>>();
        let numbers = numbers.map_err(io::Error::other)?;
        self.send(begins, |push| {
            for number in &numbers {
                push.send(&number.to_le_bytes())?;
            }
            Ok(())
        })
    }

    /// Sends `units` lines of `length` bytes from a file, each read into the message itself.
    ///
    /// # Errors
    /// [`BareError`] when the file can't be read or a socket fails.
    pub fn send_payloads(
        &self,
        path: &Path,
        [units, length]: [usize; 2],
        begins: impl FnOnce(Begun),
    ) -> Result<(), BareError> {
        let mut file = File::open(path)?;
        self.send(begins, |push| {
            for _ in 0..units {
                let mut payload = Vec::with_capacity(length);
                (&mut file).take(length as u64).read_to_end(&mut payload)?;
                file.read_exact(&mut [0])?;
                push.forward(Whole::from(payload))?;
            }
            Ok(())
        })
    }

    /// Sends each line of standard input when it comes.
    ///
    /// # Errors
    /// [`BareError`] when a socket fails.
    pub fn send_lines(&self, begins: impl FnOnce(Begun)) -> Result<(), BareError> {
        self.send(begins, |push| {
            let mut input = io::stdin().lock();
            let mut line = Vec::with_capacity(LINE_BYTES_MAX);
            while input.read_until(b'\n', &mut line)? > 0 {
                push.send(&line)?;
                line.clear();
            }
            Ok(())
        })
    }
}

/// Receives numbers, squares them and sends them on, until it is killed.
///
/// # Errors
/// [`BareError`] when a socket fails.
pub fn square(from: &Endpoint, to: &Endpoint) -> Result<(), BareError> {
    each_number(from, to, |number| number.wrapping_mul(number))
}

/// Receives durations in microseconds, computes as long and sends them on, until it is killed.
///
/// # Errors
/// [`BareError`] when a socket fails.
pub fn spin(from: &Endpoint, to: &Endpoint) -> Result<(), BareError> {
    each_number(from, to, |micros| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(micros) {
            hint::spin_loop();
        }
        micros
    })
}

/// Receives anything and sends it on as it is, until it is killed.
///
/// # Errors
/// [`BareError`] when a socket fails.
pub fn echo(from: &Endpoint, to: &Endpoint) -> Result<(), BareError> {
    let bare = Bare::new();
    let (push, pull) = (bare.push_to(to)?, bare.pull_from(from)?);
    loop {
        push.forward(pull.receive()?)?;
    }
}

fn each_number(from: &Endpoint, to: &Endpoint, work: impl Fn(u64) -> u64) -> Result<(), BareError> {
    let bare = Bare::new();
    let (push, pull) = (bare.push_to(to)?, bare.pull_from(from)?);
    let mut bytes = [0; 8];
    loop {
        pull.receive_into(&mut bytes)?;
        push.send(&work(u64::from_le_bytes(bytes)).to_le_bytes())?;
    }
}

/// Receives `units` numbers, and counts and sums them.
///
/// # Errors
/// [`BareError`] when a socket fails.
pub fn collect(bind: &Endpoint, units: u64) -> Result<Collected, BareError> {
    let bare = Bare::new();
    let pull = bare.pull_at(bind)?;
    let (mut count, mut sum) = (0, 0u128);
    let mut bytes = [0; 8];
    while count < units {
        pull.receive_into(&mut bytes)?;
        count += 1;
        sum += u128::from(u64::from_le_bytes(bytes));
    }
    Ok(Collected { ended_ns: now_ns(), count, sum })
}

/// Receives `units` payloads, and counts them and sums their lengths.
///
/// # Errors
/// [`BareError`] when a socket fails.
pub fn gather(bind: &Endpoint, units: u64) -> Result<Collected, BareError> {
    let bare = Bare::new();
    let pull = bare.pull_at(bind)?;
    let (mut count, mut sum) = (0, 0u128);
    while count < units {
        sum += pull.receive()?.len() as u128;
        count += 1;
    }
    Ok(Collected { ended_ns: now_ns(), count, sum })
}

/// Receives lines, and prints each when it comes, until it is killed.
///
/// # Errors
/// [`BareError`] when a socket fails or nobody reads.
pub fn print_lines(bind: &Endpoint) -> Result<(), BareError> {
    let bare = Bare::new();
    let pull = bare.pull_at(bind)?;
    let mut output = io::stdout().lock();
    let mut line = [0; LINE_BYTES_MAX];
    loop {
        let length = pull.receive_into(&mut line)?.min(LINE_BYTES_MAX);
        output.write_all(&line[..length])?;
        output.flush()?;
    }
}
