//! A signal to some or all of three programs that were started by hand, at once: as a terminal's
//! Ctrl-C, a service manager and a container's stop send it.

use rustix::process::Signal;
use tests::hand::Hand;
use tests::outcome::lines;
use tests::place::Transport;
use tests::process::Process;
use tests::wait;

/// So many that slow workers are not through when they are asked to end, however late that is.
const UNITS: usize = 20_000;

/// The programs of a run, in the order sink, ventilator, workers.
struct Run {
    all: Vec<Process>,
    // What they write is there as long as they are.
    hand: Hand,
}

const SLOW: [&str; 6] = ["--exec", "sh", "-c", "sleep 0.02; echo $1", "sh", "{}"];
/// Gives the same.
const QUICK: [&str; 2] = ["--run", "echo"];

impl Run {
    fn start(flags: &[&str]) -> Self {
        let hand = Hand::over(Transport::Ipc);
        let mut run = Run { hand, all: Vec::new() };
        run.begin(flags, &SLOW);
        run
    }

    /// The same commands, with workers that are soon through.
    fn start_again(&mut self, flags: &[&str]) {
        self.begin(flags, &QUICK);
    }

    fn begin(&mut self, flags: &[&str], function: &[&str]) {
        let source = format!("range:1..{UNITS}");
        let hand = &self.hand;
        self.all = vec![hand.sink(flags), hand.ventilator(&source, flags)];
        self.all.extend([hand.worker(function), hand.worker(function)]);
    }

    fn until_something_is_done(&self) {
        let done = || (self.hand.lines_so_far() > 2).then_some(());
        wait::until("something is done", done);
    }

    fn signal(&self, indices: &[usize], signal: Signal) {
        let pids = indices.iter().map(|index| self.all[*index].id());
        let pids: Vec<i32> = pids.filter_map(|pid| i32::try_from(pid).ok()).collect();
        for pid in pids.into_iter().filter_map(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, signal).expect("it is there");
        }
    }

    fn codes(&mut self) -> Vec<Option<i32>> {
        self.all.iter_mut().map(|process| process.ends().code).collect()
    }
}

/// One signal to all leaves ventilator and sink waiting for ever.
#[test]
fn a_signal_that_reaches_every_worker_and_another_program_stops_the_run_and_it_goes_on_later() {
    for (indices, signal) in [
        (&[0, 1, 2, 3][..], Signal::INT),
        (&[3, 2, 1, 0], Signal::TERM),
        (&[0, 1, 2, 3], Signal::HUP),
        (&[1, 2, 3], Signal::TERM),
        (&[0, 2, 3], Signal::INT),
    ] {
        let mut run = Run::start(&["--run-dir", "run"]);
        run.until_something_is_done();
        run.signal(indices, signal);
        assert_eq!(run.codes(), [Some(75), Some(75), Some(0), Some(0)], "{indices:?}, {signal:?}");
        let done = run.hand.lines_so_far();
        assert!(done < UNITS, "{done}");
        run.start_again(&["--run-dir", "run"]);
        assert_eq!(run.codes(), [Some(0); 4]);
        let expected: Vec<String> = (1..=UNITS).map(|n| n.to_string()).collect();
        assert_eq!(lines(&run.hand.output()), expected);
    }
}

/// The same without a run directory: what was done is written, in its order.
#[test]
fn a_run_that_keeps_nothing_writes_what_was_done_when_all_are_asked_to_end() {
    let mut run = Run::start(&[]);
    run.until_something_is_done();
    run.signal(&[0, 1, 2, 3], Signal::INT);
    assert_eq!(run.codes(), [Some(75), Some(75), Some(0), Some(0)]);
    let written = lines(&run.hand.output());
    let numbers: Vec<usize> = written.iter().map(|line| line.parse().expect("a number")).collect();
    assert!(numbers.is_sorted() && (3..UNITS).contains(&numbers.len()), "{numbers:?}");
    let outcome = run.hand.outcome();
    assert_eq!(outcome.count("results"), numbers.len() as u64);
}

/// With the ventilator or the sink the run ends; with workers only, others are waited for, and that is said.
#[test]
fn a_signal_to_the_ventilator_or_the_sink_ends_the_run_and_one_to_its_workers_does_not() {
    for indices in [&[0][..], &[1], &[0, 1], &[0, 1, 2]] {
        let mut run = Run::start(&["--run-dir", "run"]);
        run.until_something_is_done();
        run.signal(indices, Signal::TERM);
        let codes = run.codes();
        // Whether the source had been read to its end then.
        let code = if lines(&run.hand.output()).len() == UNITS { 0 } else { 75 };
        assert_eq!(codes, [Some(code), Some(code), Some(0), Some(0)], "{indices:?}");
    }
    let mut run = Run::start(&["--run-dir", "run"]);
    run.until_something_is_done();
    run.signal(&[2, 3], Signal::TERM);
    let says = || run.all[1].stderr().contains("has no worker yet").then_some(());
    wait::until("the ventilator says whom it waits for", says);
    let other = run.hand.worker(&QUICK);
    run.all.push(other);
    assert_eq!(run.codes(), [Some(0); 5]);
    assert_eq!(lines(&run.hand.output()).len(), UNITS);
}

/// A ventilator and a sink whose workers never came.
#[test]
fn a_signal_before_any_worker_has_come_ends_both() {
    let hand = Hand::over(Transport::Ipc);
    let all = [hand.sink(&[]), hand.ventilator("range:1..9", &[])];
    let reads = || all[1].stderr().contains("has no worker yet").then_some(());
    wait::until("the ventilator waits for a worker", reads);
    all.iter().for_each(Process::terminate);
    assert_eq!(all.map(|mut process| process.ends().code), [Some(75); 2]);
}
