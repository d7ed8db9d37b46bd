//! Runs whose programs do what they can to outlive them: they ignore signals, start others in the
//! background, in sessions of their own, and such that lose their parents.
//!
//! Owns these programs, the ways in which such a run ends, and the count of what is left then.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::mark::{Bearer, Mark};
use crate::place::Place;
use crate::process::Process;
use crate::torture::{Role, kin};
use crate::{programs, wait};

/// How a program is called by the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Once a unit.
    Exec,
    /// Once a worker.
    Pipe,
    /// Python source.
    Python,
}

/// All of them.
pub const KINDS: [Kind; 3] = [Kind::Exec, Kind::Pipe, Kind::Python];

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Calm,
    /// By one signal to the launcher.
    Once(Signal),
    /// By two.
    Twice(Signal),
    /// By one signal to every process of the run that is a program of ours.
    ToAll(Signal),
    /// By two signals, after a worker was killed.
    WorkerKilled,
    /// By a SIGKILL of the launcher.
    LauncherKilled,
}

impl End {
    /// Whether a unit lasts until its program is ended.
    fn is_abrupt(self) -> bool {
        matches!(self, End::Twice(_) | End::WorkerKilled | End::LauncherKilled)
    }

    /// With what the launcher leaves.
    fn code(self) -> Option<i32> {
        match self {
            End::Calm => Some(0),
            End::Once(_) | End::ToAll(_) => Some(75),
            End::Twice(_) | End::WorkerKilled => Some(130),
            End::LauncherKilled => None,
        }
    }
}

/// What was not as it has to be.
#[derive(Debug)]
pub enum Trouble {
    /// The launcher left with another code.
    Code(Option<i32>, String),
    /// Processes are left.
    Left(Vec<Bearer>),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Code(code, said) => write!(f, "the launcher left with {code:?}:\n{said}"),
            Trouble::Left(left) => {
                write!(f, "{} processes are left:", left.len())?;
                left.iter()
                    .try_for_each(|bearer| write!(f, "\n  {} {}", bearer.pid, bearer.command))
            }
        }
    }
}

const WORKERS: usize = 2;

/// What a unit does: it starts what will not go by itself, and says that it has. From the hundredth on it waits
/// until the run was asked to end: however late that comes, the run has not ended by itself.
const SHELL: &str = r#"
trap '' HUP INT QUIT TERM TSTP
work() {
    sleep 300 &
    setsid sleep 300 &
    (setsid sh -c 'trap "" HUP INT TERM; sleep 300 & sleep 300' &)
    : > "$BEGUN/$1"
    if [ "$PACE" = endless ]; then sleep 300; fi
    while [ "$1" -ge 100 ] && ! [ -e "$ASKED" ]; do sleep 0.01; done
}
case "$1" in
    exec) work "$2"; echo 1 ;;
    pipe) while read -r n; do work "$n"; echo "$n"; done ;;
esac
"#;

const PYTHON: &str = r#"
import multiprocessing, os, signal, subprocess, time

for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGTSTP"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)


def work(value):
    subprocess.Popen(["sleep", "300"])
    subprocess.Popen(["sleep", "300"], start_new_session=True)
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(300,)).start()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(300)
        os._exit(0)
    open(os.path.join(os.environ["BEGUN"], str(value)), "w").close()
    if os.environ["PACE"] == "endless":
        time.sleep(300)
    while value >= 100 and not os.path.exists(os.environ["ASKED"]):
        time.sleep(0.01)
    return value
"#;

/// A run in a folder of its own, from the moment at which each worker has begun a unit.
struct Run {
    launcher: Process,
    mark: Mark,
    asked: PathBuf,
}

