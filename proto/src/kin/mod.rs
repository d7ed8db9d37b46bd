//! The processes below this one: how they are started, paused and ended.
//!
//! Owns that nothing of them is left when this process says that it ends, and that none is begun
//! from then on; refuses to know what any of them does. All of it is about this whole process, so
//! there is one of each here, and none to be had.
//!
//! What a child starts may lose its parent and leave its process group, but not its ancestors as
//! long as they [`adopt`] (`PR_SET_CHILD_SUBREAPER`). What is below a process that was itself
//! killed is ended by the nearest ancestor that adopts, or by a [guard].

pub mod guard;
mod table;

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, set_child_subreaper, waitid,
};

use self::{guard::Guard, table::State};
use crate::launcher::{DIARY_VARIABLE, MARKS_VARIABLE, PARENT_VARIABLE};

/// How long processes that were killed may take to be gone: only what hangs in the kernel needs
/// more than a moment.
const END_LIMIT: Duration = Duration::from_secs(2);
/// The same while a run goes on, which must not be held up.
const ORPHANS_LIMIT: Duration = Duration::from_millis(100);
/// How long processes may take to be stopped.
const PAUSE_LIMIT: Duration = Duration::from_millis(500);
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

static ENDING: RwLock<bool> = RwLock::new(false);
static ADOPTS: AtomicBool = AtomicBool::new(false);
static WANTS_GUARD: AtomicBool = AtomicBool::new(false);
static GUARD: Mutex<Option<Guard>> = Mutex::new(None);
/// Programs that were started here, and are waited for by whoever started them.
static AWAITED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
/// Many may start programs at once, but nobody while it is looked for those that nobody waits for: one
/// that has just begun is not among the [`AWAITED`] yet.
static STARTING: RwLock<()> = RwLock::new(());

/// Those that were below this process before its program began: who replaces a shell by this program
/// (`exec`) may have made it the parent of what gives it its input. They are nobody's to end.
static FORMER: OnceLock<BTreeSet<i32>> = OnceLock::new();

fn is_former(child: Pid) -> bool {
    FORMER.get().is_some_and(|former| former.contains(&table::raw(child)))
}

/// Has what is below this process given to it when it loses its parent, instead of to the
/// system's first process.
pub fn adopt() {
    FORMER.get_or_init(|| table::children_of_main().into_iter().map(table::raw).collect());
    match set_child_subreaper(Some(getpid())) {
        Ok(()) => ADOPTS.store(true, Ordering::Release),
        Err(error) => tracing::debug!(%error, "what loses its parent below is not kept track of"),
    }
}

/// Has the first program that is started be preceded by a guard, which ends what is below this
/// process if this one is killed. For programs that stand guard when they are asked to
/// ([`guard::stand_if_asked`]).
pub fn be_guarded() {
    WANTS_GUARD.store(true, Ordering::Release);
}

/// The same at once; what [`guard::VARIABLE`] has to be for everything that is started.
///
/// # Errors
/// When no guard can be started.
pub fn post_guard() -> io::Result<String> {
    let guard = Guard::post()?;
    let value = guard.value().to_owned();
    *posted() = Some(guard);
    Ok(value)
}

fn posted() -> MutexGuard<'static, Option<Guard>> {
    GUARD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn guard_pid() -> Option<Pid> {
    posted().as_ref().map(Guard::pid)
}

/// Starts a program [apart](set_apart) from this process.
///
/// # Errors
/// What the system says, or that this process ends.
pub fn start(command: &mut Command) -> io::Result<Child> {
    let ending = ENDING.read().unwrap_or_else(PoisonError::into_inner);
    if *ending {
        return Err(io::Error::other("this process is about to end"));
    }
    if WANTS_GUARD.swap(false, Ordering::AcqRel)
        && let Err(error) = post_guard()
    {
        tracing::warn!(%error, "no guard can be started: if this process is killed with SIGKILL, programs may go on");
    }
    if let Some(guard) = &*posted() {
        command.env(guard::VARIABLE, guard.value());
    }
    // It is this process's, not its programs'.
    let own = [PARENT_VARIABLE, MARKS_VARIABLE, DIARY_VARIABLE];
    own.into_iter().for_each(|variable| _ = command.env_remove(variable));
    set_apart(command)?;
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn()?;
    awaited().insert(child.id());
    Ok(child)
}

/// Waits for the end of a program that was [started](start) here.
///
/// # Errors
/// What the system says.
pub fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    let status = child.wait();
    awaited().remove(&child.id());
    status
}

fn awaited() -> MutexGuard<'static, BTreeSet<u32>> {
    AWAITED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether what is started here could ask at a terminal.
fn has_terminal() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| File::open("/dev/tty").is_ok())
}

