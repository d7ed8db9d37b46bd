//! A running program: its three pipes and its end, watched in one wait; a bell beside them, if it
//! shall be woken.
//!
//! Owns the child process and its process group: whatever happens, neither outlives this.
//! Refuses to interpret what is written or read.

use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use proto::kin;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::halt::{Bounds, Halt};
use super::words::Words;
use crate::Unit;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// How often the end is looked for, where the system cannot tell of it.
const END_CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// So many lines are worth a pause: to be woken for each costs more than a line.
const MANY_LINES: usize = 16;
const MANY_LINES_PAUSE: Duration = Duration::from_micros(50);
/// How often it is looked whether a program asks for more.
const LURE_CHECK_INTERVAL: Duration = Duration::from_micros(20);
/// Reads of what an ended program has left behind; a pipe holds at most 1 MiB.
const LAST_READS_MAX: usize = 32;

/// What a wait found ready.
#[derive(Debug, Clone, Copy)]
enum Source {
    Input,
    Answer,
    Errors,
    End,
    Bell,
}

/// A program that was started; killed with its process group when dropped.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    /// Readable once the child has ended; absent where the system has no such thing.
    end: Option<OwnedFd>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    unsent: Vec<u8>,
    sent: usize,
    /// Whether the input ends after what is unsent.
    input_ends: bool,
    answer: Vec<u8>,
    /// How much of it was taken, as lines.
    taken: usize,
    /// How much of the answer is known to hold no line end.
    scanned: usize,
    words: Words,
    chunk: Box<[u8]>,
    /// Readable when somebody rings.
    bell: Option<PipeReader>,
    status: Option<ExitStatus>,
}

