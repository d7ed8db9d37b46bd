//! One wake-up for a loop that polls file descriptors.
//!
//! Owns a pipe with at most one byte in it; refuses to carry anything.

use std::{
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::fd::{AsRawFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The end that is polled.
#[derive(Debug)]
pub struct Wakeups {
    reader: PipeReader,
    raised: Arc<AtomicBool>,
}

/// The ends that wake; cheap to clone.
#[derive(Debug, Clone)]
pub struct Waker {
    writer: Arc<PipeWriter>,
    raised: Arc<AtomicBool>,
}

/// A new pair.
///
/// # Errors
/// When the process is out of file descriptors.
pub fn pair() -> io::Result<(Waker, Wakeups)> {
    let (reader, writer) = io::pipe()?;
    let raised = Arc::new(AtomicBool::new(false));
    Ok((Waker { writer: Arc::new(writer), raised: raised.clone() }, Wakeups { reader, raised }))
}

impl Waker {
    /// Wakes the loop, once however often it is called before the loop clears it.
    pub fn wake(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            // The pipe is never full: it holds one byte at most. If the reader is gone, so is
            // the loop that should wake.
            let _ = (&*self.writer).write_all(&[1]);
        }
    }
}

impl Wakeups {
    /// What to poll for reading.
    pub fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Takes the wake-up back; to be called before the loop looks at what it was woken for.
    pub fn clear(&mut self) {
        if self.raised.load(Ordering::Acquire) {
            let mut byte = [0];
            // Raised means that the byte is there or about to be: this does not block for long.
            let _ = self.reader.read(&mut byte);
            // A swap, since it has to see what was handed over before a wake-up that it swallows.
            self.raised.swap(false, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_calls_are_one_wake_up_and_the_next_is_another() {
        let (waker, mut wakeups) = pair().unwrap();
        for _ in 0..3 {
            (0..1000).for_each(|_| waker.wake());
            wakeups.clear();
            wakeups.clear();
        }
    }
}
