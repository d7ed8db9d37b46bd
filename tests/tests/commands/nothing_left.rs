//! Whatever ends a run, in whatever way, ends everything below it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tests::hand::Hand;
use tests::mark::Mark;
use tests::outcome::lines;
use tests::place::{Place, Transport};
use tests::process::Process;
use tests::stubborn::{End, KINDS, run_to};
use tests::{programs, wait};

/// Longer than those need that see to it after a kill.
const SOON: Duration = Duration::from_secs(20);

fn nothing_is_left_by(ends: &[End]) {
    let place = Place::new();
    for (number, end) in ends.iter().enumerate() {
        for kind in KINDS {
            let delay = Duration::from_millis(7 * number as u64);
            if let Err(trouble) = run_to(&place, kind, *end, delay) {
                panic!("{kind:?}, {end:?}: {trouble}");
            }
        }
    }
}

/// Programs that run on when a run ends (the subject "signals, ends").
#[test]
fn one_signal_leaves_nothing_of_programs_that_ignore_signals_and_hide() {
    nothing_is_left_by(&[Signal::INT, Signal::TERM, Signal::HUP].map(End::Once));
}

/// Programs that run on after the second Ctrl-C.
#[test]
fn two_signals_leave_nothing_either() {
    nothing_is_left_by(&[Signal::INT, Signal::TERM, Signal::HUP].map(End::Twice));
}

/// A signal to all processes of a run at once is no second signal.
#[test]
fn a_signal_to_every_process_of_a_run_drains_it_as_one_to_the_launcher_does() {
    nothing_is_left_by(&[Signal::INT, Signal::TERM, Signal::HUP].map(End::ToAll));
}

/// Programs that run on after their worker was killed.
#[test]
fn a_killed_workers_programs_end_with_it() {
    nothing_is_left_by(&[End::WorkerKilled]);
}

/// Programs that run on after the launcher was killed.
#[test]
fn a_killed_launchers_programs_end_with_it() {
    nothing_is_left_by(&[End::LauncherKilled]);
}

/// The private folder of a launcher that was killed, also where nothing but functions of ours ran.
#[test]
fn a_killed_launchers_private_folder_goes_with_it() {
    for stage in ["run = \"spin\"", "exec = [\"sleep\", \"0.05\"]"] {
        let (place, mark) = (Place::new(), Mark::new());
        let base = place.path("base");
        fs::create_dir(&base).expect("a folder can be made");
        let topology = place.write(
            "t.toml",
            format!(
                "[source]\nkind = \"range\"\nfrom = 1000000\nto = 9000000\n[[stage]]\n\
                 name = \"s\"\nworkers = 2\n{stage}\n"
            ),
        );
        let mut command = place.command(programs::program("pipeline"));
        command.arg("up").arg(topology).args(["--quiet", "--ephemeral"]);
        command.env("XDG_RUNTIME_DIR", &base).env("TMPDIR", &base);
        mark.put_on(&mut command);
        let mut launcher = place.start_command("up", command);
        // The list of runs stays, and has none of them.
        let list = base.join("pipeline");
        let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
        let inside = || {
            let beside = entries(&base).filter(|entry| entry.path() != list);
            beside.chain(entries(&list)).next()
        };
        let private = || entries(&base).find(|entry| entry.path() != list);
        let folder = wait::until("there is a private folder", private).path();
        let all = || (mark.bearers().len() >= 5 && folder.join("sink").exists()).then_some(());
        wait::until("the run goes on", all);
        launcher.kill();
        assert!(wait::is_soon(SOON, || inside().is_none()), "{:?}", inside());
        assert!(wait::is_soon(SOON, || mark.bearers().is_empty()), "{:?}", mark.bearers());
    }
}

/// Programs that run on after a normal end.
#[test]
fn a_run_that_ends_by_itself_leaves_nothing() {
    nothing_is_left_by(&[End::Calm]);
}