impl Program {
    /// Starts `command`, whose streams are piped.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = kin::start(command)?;
        let program = Self {
            end: end_of(&child),
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            child,
            unsent: Vec::new(),
            sent: 0,
            input_ends: false,
            answer: Vec::new(),
            taken: 0,
            scanned: 0,
            words: Words::default(),
            chunk: vec![0; CHUNK_BYTES].into_boxed_slice(),
            bell: None,
            status: None,
        };
        program.stdin.as_ref().map_or(Ok(()), never_block)?;
        program.stdout.as_ref().map_or(Ok(()), never_block)?;
        program.stderr.as_ref().map_or(Ok(()), never_block)?;
        Ok(program)
    }

    /// Has every wait end when something is written to the other end of this pipe.
    pub(super) fn woken_by(&mut self, bell: PipeReader) -> io::Result<()> {
        never_block(&bell)?;
        self.bell = Some(bell);
        Ok(())
    }

    /// Waits for something to happen; the lines that are there then. None of them is an end.
    pub(super) fn read_lines(&mut self, bounds: Bounds) -> Result<Vec<Vec<u8>>, Halt> {
        if self.status.is_none() {
            self.step(bounds.deadline)?;
        }
        let lines: Vec<Vec<u8>> = std::iter::from_fn(|| self.take_line()).collect();
        if !lines.is_empty() {
            return Ok(lines);
        }
        self.can_answer(bounds)?;
        Ok(lines)
    }

    /// Whether a further line may come, now that there is none.
    fn can_answer(&mut self, bounds: Bounds) -> Result<(), Halt> {
        if self.answer().len() > bounds.bytes_max {
            return Err(Halt::TooMuch);
        }
        if let Some(status) = self.status {
            return Err(Halt::Ended(status));
        }
        if self.stdout.is_none() || (self.stdin.is_none() && !self.input_ends) {
            return Err(self.closed());
        }
        Ok(())
    }

    /// Queues bytes for the program's input; they are written while it is waited for.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    /// Ends the program's input, after what was queued.
    pub(super) fn end_input(&mut self) {
        self.input_ends = true;
    }

    /// Waits until the program asks for more than it was sent, and has taken this byte, the next
    /// of its input: a program that takes its lines one by one is done with all of them then.
    pub(super) fn lure(&mut self, byte: u8, bounds: Bounds) -> Result<(), Halt> {
        self.send(&[byte]);
        loop {
            self.step(Some(Instant::now() + LURE_CHECK_INTERVAL))?;
            if let Some(status) = self.status {
                return Err(Halt::Ended(status));
            }
            let Some(stdin) = &self.stdin else {
                return Err(self.closed());
            };
            if self.unsent.is_empty() && rustix::io::ioctl_fionread(stdin)? == 0 {
                return Ok(());
            }
            if bounds.is_over() {
                return Err(Halt::TimedOut);
            }
        }
    }

    /// Waits for the next line of the answer, without its line end.
    pub(super) fn read_line(&mut self, bounds: Bounds) -> Result<Vec<u8>, Halt> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(line);
            }
            self.can_answer(bounds)?;
            if bounds.is_over() {
                return Err(Halt::TimedOut);
            }
            self.step(bounds.deadline)?;
        }
    }

    /// The same, where so many lines follow. As long as there are many it is not waited for each.
    pub(super) fn read_line_of_many(
        &mut self,
        left: usize,
        bounds: Bounds,
    ) -> Result<Vec<u8>, Halt> {
        if let Some(line) = self.take_line() {
            return Ok(line);
        }
        if left >= MANY_LINES {
            self.write();
            thread::sleep(MANY_LINES_PAUSE);
        }
        self.read_line(bounds)
    }

    /// Waits for the program's end; what it printed is the answer then.
    pub(super) fn read_to_end(&mut self, bounds: Bounds) -> Result<ExitStatus, Halt> {
        loop {
            if self.answer.len() > bounds.bytes_max {
                return Err(Halt::TooMuch);
            }
            if let Some(status) = self.status {
                return Ok(status);
            }
            if bounds.is_over() {
                return Err(Halt::TimedOut);
            }
            self.step(bounds.deadline)?;
        }
    }

    /// Takes note of what has happened meanwhile, without waiting.
    pub(super) fn look(&mut self) -> Result<(), Halt> {
        self.step(Some(Instant::now()))
    }

    /// What was read and not taken as a line.
    pub(super) fn answer(&self) -> &[u8] {
        &self.answer[self.taken..]
    }

    /// What it writes to stderr from now on is about this unit.
    pub(super) fn is_at(&mut self, unit: &Unit<'_>) {
        self.words.are_of(unit);
    }

    /// What it writes to stderr is of interest only to whoever asks for its [last words](Self::last_words).
    pub(super) fn keeps_its_words(&mut self) {
        self.words.are_private();
    }

    /// How many lines it has written to stderr.
    pub(super) fn lines_said(&self) -> u64 {
        self.words.lines()
    }

    /// Whether it can still answer.
    pub(super) fn is_live(&self) -> bool {
        self.status.is_none() && self.stdin.is_some() && self.stdout.is_some()
    }

    /// Kills the program with all that is below it, and reads what it has left behind.
    pub(super) fn kill(&mut self) -> io::Result<ExitStatus> {
        match self.status {
            Some(status) => Ok(status),
            None => {
                // Also what has left its group.
                kin::end_tree(Pid::from_child(&self.child));
                self.reap()
            }
        }
    }

    /// The last of what it wrote to stderr.
    pub(super) fn last_words(&mut self) -> String {
        self.words.last()
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let Some(len) = memchr::memchr(b'\n', &self.answer[self.scanned..]) else {
            self.scanned = self.answer.len();
            return None;
        };
        let end = self.scanned + len;
        let line = self.answer[self.taken..end].to_vec();
        (self.taken, self.scanned) = (end + 1, end + 1);
        Some(line)
    }

    /// What a closed pipe means: mostly that the program is about to end. Its status was decided
    /// before its pipes were closed, so killing it now does not change that.
    fn closed(&mut self) -> Halt {
        match self.kill() {
            Ok(status) if status.signal() == Some(Signal::KILL.as_raw()) => Halt::Closed,
            Ok(status) => Halt::Ended(status),
            Err(error) => Halt::System(error),
        }
    }

    /// Waits until something happens or the deadline passes, and does what it asks for.
    fn step(&mut self, deadline: Option<Instant>) -> Result<(), Halt> {
        self.write();
        for source in self.wait(deadline)? {
            match source {
                Source::Input => self.write(),
                Source::Answer => {
                    self.read_answer();
                }
                Source::Errors => {
                    self.read_errors();
                }
                Source::End => {
                    self.reap().map_err(Halt::System)?;
                }
                Source::Bell => {
                    let mut rings = [0; 64];
                    // It is read so that it is silent; nobody counts.
                    let _ = self.bell.as_mut().map(|bell| bell.read(&mut rings));
                }
            }
        }
        Ok(())
    }

    /// Which sources are ready; none when the deadline passed or a signal came.
    fn wait(&self, deadline: Option<Instant>) -> Result<Vec<Source>, Halt> {
        let mut sources = Vec::with_capacity(5);
        let mut fds = Vec::with_capacity(5);
        let mut watch = |source, fd, flags| {
            sources.push(source);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        };
        if let Some(stdin) = self.stdin.as_ref().filter(|_| !self.unsent.is_empty()) {
            watch(Source::Input, stdin.as_fd(), PollFlags::OUT);
        }
        if let Some(stdout) = &self.stdout {
            watch(Source::Answer, stdout.as_fd(), PollFlags::IN);
        }
        if let Some(stderr) = &self.stderr {
            watch(Source::Errors, stderr.as_fd(), PollFlags::IN);
        }
        if let Some(bell) = &self.bell {
            watch(Source::Bell, bell.as_fd(), PollFlags::IN);
        }
        // An ended program stays readable here, but is not asked twice.
        if let Some(end) = self.end.as_ref().filter(|_| self.status.is_none()) {
            watch(Source::End, end.as_fd(), PollFlags::IN);
        }
        let ready = match poll(&mut fds, self.patience(deadline).as_ref()) {
            Ok(ready) => ready,
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        if ready == 0 && self.end.is_none() && self.has_ended()? {
            return Ok(vec![Source::End]);
        }
        let found = sources.iter().zip(&fds);
        Ok(found.filter(|(_, fd)| !fd.revents().is_empty()).map(|(source, _)| *source).collect())
    }

    /// How long to wait; forever when there is nothing to be late for.
    fn patience(&self, deadline: Option<Instant>) -> Option<Timespec> {
        let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
        let patience = if self.end.is_none() && self.status.is_none() {
            Some(left.unwrap_or(END_CHECK_INTERVAL).min(END_CHECK_INTERVAL))
        } else {
            left
        };
        // A time too long for the system is as good as none.
        patience.and_then(|time| Timespec::try_from(time).ok())
    }

    /// Looks for the end without taking it: the process id has to stay the child's until its
    /// group is killed.
    fn has_ended(&self) -> Result<bool, Halt> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let id = WaitId::Pid(Pid::from_child(&self.child));
        Ok(self.status.is_none() && waitid(id, options)?.is_some())
    }

    /// Writes as much of the input as the pipe takes.
    fn write(&mut self) {
        while let Some(stdin) = self.stdin.as_mut().filter(|_| self.sent < self.unsent.len()) {
            match stdin.write(&self.unsent[self.sent..]) {
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It reads no further; whether that matters, its answer or its end will say.
                Err(_) => self.stdin = None,
            }
        }
        self.unsent.clear();
        self.sent = 0;
        if self.input_ends {
            self.stdin = None;
        }
    }

    /// Reads one chunk of the answer, if there is one.
    fn read_answer(&mut self) -> bool {
        let Some(stdout) = self.stdout.as_mut() else {
            return false;
        };
        match read_chunk(stdout, &mut self.chunk) {
            Chunk::Some(len) => {
                // Once a chunk, so that each byte is moved once.
                self.answer.drain(..self.taken);
                (self.taken, self.scanned) = (0, self.scanned - self.taken);
                self.answer.extend_from_slice(&self.chunk[..len]);
            }
            Chunk::NoneYet => return false,
            Chunk::End => {
                self.stdout = None;
                return false;
            }
        }
        true
    }

    /// Reads one chunk of the program's words, if there is one.
    fn read_errors(&mut self) -> bool {
        let Some(stderr) = self.stderr.as_mut() else {
            return false;
        };
        match read_chunk(stderr, &mut self.chunk) {
            Chunk::Some(len) => {
                self.words.push(&self.chunk[..len]);
            }
            Chunk::NoneYet => return false,
            Chunk::End => {
                self.stderr = None;
                self.words.end();
                return false;
            }
        }
        true
    }

    /// Ends what is left of the process group, reads what the pipes still hold, and takes the
    /// child's status. What the program started in the background ends with it: it would hold
    /// the pipes open for as long as it likes.
    fn reap(&mut self) -> io::Result<ExitStatus> {
        // An empty group is no error here: then there is nothing to end.
        let _ended = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let status = kin::wait(&mut self.child)?;
        self.status = Some(status);
        kin::reap_adopted();
        (0..LAST_READS_MAX).all(|_| self.read_answer());
        (0..LAST_READS_MAX).all(|_| self.read_errors());
        self.words.end();
        Ok(status)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that is no child any more was taken away with all others at the end of this process.
        if let Err(error) = self.kill()
            && error.raw_os_error() != Some(rustix::io::Errno::CHILD.raw_os_error())
        {
            tracing::warn!(%error, "a program could not be ended");
        }
    }
}