fn topology(folder: &Path, kind: Kind, end: End) -> PathBuf {
    let shell = folder.join("stubborn.sh");
    let function = match kind {
        Kind::Exec => format!("exec = [\"sh\", {shell:?}, \"exec\", \"{{}}\"]"),
        Kind::Pipe => format!("pipe = [\"sh\", {shell:?}, \"pipe\"]"),
        Kind::Python => format!("python = '''{PYTHON}'''"),
    };
    let units = if end == End::Calm { 6 } else { 400 };
    let text = format!(
        "name = \"stubborn\"\n[source]\nkind = \"range\"\nfrom = 1\nto = {units}\n\
         [[stage]]\nname = \"s\"\nworkers = {WORKERS}\n{function}\n[sink]\noutput = \"out.jsonl\"\n"
    );
    let path = folder.join("stubborn.toml");
    for (path, content) in [(&shell, SHELL), (&path, text.as_str())] {
        std::fs::write(path, content).expect("the scenario's folder can be written");
    }
    path
}

impl Run {
    fn begin(place: &Place, kind: Kind, end: End) -> Self {
        let folder = tempfile::tempdir_in(place.folder()).expect("a folder can be made").keep();
        let topology = topology(&folder, kind, end);
        let [begun, asked] = ["begun", "asked"].map(|name| folder.join(name));
        std::fs::create_dir(&begun).expect("a folder can be made");
        let mark = Mark::new();
        let mut command = place.command(programs::program("pipeline"));
        command.arg("up").arg(topology).args(["--quiet", "--ephemeral"]);
        command
            .env("BEGUN", &begun)
            .env("ASKED", &asked)
            .env("PACE", if end.is_abrupt() { "endless" } else { "brief" });
        mark.put_on(&mut command);
        let mut launcher = place.start_command("up", command);
        // Each of the workers has one then, and the run lasts also when one of them is killed.
        let all_have_begun =
            || std::fs::read_dir(&begun).is_ok_and(|units| units.count() >= WORKERS);
        wait::until("programs have begun", || {
            (all_have_begun() || !launcher.is_running()).then_some(())
        });
        Run { launcher, mark, asked }
    }

    fn signal(&self, signal: Signal) {
        for bearer in self.mark.bearers().iter().filter(|bearer| bearer.pid == self.launcher.id()) {
            bearer.signal(signal);
        }
    }

    fn signal_twice(&mut self, signal: Signal) {
        self.signal(signal);
        let drains = |run: &Self| run.launcher.stderr().contains("draining");
        wait::until("the run drains", || {
            (drains(self) || !self.launcher.is_running()).then_some(())
        });
        // A second signal at the same moment is no second wish.
        wait::pace(Duration::from_millis(80), || false);
        self.signal(signal);
    }

    fn bring_about(&mut self, end: End) {
        match end {
            End::Calm => {}
            End::Once(signal) => self.signal(signal),
            End::Twice(signal) => self.signal_twice(signal),
            End::ToAll(signal) => {
                for bearer in self.mark.bearers().iter().filter(|bearer| bearer.is_ours()) {
                    bearer.signal(signal);
                }
            }
            End::WorkerKilled => {
                let members = kin::members(self.launcher.id());
                let worker = members.iter().find(|member| member.role == Role::Worker);
                worker.expect("there is a worker").kin.signal(Signal::KILL);
                self.signal_twice(Signal::INT);
            }
            End::LauncherKilled => self.launcher.kill(),
        }
    }

    fn is_over(&mut self, end: End) -> Result<(), Trouble> {
        let ended = self.launcher.ends();
        if end == End::LauncherKilled {
            // Who sees to it then needs a moment.
            let mut left = Vec::new();
            let gone = wait::is_soon(Duration::from_secs(20), || {
                left = self.mark.bearers();
                left.is_empty()
            });
            return if gone { Ok(()) } else { Err(Trouble::Left(left)) };
        }
        let left = self.mark.bearers();
        match (ended.code == end.code(), left.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(Trouble::Left(left)),
            (false, _) => Err(Trouble::Code(ended.code, ended.stderr)),
        }
    }
}

/// Brings a run with such programs to an end, after `delay` from its first unit.
///
/// # Errors
/// [`Trouble`] when something is left, or the exit code is wrong.
///
/// # Panics
/// When it does not begin or end at all.
pub fn run_to(place: &Place, kind: Kind, end: End, delay: Duration) -> Result<(), Trouble> {
    let mut run = Run::begin(place, kind, end);
    wait::pace(delay, || false);
    run.bring_about(end);
    std::fs::write(&run.asked, "").expect("the scenario's folder can be written");
    run.is_over(end)
}
