//! One long-lived program that is written to and read from by a thread of its own.
//!
//! Owns that thread, and the letters on their way in both directions; refuses to know what a line
//! means, and which answers which. Whoever writes never waits for the program.

use std::{
    io::{self, PipeWriter, Write},
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::halt::{Bounds, Halt, halted};
use super::program::Program;
use crate::Failure;
use crate::concurrent::Waker;

/// How long a program may take to leave after its input has ended.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// How it is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Leave,
    Kill,
}

#[derive(Debug, Default)]
struct Letters {
    outgoing: Vec<u8>,
    incoming: Vec<Vec<u8>>,
    ending: Option<Ending>,
    // Why nothing comes any more.
    ended: Option<Failure>,
    rung: bool,
}

/// The way to a program and its thread. The program is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Correspondence {
    letters: Arc<Mutex<Letters>>,
    bell: PipeWriter,
    thread: Option<thread::JoinHandle<()>>,
}

/// What has come.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub lines: Vec<Vec<u8>>,
    /// Nothing comes behind them.
    pub ended: Option<Failure>,
}

fn open(letters: &Mutex<Letters>) -> MutexGuard<'_, Letters> {
    // Nothing under the lock can panic halfway.
    letters.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Correspondence {
    /// Starts the program; `waker` is called when something has come. `name` is what it is called in failures, and no
    /// line is longer than `line_bytes_max`.
    ///
    /// # Errors
    /// When it cannot be started, or no thread or pipe can be made.
    pub fn start(
        mut command: Command,
        name: &str,
        line_bytes_max: usize,
        waker: Waker,
    ) -> io::Result<Self> {
        let (bell, writer) = io::pipe()?;
        let letters = Arc::new(Mutex::new(Letters::default()));
        let (theirs, name) = (letters.clone(), name.to_owned());
        let (told, started) = mpsc::channel();
        let thread = thread::Builder::new().name("program".into()).spawn(move || {
            // A program may end with the thread that has started it.
            let program = Program::start(&mut command).and_then(|mut program| {
                program.woken_by(bell)?;
                Ok(program)
            });
            match program {
                Ok(program) => {
                    let _ = told.send(Ok(()));
                    let failure = correspond(program, &name, &theirs, line_bytes_max, &waker);
                    open(&theirs).ended = Some(failure);
                    waker.wake();
                }
                Err(error) => _ = told.send(Err(error)),
            }
        })?;
        match started.recv() {
            Ok(Ok(())) => Ok(Self { letters, bell: writer, thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("its thread has ended")),
        }
    }

    /// Writes to the program, as soon as it takes it.
    pub fn send(&self, bytes: &[u8]) {
        open(&self.letters).outgoing.extend_from_slice(bytes);
        self.ring();
    }

    /// What has come since the last time.
    pub fn take(&self) -> Mail {
        let mut letters = open(&self.letters);
        Mail { lines: std::mem::take(&mut letters.incoming), ended: letters.ended.clone() }
    }

    /// Ends the program's input, and gives it a moment to leave.
    pub fn leave(mut self) {
        open(&self.letters).ending = Some(Ending::Leave);
        self.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    fn ring(&self) {
        if !std::mem::replace(&mut open(&self.letters).rung, true) {
            // If nobody reads it, the program has ended.
            let _ = (&self.bell).write_all(&[1]);
        }
    }
}

impl Drop for Correspondence {
    fn drop(&mut self) {
        open(&self.letters).ending.get_or_insert(Ending::Kill);
        self.ring();
    }
}

/// The thread's body; why it has ended.
fn correspond(
    mut program: Program,
    name: &str,
    letters: &Mutex<Letters>,
    bytes_max: usize,
    waker: &Waker,
) -> Failure {
    let mut bounds = Bounds { deadline: None, bytes_max };
    let halt = loop {
        let mut taken = open(letters);
        let outgoing = std::mem::take(&mut taken.outgoing);
        let ending = taken.ending;
        taken.rung = false;
        drop(taken);
        program.send(&outgoing);
        match ending {
            Some(Ending::Kill) => break Halt::TimedOut,
            Some(Ending::Leave) if bounds.deadline.is_none() => {
                program.end_input();
                bounds.deadline = Some(Instant::now() + LEAVE_LIMIT);
            }
            _ => {}
        }
        match program.read_lines(bounds) {
            Ok(_) if bounds.is_over() => break Halt::TimedOut,
            Ok(lines) if lines.is_empty() => {}
            Ok(lines) => {
                open(letters).incoming.extend(lines);
                waker.wake();
            }
            Err(halt) => break halt,
        }
    };
    halted(name, &mut program, halt, bounds, None)
}
