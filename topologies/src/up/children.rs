//! The processes of a run: started, signalled, waited for.
//!
//! Owns the operating system's side of each; refuses to decide. Everything that happens to them
//! arrives on one channel. They must all be started by one thread that lives as long as the run:
//! a child ends when the thread that started it does.

use std::{
    collections::BTreeMap,
    io::{self, PipeReader},
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use proto::kin;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};

use super::{
    incident::Incident,
    posts::Post,
    relay::{Backlog, Relay, Writer},
    supervise::Ending,
};
use crate::logs::writer::Log;

/// The two threads that listen to a child need little. What they may take has to be copied for each
/// further child, where one is forked.
const STACK_BYTES: usize = 128 << 10;
/// How long the last words of a process that has ended are waited for. They come at once, unless
/// a program that it started still holds its stderr.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// What a child reads.
pub enum Input {
    /// Nothing.
    Nothing,
    /// What this process would read.
    Inherited,
    /// What this process holds for it.
    Held(OwnedFd),
}

/// Where a child's standard output goes.
pub enum Output {
    /// To people, with what it says on stderr.
    Told,
    /// Where the standard output of this process goes.
    Inherited,
}

/// What is to be started.
pub struct Launch {
    /// Program, arguments, environment and folder.
    pub command: Command,
    /// What it reads.
    pub input: Input,
    /// Where its standard output goes.
    pub output: Output,
    /// Whose program it is.
    pub whose: Writer,
}

/// The processes that run, or have ended and not been looked after yet.
pub struct Children {
    incidents: SyncSender<Incident>,
    backlog: Arc<Backlog>,
    log: Option<Log>,
    running: BTreeMap<Post, Child>,
}

impl Children {
    /// None yet; what happens to them is sent as `incidents`, and `log` keeps what they write.
    pub fn new(incidents: SyncSender<Incident>, log: Option<Log>) -> Self {
        Self { incidents, backlog: Arc::default(), log, running: BTreeMap::new() }
    }

    /// How much of what they write waits to be shown.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Starts a process apart from this one, so that what is typed at the terminal reaches only
    /// this one, and nothing below it waits for a terminal that it may not read. `name` is what its log is
    /// called.
    ///
    /// # Errors
    /// What the operating system says; then there will be no [`Incident::Ended`].
    pub fn start(&mut self, post: Post, name: &str, order: Launch) -> io::Result<()> {
        let Launch { mut command, input, output, whose } = order;
        let (words, mouth) = io::pipe()?;
        kin::set_apart(&mut command)?;
        command.stdin(match input {
            Input::Nothing => Stdio::null(),
            Input::Inherited => Stdio::inherit(),
            Input::Held(stream) => Stdio::from(stream),
        });
        match output {
            Output::Told => command.stdout(mouth.try_clone()?),
            Output::Inherited => command.stdout(Stdio::inherit()),
        };
        command.stderr(mouth);
        let mut child = command.spawn()?;
        // The command holds the write end of the pipe, whose end would never be seen.
        drop(command);
        if let Err(error) = self.watch(self.relay(post, name, whose), &child, words) {
            // Nobody would hear of its end.
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
            return Err(error);
        }
        self.running.insert(post, child);
        Ok(())
    }

    fn relay(&self, post: Post, name: &str, whose: Writer) -> Relay {
        let (incidents, backlog) = (self.incidents.clone(), self.backlog.clone());
        let log = self.log.clone().map(|log| (log, name.into()));
        Relay { post, whose, incidents, backlog, log }
    }

    fn watch(&self, relay: Relay, child: &Child, words: PipeReader) -> io::Result<()> {
        let (said, all_said) = sync_channel(1);
        let (post, ended) = (relay.post, self.incidents.clone());
        let pid = Pid::from_child(child);
        listener("words").spawn(move || {
            relay.run(words);
            let _ = said.send(());
        })?;
        listener("end").spawn(move || {
            await_end(pid, &all_said);
            let _ = ended.send(Incident::Ended(post));
        })?;
        Ok(())
    }

    /// Sends a signal to a process, if it runs.
    pub fn signal(&self, post: Post, signal: Signal) {
        if let Some(child) = self.running.get(&post) {
            // It cannot be another process's number: this one is not reaped yet.
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    /// Ends a process at once; what it has started is ended when it is buried.
    pub fn kill(&self, post: Post) {
        if let Some(child) = self.running.get(&post) {
            let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
        }
    }

    /// Takes away what is left of processes that lost their parents and have ended.
    pub fn reap_orphans(&self) {
        kin::reap_orphans(self.running.values().map(Pid::from_child));
    }

    /// Looks after a process that has ended: what it left behind is ended too. Whoever has lost
    /// its parent was given to this process.
    pub fn reap(&mut self, post: Post) -> Ending {
        self.kill(post);
        let status = self.running.remove(&post).map(|mut child| child.wait());
        kin::end_orphans(self.running.values().map(Pid::from_child));
        match status {
            Some(Ok(status)) => ending(status),
            _ => Ending::NotStarted,
        }
    }
}

fn listener(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into()).stack_size(STACK_BYTES)
}

fn ending(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Code(code),
        (_, Some(signal)) => Ending::Signal(signal),
        _ => Ending::NotStarted,
    }
}

/// Waits until a process has ended, without reaping it, and its last words are there.
fn await_end(pid: Pid, all_said: &Receiver<()>) {
    let wanted = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), wanted) {}
    if let Err(RecvTimeoutError::Timeout) = all_said.recv_timeout(LAST_WORDS) {
        tracing::debug!(
            pid = pid.as_raw_nonzero(),
            "something still holds the stderr of a process that has ended"
        );
    }
}
