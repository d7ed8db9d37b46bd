//! Several workers on one machine, started by one command: `worker -j N`.
//!
//! Owns their processes: each is a worker of its own with the same flags. One that is killed or
//! crashes is told and started again; one that leaves, or says that it cannot work here, is not. Refuses to
//! know what they do. Asked to end it asks them; when it is killed they end with it.

use std::{
    collections::BTreeMap,
    env, io,
    os::unix::process::ExitStatusExt,
    process::{Child, ExitCode, ExitStatus},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use proto::{
    kin,
    process::{
        self, DIARY_VARIABLE, INTERRUPTED, PARENT_VARIABLE, complain, exit_code, has_launcher,
    },
    signals, this_program,
};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tracing::{error, warn};

/// The variable that tells a worker which of several it is.
const INDEX_VARIABLE: &str = "PIPELINE_WORKER_INDEX";
/// The pause before one that has died is started again, doubled for each death of its kind in a row.
const PAUSE: Duration = Duration::from_millis(200);
/// One that lived so long has got somewhere.
const LIVED: Duration = Duration::from_secs(5);
/// Deaths in a row without getting anywhere, after which there is no use in going on.
const DEATHS_MAX: u32 = 5;
/// Exit code when workers die without getting anywhere.
const HOPELESS: i32 = 70;
/// Codes by which a worker says that it can't work, whoever starts it again.
const CANNOT: [i32; 5] = [64, 69, 71, 74, 78];

/// Which of several this process is, if it was started as one of them.
pub(crate) fn own_index() -> Option<u32> {
    has_launcher().then(|| env::var(INDEX_VARIABLE).ok()?.parse().ok()).flatten()
}

enum News {
    /// One of them has ended, and is to be waited for.
    Ended(u32),
    /// An end was asked for so often.
    Asked(u32),
}

struct Member {
    child: Child,
    started: Instant,
}

struct Crowd {
    members: BTreeMap<u32, Member>,
    // Those to be started again, and when.
    due: BTreeMap<u32, Instant>,
    // Deaths in a row, of each.
    deaths: BTreeMap<u32, u32>,
    news: Sender<News>,
    guard: Option<String>,
    leaving: bool,
    code: i32,
}

/// Runs so many workers to their end; the exit code: 0 when all have left. `guard` is what
/// [`kin::post_guard`] has given, if one stands. For the main thread: they end with the one that starts them.
pub(crate) fn run(count: u32, guard: Option<String>) -> ExitCode {
    process::end_with_parent();
    // What they leave behind is given to this process.
    kin::adopt();
    let (news, heard) = channel();
    let asked = news.clone();
    if let Err(error) = signals::listen(move |count| _ = asked.send(News::Asked(count))) {
        warn!(%error, "signals end these workers at once");
    }
    let mut crowd = Crowd {
        members: BTreeMap::new(),
        due: (1..=count).map(|index| (index, Instant::now())).collect(),
        deaths: BTreeMap::new(),
        news,
        guard,
        leaving: false,
        code: 0,
    };
    let code = crowd.look_after(&heard);
    kin::end_all();
    exit_code(code)
}

impl Crowd {
    fn look_after(&mut self, heard: &Receiver<News>) -> i32 {
        loop {
            self.start_due();
            if self.members.is_empty() && self.due.is_empty() {
                return self.code;
            }
            let next = self.due.values().min().copied();
            let wait = next.map_or(Duration::from_secs(3_600), |next| {
                next.saturating_duration_since(Instant::now())
            });
            match heard.recv_timeout(wait) {
                Ok(News::Ended(index)) => self.ended(index),
                Ok(News::Asked(1)) => self.leave(),
                Ok(News::Asked(_)) => return INTERRUPTED,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.code,
            }
        }
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        let due: Vec<u32> =
            self.due.iter().filter(|(_, at)| **at <= now).map(|(index, _)| *index).collect();
        for index in due {
            self.due.remove(&index);
            match start(index, self.guard.as_deref(), self.news.clone()) {
                Ok(child) => _ = self.members.insert(index, Member { child, started: now }),
                Err(error) => {
                    complain("worker", &format_args!("cannot start worker {index}: {error}"));
                    self.code = HOPELESS;
                }
            }
        }
    }

    fn ended(&mut self, index: u32) {
        let Some(Member { mut child, started }) = self.members.remove(&index) else { return };
        let status = child.wait();
        let known = self.members.values().map(|member| Pid::from_child(&member.child));
        kin::end_orphans(known);
        let Ok(status) = status else { return };
        match status.code() {
            Some(0) => {}
            Some(code) if CANNOT.contains(&code) => self.code = self.code.max(code),
            _ if self.leaving => {}
            _ => self.died(index, status, started.elapsed()),
        }
    }

    /// One has died: it is started again, unless that has been of no use before.
    fn died(&mut self, index: u32, status: ExitStatus, lived: Duration) {
        let deaths = self.deaths.entry(index).or_default();
        *deaths = if lived >= LIVED { 1 } else { *deaths + 1 };
        let deaths = *deaths;
        let how = match status.signal() {
            Some(signal) => format!("was ended by signal {signal}"),
            None => format!("ended with {status}"),
        };
        if deaths > DEATHS_MAX {
            error!(worker = index, "{how}, the {deaths}th time in a row; giving up");
            self.code = HOPELESS;
            return self.leave();
        }
        let pause = PAUSE * 2_u32.pow(deaths - 1);
        warn!(worker = index, "{how}; it is started again");
        self.due.insert(index, Instant::now() + pause);
    }

    /// All of them are asked to leave.
    fn leave(&mut self) {
        self.leaving = true;
        self.due.clear();
        for member in self.members.values() {
            let _ = kill_process(Pid::from_child(&member.child), Signal::TERM);
        }
    }
}

/// Starts this program once more, as one of several.
fn start(index: u32, guard: Option<&str>, news: Sender<News>) -> io::Result<Child> {
    let mut command = this_program::command()?;
    command.args(this_program::arguments());
    command.env(INDEX_VARIABLE, index.to_string());
    command.env(PARENT_VARIABLE, std::process::id().to_string());
    // This launcher wants none.
    command.env_remove(DIARY_VARIABLE);
    if let Some(guard) = guard {
        command.env(kin::guard::VARIABLE, guard);
    }
    // What is typed at the terminal reaches this process only, which asks each once.
    kin::set_apart(&mut command)?;
    let child = command.spawn()?;
    let pid = Pid::from_child(&child);
    thread::Builder::new().name("end".into()).stack_size(64 << 10).spawn(move || {
        let wanted = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), wanted) {}
        let _ = news.send(News::Ended(index));
    })?;
    Ok(child)
}
