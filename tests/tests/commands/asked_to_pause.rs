//! What is typed at a terminal, and signals that were ignored at the start.

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use tests::hand::Hand;
use tests::mark::{Bearer, Mark};
use tests::outcome::lines;
use tests::place::{Place, Transport};
use tests::terminal::Terminal;
use tests::{programs, wait};

const CTRL_Z: u8 = 0x1a;

/// `pipeline up` with a script a unit, for a while.
fn up(place: &Place, mark: &Mark, script: &str, units: u32) -> Command {
    let topology = place.write(
        "t.toml",
        format!(
            "[source]\nkind = \"range\"\nfrom = 1\nto = {units}\n[[stage]]\nname = \"s\"\n\
             workers = 2\nexec = [\"sh\", \"-c\", {script:?}, \"sh\", \"{{}}\"]\n\
             [sink]\noutput = \"out.jsonl\"\n"
        ),
    );
    let mut command = place.command(programs::program("pipeline"));
    command.arg("up").arg(topology).args(["--quiet", "--ephemeral"]);
    mark.put_on(&mut command);
    command
}

/// All that works for a run; not who only guards it.
fn working(mark: &Mark) -> Vec<Bearer> {
    mark.bearers().into_iter().filter(|bearer| !bearer.command.ends_with(" guard ")).collect()
}

/// Ctrl-Z that stops the launcher only, while its children work on.
#[test]
fn ctrl_z_stops_the_whole_run_with_its_programs_and_it_goes_on_together() {
    let (place, mark, mut terminal) = (Place::new(), Mark::new(), Terminal::new());
    let script = ": > begun; (setsid sleep 0.2 &); sleep 0.1; echo $1";
    let command = up(&place, &mark, script, 12);
    let mut launcher = terminal.start(&command, &place.path("up.err"));
    wait::until("a unit has begun", || place.path("begun").exists().then_some(()));
    terminal.types(CTRL_Z);
    let all_stopped = || {
        let working = working(&mark);
        (working.len() > 4 && working.iter().all(|bearer| bearer.stopped)).then_some(())
    };
    wait::until("everything is stopped", all_stopped);
    let pid = launcher.id();
    let bearers = mark.bearers();
    bearers.iter().find(|bearer| bearer.pid == pid).expect("it is there").signal(Signal::CONT);
    let ended = wait::until("the run ends", || launcher.try_wait().expect("a child"));
    assert!(ended.success(), "{}", fs::read_to_string(place.path("up.err")).unwrap_or_default());
    assert_eq!(lines(&place.path("out.jsonl")).len(), 12);
    assert_eq!(mark.bearers(), []);
}

/// The same for a worker that was started by hand.
#[test]
fn ctrl_z_stops_a_worker_that_was_started_by_hand_with_its_programs() {
    let (hand, mark, mut terminal) = (Hand::over(Transport::Ipc), Mark::new(), Terminal::new());
    let mut others = [hand.sink(&[]), hand.ventilator("range:1..8", &[])];
    let script = ": > begun; sleep 0.1; echo $1";
    let mut command = hand.place.command(programs::program("worker"));
    command.args(["--ventilator", hand.ventilator_endpoint(), "--exec", "sh", "-c", script]);
    command.args(["sh", "{}"]);
    mark.put_on(&mut command);
    let mut worker = terminal.start(&command, &hand.place.path("worker.err"));
    wait::until("a unit has begun", || hand.place.path("begun").exists().then_some(()));
    terminal.types(CTRL_Z);
    let all_stopped = || {
        let working = working(&mark);
        (!working.is_empty() && working.iter().all(|bearer| bearer.stopped)).then_some(())
    };
    wait::until("everything is stopped", all_stopped);
    let pid = worker.id();
    let bearers = mark.bearers();
    bearers.iter().find(|bearer| bearer.pid == pid).expect("it is there").signal(Signal::CONT);
    others.iter_mut().for_each(|process| drop(process.ends_well()));
    let ended = wait::until("the worker ends", || worker.try_wait().expect("a child"));
    assert!(ended.success());
    assert_eq!(mark.bearers(), []);
}

