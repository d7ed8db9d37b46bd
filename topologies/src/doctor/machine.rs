//! What the system grants: descriptors, threads, memory, addresses, the time.
//!
//! Owns how much a large run needs; what every process needs `proto` knows.

use std::{
    env, fs,
    io::ErrorKind,
    net::{TcpListener, TcpStream},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proto::{
    files::{raise_limit, raise_limit_for},
    footing::{THREADS, check_stack, check_threads},
};
use rustix::process::{Resource, getrlimit};
use sink::figures::thousands;

use super::{Finding, Health};

/// Workers of a run that is large.
const MANY: usize = 1_000;
/// With less memory than that even a small run is tight.
const MEMORY_LITTLE: u64 = 256 << 20;
/// A clock before 2025 was never set.
const CLOCK_LEAST: Duration = Duration::from_secs(1_735_689_600);

/// Whether this process may have enough files open.
pub(super) fn descriptors() -> Finding {
    const SUBJECT: &str = "descriptors";
    if let Err(error) = raise_limit() {
        return Finding::of(SUBJECT, Health::Fail, error);
    }
    let many = thousands(MANY as u64);
    match raise_limit_for(MANY) {
        Ok(()) => Finding::ok(SUBJECT, format!("enough for {many} workers")),
        Err(error) => {
            Finding::of(SUBJECT, Health::Warn, format_args!("for {many} workers {error}"))
        }
    }
}

/// Whether a process gets its threads, and how many processes that makes.
pub(super) fn threads() -> Finding {
    const SUBJECT: &str = "threads";
    if let Err(error) = check_stack().and_then(|()| check_threads()) {
        return Finding::of(SUBJECT, Health::Fail, error);
    }
    let limits = [
        ("`ulimit -u`", getrlimit(Resource::Nproc).current),
        ("pids.max of the control group", control_group().and_then(|group| number(&group))),
        ("kernel.pid_max", number("/proc/sys/kernel/pid_max")),
        ("kernel.threads-max", number("/proc/sys/kernel/threads-max")),
    ];
    let limits = limits.into_iter().filter_map(|(name, limit)| Some((limit?, name)));
    match limits.min() {
        Some((limit, name)) if limit < (MANY * THREADS) as u64 => Finding::warn(
            SUBJECT,
            format!(
                "{name} allows {}, which is enough for about {} workers",
                thousands(limit),
                thousands(limit / THREADS as u64)
            ),
            "raise it for more: `ulimit -u`, `TasksMax` of a systemd unit, `--pids-limit` of a container, or sysctl",
        ),
        Some((limit, _)) => Finding::ok(SUBJECT, format!("up to {}", thousands(limit))),
        None => Finding::ok(SUBJECT, "no limit"),
    }
}

/// The file with the limit of this process's control group.
fn control_group() -> Option<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let file = |below: &str| format!("/sys/fs/cgroup{}/pids.max", below.trim_end_matches('/'));
    [file(path), file("")].into_iter().find(|file| Path::new(file).exists())
}

fn number(file: &str) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// How much memory there is, and whether the system promises more than it has, which nothing here needs.
pub(super) fn memory() -> Finding {
    const SUBJECT: &str = "memory";
    let strict = number("/proc/sys/vm/overcommit_memory") == Some(2);
    let note = if strict { "; overcommit is off, and not needed" } else { "" };
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    match kib.map(|kib| kib << 10) {
        Some(bytes) if bytes < MEMORY_LITTLE => Finding::warn(
            SUBJECT,
            format!("{} MiB are free{note}", bytes >> 20),
            "see who has it: ps aux --sort -rss | head",
        ),
        Some(bytes) => Finding::ok(SUBJECT, format!("{} MiB are free{note}", bytes >> 20)),
        None => Finding::ok(SUBJECT, format!("the system does not tell{note}")),
    }
}

/// Whether tcp works within this machine.
pub(super) fn loopback() -> Finding {
    const SUBJECT: &str = "loopback";
    let tried = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| {
        let at = listener.local_addr()?;
        TcpStream::connect_timeout(&at, Duration::from_secs(2)).map(drop)
    });
    match tried {
        Ok(()) => Finding::ok(SUBJECT, "tcp://127.0.0.1 can be bound and reached"),
        Err(error) => Finding::fail(
            SUBJECT,
            format!("tcp://127.0.0.1 can't be used: {error}"),
            match error.kind() {
                ErrorKind::PermissionDenied => {
                    "let this process use the network (a sandbox or a filter forbids it)"
                }
                _ => "run as root: ip link set lo up",
            },
        ),
    }
}

/// Whether the time can be right. Nothing is decided by it, but people read it.
pub(super) fn clock() -> Finding {
    let now = SystemTime::now();
    let program = env::current_exe().and_then(fs::metadata).and_then(|data| data.modified());
    judge_clock(now, program.ok())
}

fn judge_clock(now: SystemTime, program: Option<SystemTime>) -> Finding {
    const SUBJECT: &str = "clock";
    const MEND: &str = "set it: timedatectl set-ntp true";
    // A build and a copy may be stamped by another machine, a little ahead.
    const SKEW: Duration = Duration::from_secs(60);
    if now.duration_since(UNIX_EPOCH).unwrap_or_default() < CLOCK_LEAST {
        return Finding::warn(
            SUBJECT,
            "it is before 2025, so it was never set; logs will mislead",
            MEND,
        );
    }
    match program.and_then(|made| made.duration_since(now).ok()) {
        Some(behind) if behind > SKEW => Finding::warn(
            SUBJECT,
            format!("it is {} s behind this program's own file", behind.as_secs()),
            MEND,
        ),
        _ => Finding::ok(SUBJECT, "the time can be right"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_or_runs_behind_is_told() {
        let now = UNIX_EPOCH + CLOCK_LEAST + Duration::from_secs(1_000);
        let health = |now, program| judge_clock(now, program).health;
        assert_eq!(health(UNIX_EPOCH, None), Health::Warn);
        assert_eq!(health(now, Some(now + Duration::from_secs(3_600))), Health::Warn);
        assert_eq!(health(now, Some(now + Duration::from_secs(1))), Health::Ok);
        assert_eq!(health(now, Some(UNIX_EPOCH)), Health::Ok);
    }
}