/// What a read gave.
enum Chunk {
    Some(usize),
    NoneYet,
    End,
}

fn read_chunk(pipe: &mut impl Read, chunk: &mut [u8]) -> Chunk {
    loop {
        match pipe.read(chunk) {
            Ok(0) => return Chunk::End,
            Ok(len) => return Chunk::Some(len),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Chunk::NoneYet,
            // A pipe has no other errors; one that it had would be its end.
            Err(_) => return Chunk::End,
        }
    }
}

/// Makes our end of a pipe return instead of waiting; the program's end is not concerned.
fn never_block(pipe: &impl AsFd) -> io::Result<()> {
    let pipe: BorrowedFd<'_> = pipe.as_fd();
    let flags = fcntl_getfl(pipe)?;
    Ok(fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?)
}

/// What tells of a child's end; nothing where the kernel (before 5.3) or its jailer refuses.
#[cfg(target_os = "linux")]
fn end_of(child: &Child) -> Option<OwnedFd> {
    use rustix::process::{PidfdFlags, pidfd_open};
    pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn end_of(_: &Child) -> Option<OwnedFd> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::external::{CommandLine, Surroundings};
    use crate::testing::await_death;

    /// A program of the shell.
    fn shell(script: &str) -> Program {
        let parts = ["/bin/sh", "-c", script].map(String::from);
        let line = CommandLine::new(&parts, &[]).unwrap();
        Program::start(&mut line.command(&Surroundings::default())).unwrap()
    }

    const UNBOUNDED: Bounds = Bounds { deadline: None, bytes_max: usize::MAX };

    #[test]
    fn more_input_and_output_than_a_pipe_holds_goes_through_at_once() {
        let mut cat = shell("cat; echo words >&2");
        let text = vec![b'x'; 1 << 20];
        cat.send(&text);
        cat.end_input();
        assert!(cat.read_to_end(UNBOUNDED).unwrap().success());
        assert!(cat.answer() == text);
        assert_eq!(cat.last_words(), "words");
    }

    #[test]
    fn lines_come_one_by_one_and_then_the_end() {
        let mut program = shell("echo a; echo b; exit 3");
        assert_eq!(program.read_line(UNBOUNDED).unwrap(), b"a");
        assert_eq!(program.read_line(UNBOUNDED).unwrap(), b"b");
        match program.read_line(UNBOUNDED) {
            Err(Halt::Ended(status)) => assert_eq!(status.code(), Some(3)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_end_is_noticed_also_where_the_system_does_not_tell() {
        let mut program = shell("sleep 0.05; echo a; exit 3");
        program.end = None;
        assert_eq!(program.read_to_end(UNBOUNDED).unwrap().code(), Some(3));
        assert_eq!(program.answer(), b"a\n");
    }

    #[test]
    fn a_program_that_ignores_its_input_is_no_error() {
        let mut program = shell("exec 0<&-; echo done");
        program.send(&vec![b'x'; 1 << 20]);
        program.end_input();
        assert!(program.read_to_end(UNBOUNDED).unwrap().success());
        assert_eq!(program.answer(), b"done\n");
    }

    #[test]
    fn what_a_program_left_in_the_background_ends_with_it() {
        let mut program = shell("sleep 1000 & echo $!");
        assert!(program.read_to_end(UNBOUNDED).unwrap().success());
        let pid = String::from_utf8(program.answer().to_vec()).unwrap();
        await_death(pid.trim());
    }

    #[test]
    fn a_dropped_program_is_killed_with_all_that_it_started() {
        let mut program = shell("sleep 1000 & echo $!; echo $$; wait");
        let mut pids = [(); 2].map(|()| program.read_line(UNBOUNDED).unwrap());
        drop(program);
        for pid in &mut pids {
            await_death(str::from_utf8(pid).unwrap());
        }
    }

    #[test]
    fn a_program_that_closes_its_output_and_goes_on_is_found_out() {
        let mut program = shell("exec >&-; sleep 1000");
        assert!(matches!(program.read_line(UNBOUNDED), Err(Halt::Closed)));
    }

    #[test]
    fn endless_words_on_stderr_hide_no_deadline() {
        let mut program = shell("yes >&2; true");
        let bounds =
            Bounds { deadline: Some(Instant::now() + Duration::from_millis(50)), ..UNBOUNDED };
        assert!(matches!(program.read_line(bounds), Err(Halt::TimedOut)));
    }

    #[test]
    fn endless_output_is_cut_off() {
        let bounds = Bounds { bytes_max: 1 << 20, ..UNBOUNDED };
        let mut yes = shell("exec yes");
        assert!(matches!(yes.read_to_end(bounds), Err(Halt::TooMuch)));
        assert!(yes.answer().len() < 2 << 20);
        let mut zero = shell("exec cat /dev/zero");
        assert!(matches!(zero.read_line(bounds), Err(Halt::TooMuch)));
    }
}