/// Has a command start in a process group of its own, so that what is typed at a terminal does not
/// reach it; where there is a terminal in a session of its own, so that it does not wait for ever
/// for what nobody can type. Only there: a session takes a fork of this process, whose cost grows
/// with its memory and threads.
///
/// # Errors
/// None so far.
pub fn set_apart(command: &mut Command) -> io::Result<()> {
    if has_terminal() {
        return guard::in_own_session(command);
    }
    command.process_group(0);
    Ok(())
}

/// Has a command start in a session of its own, which no terminal's end ends.
///
/// # Errors
/// None so far.
pub fn set_free(command: &mut Command) -> io::Result<()> {
    guard::in_own_session(command)
}

/// Ends everything below this process, and has nothing begin any more. When it returns nothing is
/// left, unless the system does not let go of something.
pub fn end_all() {
    *ENDING.write().unwrap_or_else(PoisonError::into_inner) = true;
    let guard = guard_pid();
    let left = until_none(END_LIMIT, || {
        while let Ok(Some(_)) = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
        }
        let below = table::below(getpid(), guard).into_iter();
        kill_each(below.filter(|pid| !is_former(*pid)).collect())
    });
    if left > 0 {
        tracing::warn!(processes = left, "what was started here does not end");
    }
    // Now there is nothing left to guard.
    drop(posted().take());
}

/// Ends a process that this one has started, with everything below it, wherever that has gone.
pub fn end_tree(root: Pid) {
    let below = table::below(root, None);
    let _ = kill_process(root, Signal::KILL);
    kill_each(below);
}

/// Ends what this process was given, since its parents have ended: all children but the `known`.
/// For the main thread of a process whose children are all its own, and known.
pub fn end_orphans(known: impl IntoIterator<Item = Pid>) {
    let known: BTreeSet<i32> = known.into_iter().chain(guard_pid()).map(table::raw).collect();
    until_none(ORPHANS_LIMIT, || {
        let children = table::children_of_main().into_iter();
        let orphans: Vec<Pid> = children
            .filter(|child| !known.contains(&table::raw(*child)) && !is_former(*child))
            .collect();
        for orphan in &orphans {
            kill_each(table::below(*orphan, None));
            let _ = kill_process(*orphan, Signal::KILL);
            reap(*orphan);
        }
        orphans.len()
    });
}

/// Takes away what is left of those that this process was given, and that have ended by
/// themselves: all children but the `known`. For the main thread, as with [`end_orphans`].
pub fn reap_orphans(known: impl IntoIterator<Item = Pid>) {
    let known: BTreeSet<i32> = known.into_iter().chain(guard_pid()).map(table::raw).collect();
    let children = table::children_of_main().into_iter();
    children.filter(|child| !known.contains(&table::raw(*child))).for_each(reap);
}

/// Takes away what is left of adopted processes that have ended by themselves: all children but
/// those that are waited for.
pub fn reap_adopted() {
    if !ADOPTS.load(Ordering::Acquire) {
        return;
    }
    let guard = guard_pid();
    let children = || table::children_of_main().into_iter().filter(|child| Some(*child) != guard);
    // Nearly always there are none, and nobody who starts a program has to wait.
    if children().next().is_none() {
        return;
    }
    // Both held from the look at them on: a number that is free is another program's next.
    let _starting = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    let awaited = awaited();
    let is_awaited =
        |child: &Pid| u32::try_from(table::raw(*child)).is_ok_and(|pid| awaited.contains(&pid));
    children().filter(|child| !is_awaited(child)).for_each(reap);
}

/// Whether a process of this number is there, and has not ended.
pub fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| table::state(pid) != State::Ended)
}

fn reap(child: Pid) {
    let _ = waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
}

/// Stops everything below this process.
pub fn pause_all() {
    let guard = guard_pid();
    until_none(PAUSE_LIMIT, || {
        let below = table::below(getpid(), guard).into_iter();
        let running: Vec<Pid> = below.filter(|pid| table::state(*pid) == State::Alive).collect();
        signal_each(&running, Signal::STOP)
    });
}

/// Lets everything below this process go on.
pub fn resume_all() {
    signal_each(&table::below(getpid(), guard_pid()), Signal::CONT);
}

/// Kills what lives of these; how many that were.
fn kill_each(processes: Vec<Pid>) -> usize {
    let lives = |pid: &Pid| table::state(*pid) != State::Ended;
    let living: Vec<Pid> = processes.into_iter().filter(lives).collect();
    signal_each(&living, Signal::KILL)
}

fn signal_each(processes: &[Pid], signal: Signal) -> usize {
    for pid in processes {
        // It may have ended meanwhile.
        let _ = kill_process(*pid, signal);
    }
    processes.len()
}

/// Does it again and again until it has found nothing, or the time is up; what it found last.
fn until_none(limit: Duration, mut act: impl FnMut() -> usize) -> usize {
    let deadline = Instant::now() + limit;
    loop {
        let found = act();
        if found == 0 || Instant::now() >= deadline {
            return found;
        }
        thread::sleep(LOOK_INTERVAL);
    }
}
