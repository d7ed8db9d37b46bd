//! The processes of the ZeroMQ guide's own pipeline, which ours is measured against.
//!
//! Owns what each of them does, as tightly as can be written: no acknowledgement, no recovery, one
//! unit a message, and an end that is known by count. Refuses to start any; that is
//! [`against_bare`](super::against_bare)'s.

use std::{
    hint, thread,
    time::{Duration, Instant},
};

use proto::net::{bare::Bare, endpoint::Endpoint, zeromq::NetError};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Why a process of the guide's pipeline ended early.
#[derive(Debug, thiserror::Error)]
pub enum BareError {
    /// A socket.
    #[error(transparent)]
    Net(#[from] NetError),
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

/// Nanoseconds on a clock that all processes of the machine share.
pub fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sends the numbers 1 to `units`, and then waits to be killed: a process that leaves loses what
/// libzmq still has of its last messages. `begins` is called before the first one.
///
/// # Errors
/// [`BareError`] when a socket fails.
pub fn send_range(
    bind: &Endpoint,
    workers: u32,
    units: u64,
    begins: impl FnOnce(Begun),
) -> Result<(), BareError> {
    let bare = Bare::new();
    let entrance = bare.push_at(bind)?;
    let push = entrance.await_peers(workers)?;
    begins(Begun { begun_ns: now_ns() });
    for number in 1..=units {
        push.send(&number.to_le_bytes())?;
    }
    loop {
        thread::park();
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