/// A program that asks at the terminal, and is stopped for ever.
#[test]
fn a_program_that_asks_at_the_terminal_is_told_that_there_is_none() {
    let (place, mark, terminal) = (Place::new(), Mark::new(), Terminal::new());
    let script = "if read -r word < /dev/tty; then echo $word; else echo none; fi";
    let command = up(&place, &mark, script, 3);
    let mut launcher = terminal.start(&command, &place.path("up.err"));
    let ended = wait::until("the run ends", || launcher.try_wait().expect("a child"));
    assert!(ended.success());
    assert_eq!(lines(&place.path("out.jsonl")), ["\"none\""; 3]);
}

/// The same for a worker that was started by hand.
#[test]
fn a_program_of_a_worker_by_hand_has_no_terminal_either() {
    let (hand, mark, terminal) = (Hand::over(Transport::Ipc), Mark::new(), Terminal::new());
    let mut others = [hand.sink(&[]), hand.ventilator("range:1..3", &[])];
    let script = "if read -r word < /dev/tty; then echo $word; else echo none; fi";
    let mut command = hand.place.command(programs::program("worker"));
    command.args(["--ventilator", hand.ventilator_endpoint(), "--exec", "sh", "-c", script]);
    mark.put_on(&mut command);
    let mut worker = terminal.start(&command, &hand.place.path("worker.err"));
    others.iter_mut().for_each(|process| drop(process.ends_well()));
    wait::until("the worker ends", || worker.try_wait().expect("a child"));
    assert_eq!(lines(&hand.output()), ["\"none\""; 3]);
}

fn mask(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    u64::from_str_radix(line.trim(), 16).unwrap_or_default()
}

fn has(mask: u64, signal: Signal) -> bool {
    mask & (1 << (signal.as_raw() - 1)) != 0
}

/// A signal that was ignored at the start (`nohup`, `trap`, a job in the background of a script)
/// and is obeyed all the same.
#[test]
fn what_is_ignored_at_the_start_stays_ignored_in_every_process_of_the_run() {
    let ask = [
        ("HUP", Signal::HUP),
        ("INT", Signal::INT),
        ("TERM", Signal::TERM),
        ("TSTP", Signal::TSTP),
    ];
    for (name, signal) in ask {
        let (place, mark) = (Place::new(), Mark::new());
        let up = up(&place, &mark, ": > begun; sleep 0.02; echo $1", 30);
        let mut command = place.command("sh");
        let script = format!("trap '' {name}; exec \"$@\"");
        command.args(["-c", &script, "sh"]).arg(up.get_program()).args(up.get_args());
        mark.put_on(&mut command);
        let mut launcher = place.start_command("up", command);
        wait::until("a unit has begun", || place.path("begun").exists().then_some(()));
        for bearer in working(&mark) {
            let obeys = bearer.is_ours() && has(mask(bearer.pid, "SigCgt:"), signal);
            assert!(!obeys, "{} obeys SIG{name}", bearer.command);
            bearer.signal(signal);
        }
        launcher.ends_well();
        assert_eq!(lines(&place.path("out.jsonl")).len(), 30, "SIG{name}");
    }
}

/// The same for the three programs by hand.
#[test]
fn what_is_ignored_at_the_start_stays_ignored_in_the_three_programs() {
    let hand = Hand::over(Transport::Ipc);
    let start = |program: &str, args: &[&str]| {
        let mut command = hand.place.command("sh");
        command.args(["-c", "trap '' HUP INT; exec \"$@\"", "sh"]);
        command.arg(programs::program(program)).args(args);
        hand.place.start_command(program, command)
    };
    let mut sink = start("sink", &["--bind", hand.sink_endpoint(), "--output", "out.jsonl"]);
    let mut ventilator = start(
        "ventilator",
        &[
            "--bind",
            hand.ventilator_endpoint(),
            "--sink",
            hand.sink_endpoint(),
            "--source",
            "range:1..9",
        ],
    );
    for process in [&mut sink, &mut ventilator] {
        process.is_up();
        let caught = mask(process.id(), "SigCgt:");
        assert!(!has(caught, Signal::HUP) && !has(caught, Signal::INT), "{}", process.name());
    }
    let mut worker =
        start("worker", &["--ventilator", hand.ventilator_endpoint(), "--run", "square"]);
    for process in [&mut sink, &mut ventilator, &mut worker] {
        process.ends_well();
    }
}