/// The loser of a unit that was given to two workers runs on after a normal end with exit code 0.
#[test]
fn the_program_that_lost_a_race_for_a_unit_ends_with_the_run() {
    let place = Place::new();
    let script = place.write(
        "once.sh",
        "if [ $1 = 4 ] && mkdir first 2>/dev/null; then setsid sleep 300 & sleep 300; fi; echo $1",
    );
    let topology = place.write(
        "t.toml",
        format!(
            "[source]\nkind = \"range\"\nfrom = 1\nto = 4\n[[stage]]\nname = \"s\"\nworkers = 2\n\
             exec = [\"sh\", {script:?}, \"{{}}\"]\n[sink]\noutput = \"out.jsonl\"\n"
        ),
    );
    let mark = Mark::new();
    let mut command = place.command(programs::program("pipeline"));
    command.arg("up").arg(topology).args(["--quiet", "--ephemeral"]);
    mark.put_on(&mut command);
    place.start_command("up", command).ends_well();
    assert_eq!(mark.bearers(), []);
    assert!(place.path("first").exists());
    assert_eq!(lines(&place.path("out.jsonl")), ["1", "2", "3", "4"]);
}

/// A pipeline by hand whose worker is busy with a program that hides others.
struct ByHand {
    // Before the folder in which they say what they do.
    worker: Process,
    _others: [Process; 2],
    mark: Mark,
    hand: Hand,
}

fn by_hand() -> ByHand {
    let hand = Hand::over(Transport::Ipc);
    let others = [hand.sink(&[]), hand.ventilator("range:1..4", &[])];
    let mark = Mark::new();
    let script = "trap '' HUP INT TERM; sleep 300 & setsid sleep 300 & (setsid sleep 300 &) ; \
                  : > begun; sleep 300";
    let mut command = hand.place.command(programs::program("worker"));
    command.args(["--ventilator", hand.ventilator_endpoint(), "--exec", "sh", "-c", script]);
    mark.put_on(&mut command);
    let worker = hand.place.start_command("worker", command);
    wait::until("the unit has begun", || hand.place.path("begun").exists().then_some(()));
    ByHand { hand, mark, worker, _others: others }
}

/// Programs that run on after their worker, which was started by hand, was killed.
#[test]
fn a_worker_that_was_started_by_hand_leaves_nothing_when_it_is_killed() {
    let mut run = by_hand();
    assert!(run.mark.bearers().len() >= 5);
    run.worker.kill();
    let gone = wait::is_soon(SOON, || run.mark.bearers().is_empty());
    assert!(gone, "{:?}", run.mark.bearers());
}

/// Programs that run on after the second signal to a worker that was started by hand; and no
/// unit is told to have failed by that.
#[test]
fn a_worker_that_was_started_by_hand_leaves_nothing_after_two_signals() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut run = by_hand();
        let bearers = run.mark.bearers();
        let worker = bearers.iter().find(|bearer| bearer.pid == run.worker.id());
        let worker = worker.expect("the worker bears the mark");
        worker.signal(signal);
        let leaves = || run.worker.stderr().contains("leaving: what has begun").then_some(());
        wait::until("the worker leaves", leaves);
        wait::pace(Duration::from_millis(80), || false);
        worker.signal(signal);
        assert_eq!(run.worker.ends().code, Some(130));
        assert_eq!(run.mark.bearers(), []);
        assert!(!run.hand.place.path("out.jsonl.dead.jsonl").exists());
    }
}

/// Children of a run are told from what belongs to others: only the run's own is ended.
#[test]
fn what_does_not_belong_to_the_run_is_left_alone() {
    let place = Place::new();
    let (mine, its) = (Mark::new(), Mark::new());
    let mut command = place.command("sleep");
    command.arg("300");
    mine.put_on(&mut command);
    let mut sleep = place.start_command("sleep", command);
    let topology = place.write(
        "t.toml",
        "[source]\nkind = \"range\"\nfrom = 1\nto = 4\n[[stage]]\nname = \"s\"\n\
         exec = [\"sh\", \"-c\", \": > begun; sleep 300\"]\n[sink]\naggregate = [\"count\"]\n",
    );
    let mut command = place.command(programs::program("pipeline"));
    command.arg("up").arg(topology).arg("--ephemeral");
    its.put_on(&mut command);
    let mut launcher = place.start_command("up", command);
    wait::until("a unit has begun", || fs::exists(place.path("begun")).ok()?.then_some(()));
    launcher.kill();
    assert!(wait::is_soon(SOON, || its.bearers().is_empty()), "{:?}", its.bearers());
    assert!(sleep.is_running());
}
