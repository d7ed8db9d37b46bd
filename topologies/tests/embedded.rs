//! The embedded pipeline: the promises, in one process.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use pipeline::{
    Order,
    embedded::{ResultError, StartError},
};
use proto::limits::Limits;
use serde::{Deserialize, Serialize};
use worker::{Emit, Typed, Unit, Worker};

/// Waits until `condition` holds, which it must within ten seconds.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "in vain: {what}");
        thread::yield_now();
    }
}

/// Counts the items that were pulled from an iterator, and tells when it is dropped.
struct Counted<I> {
    items: I,
    pulled: Arc<AtomicU64>,
    dropped: Arc<AtomicBool>,
}

impl<I: Iterator> Counted<I> {
    fn new(items: I) -> (Self, Arc<AtomicU64>, Arc<AtomicBool>) {
        let (pulled, dropped) = <(Arc<AtomicU64>, Arc<AtomicBool>)>::default();
        (Self { items, pulled: pulled.clone(), dropped: dropped.clone() }, pulled, dropped)
    }
}

impl<I: Iterator> Iterator for Counted<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.pulled.fetch_add(1, SeqCst);
        self.items.next()
    }
}

impl<I> Drop for Counted<I> {
    fn drop(&mut self) {
        self.dropped.store(true, SeqCst);
    }
}

#[test]
fn map_gives_results_in_the_order_of_the_source() {
    let results: Vec<u64> = pipeline::map(4, |n: u64| n * 3, 0..50_000).collect();
    assert!(results.into_iter().eq((0..50_000).map(|n| n * 3)));
}

#[test]
fn order_holds_though_some_units_take_longer() {
    let slow_first = |n: u64| {
        if n.is_multiple_of(7) {
            thread::sleep(Duration::from_millis(5));
        }
        n
    };
    assert!(pipeline::map(4, slow_first, 0..40).eq(0..40));
}

#[test]
fn completion_order_gives_the_quick_ones_first_and_every_one_once() {
    let (release, gate) = mpsc::channel::<()>();
    let gate = Arc::new(std::sync::Mutex::new(gate));
    let mut results = pipeline::source(0..1000_u64)
        .stage("wait", 2, || {
            let gate = gate.clone();
            worker::map(move |n: u64| {
                if n == 0 {
                    let _ = gate.lock().unwrap().recv();
                }
                n
            })
        })
        .order(Order::Completion)
        .run()
        .unwrap();
    let mut seen: BTreeSet<u64> = results.by_ref().take(500).map(Result::unwrap).collect();
    assert!(!seen.contains(&0) && seen.len() == 500);
    drop(release);
    seen.extend(results.map(Result::unwrap));
    assert!(seen.into_iter().eq(0..1000));
}

#[test]
fn stages_make_many_of_one_and_none_of_some_in_order() {
    let outputs: Vec<u64> = pipeline::source(0..2_000_u64)
        .stage("repeat", 3, || worker::flat_map(|n: u64| (0..n % 4).map(move |i| n * 10 + i)))
        .stage("odd", 2, || worker::filter_map(|n: u64| (!n.is_multiple_of(2)).then_some(n)))
        .stage("twice", 2, || worker::flat_map(|n: u64| [n, n]))
        .run()
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let expected = (0..2_000_u64)
        .flat_map(|n| (0..n % 4).map(move |i| n * 10 + i))
        .filter(|n| !n.is_multiple_of(2))
        .flat_map(|n| [n, n]);
    assert!(outputs.into_iter().eq(expected));
}

#[test]
fn a_unit_that_fails_for_good_is_an_item_in_its_place_after_its_retries() {
    let attempts = Arc::new(AtomicU64::new(0));
    let results: Vec<_> = pipeline::source(["1", "two", "3"].map(String::from))
        .stage("parse", 2, || {
            let attempts = attempts.clone();
            worker::try_map(move |text: String| {
                text.parse::<i64>().inspect_err(|_| {
                    attempts.fetch_add(1, SeqCst);
                })
            })
        })
        .retries(2)
        .backoff(Duration::from_millis(1))
        .stage("negate", 1, || worker::map(|n: i64| -n))
        .run()
        .unwrap()
        .collect();
    assert_eq!((&results[0], &results[2]), (&Ok(-1), &Ok(-3)));
    let Err(ResultError::Dead(dead)) = &results[1] else { panic!("{:?}", results[1]) };
    assert_eq!((dead.id, dead.stage.as_str(), dead.attempts), (1, "parse", 3));
    assert_eq!(dead.input, serde_json::json!("two"));
    assert_eq!(dead.error, "invalid digit found in string");
    assert_eq!(attempts.load(SeqCst), 3);
    assert_eq!(results.len(), 3);
}

#[test]
fn a_unit_that_fails_once_is_tried_again() {
    let failed = Arc::new(AtomicBool::new(false));
    let results = pipeline::source(0..100_u64)
        .stage("flaky", 2, || {
            let failed = failed.clone();
            worker::try_map(move |n: u64| match n {
                50 if !failed.swap(true, SeqCst) => Err("not now"),
                _ => Ok(n),
            })
        })
        .backoff(Duration::from_millis(1))
        .run()
        .unwrap();
    assert!(results.map(Result::unwrap).eq(0..100));
}

#[test]
fn a_panic_in_the_closure_of_map_is_raised_again_in_its_place() {
    let mut results = pipeline::map(
        2,
        |n: u64| {
            assert_ne!(n, 3, "three is not for me");
            n
        },
        0..10,
    );
    assert!(results.by_ref().take(3).eq(0..3));
    let panic = catch_unwind(AssertUnwindSafe(|| results.next())).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(
        text.starts_with("unit 3 failed in the stage `map`, tried 1 times: panicked:"),
        "{text}"
    );
    assert!(text.contains("three is not for me"), "{text}");
    assert!(results.eq(4..10));
}

#[test]
fn a_panic_of_the_source_is_raised_again_behind_what_it_gave() {
    let source = (0..100_u64).inspect(|n| assert_ne!(*n, 50, "no fifty"));
    let mut results = pipeline::map(2, |n: u64| n, source);
    assert!(results.by_ref().take(50).eq(0..50));
    assert!(catch_unwind(AssertUnwindSafe(|| results.next())).is_err());
    assert_eq!(results.next(), None);
}

#[test]
fn an_empty_source_gives_nothing_and_the_end_stays_the_end() {
    let mut results = pipeline::map(2, |n: u64| n, std::iter::empty());
    assert_eq!((results.next(), results.next()), (None, None));
}

#[test]
fn an_infinite_source_is_stopped_when_enough_was_taken() {
    let (source, pulled, dropped) = Counted::new(0_u64..);
    let first: Vec<u64> = pipeline::map(3, |n: u64| n + 1, source).take(5).collect();
    assert_eq!(first, [1, 2, 3, 4, 5]);
    wait_until("the source is dropped", || dropped.load(SeqCst));
    assert!(pulled.load(SeqCst) < 100_000);
}

#[test]
fn dropping_the_iterator_does_not_wait_for_units_nobody_begins_any_more() {
    let calls = Arc::new(AtomicU64::new(0));
    let counter = calls.clone();
    let slow = move |n: u64| {
        counter.fetch_add(1, SeqCst);
        // The first units are quick, so that many slow ones are handed out together.
        if n > 2_000 {
            thread::sleep(Duration::from_millis(20));
        }
        n
    };
    let mut results = pipeline::map(2, slow, 0..);
    assert!(results.by_ref().take(1_000).eq(0..1_000));
    let start = Instant::now();
    drop(results);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    // The closures are dropped with their workers, after the unit that each was busy with.
    wait_until("the workers are gone", || Arc::strong_count(&calls) == 1);
}

#[test]
fn a_source_that_blocks_does_not_keep_the_iterator_from_being_dropped() {
    let (send, receive) = mpsc::channel::<u64>();
    let mut results = pipeline::map(2, |n: u64| n * n, receive);
    send.send(5).unwrap();
    assert_eq!(results.next(), Some(25));
    drop(results);
    wait_until("the source is dropped", || send.send(6).is_err());
}

#[test]
fn a_source_that_trickles_has_each_result_before_the_next_item() {
    let (send, receive) = mpsc::channel::<u64>();
    let mut results = pipeline::map(2, |n: u64| n * n, receive);
    for n in 0..50 {
        send.send(n).unwrap();
        assert_eq!(results.next(), Some(n * n));
    }
    drop(send);
    assert_eq!(results.next(), None);
}

#[test]
fn a_unit_that_lasts_after_many_that_did_not_is_no_silent_worker() {
    const QUICK: u32 = 300;
    let limits = Limits { heartbeat_interval_ms: 100, liveness_ms: 500, ..Limits::default() };
    let calls = Arc::new(AtomicU64::new(0));
    let counted = calls.clone();
    let work = move |n: u32| {
        counted.fetch_add(1, SeqCst);
        if n == QUICK {
            thread::sleep(Duration::from_secs(2));
        }
        n
    };
    let (give, given) = mpsc::channel();
    let pipeline = pipeline::embedded::source(given)
        .function::<u32, _>("late", 1, || worker::map(work.clone()));
    let mut results = pipeline.limits(limits).run().unwrap();
    for n in 0..=QUICK {
        give.send(n).unwrap();
        assert_eq!(results.next().unwrap().unwrap(), n);
    }
    drop(give);
    assert!(results.next().is_none());
    assert_eq!(calls.load(SeqCst), u64::from(QUICK) + 1, "it was given up, and its unit repeated");
}

#[test]
fn a_consumer_that_does_not_take_stalls_the_source() {
    // With several workers what one of them does ahead of the others is kept for as long as they take,
    // which is another bound (in bytes).
    let (source, pulled, dropped) = Counted::new(0_u64..);
    let mut results = pipeline::source(source)
        .stage("same", 1, || worker::map(|n: u64| n))
        .window(100)
        .run()
        .unwrap();
    // How far the window opens before anything is taken is not promised, only its end.
    wait_until("the window is full", || pulled.load(SeqCst) >= 64);
    let mut taken = 0;
    for _ in 0..20 {
        for result in results.by_ref().take(50) {
            assert_eq!(result.unwrap(), taken);
            taken += 1;
        }
        // What the iterator holds itself counts as taken; it is one parcel, so a window at most.
        assert!(pulled.load(SeqCst) <= taken + 200, "{} of {taken}", pulled.load(SeqCst));
    }
    drop(results);
    wait_until("the source is dropped", || dropped.load(SeqCst));
}

#[test]
fn large_values_stall_the_source_by_their_bytes() {
    const VALUE_BYTES: usize = 1 << 20;
    let (source, pulled, _) = Counted::new((0_u8..).map(|_| "x".repeat(VALUE_BYTES)));
    let mut results = pipeline::source(source.take(250))
        .stage("same", 1, || worker::map(|text: String| text))
        .run()
        .unwrap();
    for _ in 0..50 {
        assert_eq!(results.next().unwrap().unwrap().len(), VALUE_BYTES);
        // Nobody tells that the source has stalled, so it is given time to go too far.
        thread::sleep(Duration::from_millis(5));
    }
    let ahead = pulled.load(SeqCst) - 50;
    assert!(ahead < 40, "{ahead} MiB were read ahead");
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Circle { radius: f64 },
    Polygon(Vec<(f64, f64)>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Named {
    name: String,
    shape: Option<Box<Shape>>,
}

#[test]
fn types_of_ones_own_travel() {
    let shapes = vec![
        Named { name: "round".into(), shape: Some(Box::new(Shape::Circle { radius: 0.5 })) },
        Named { name: "flat".into(), shape: Some(Box::new(Shape::Polygon(vec![(0.0, 1.0)]))) },
        Named { name: String::new(), shape: None },
    ];
    let rename = |named: Named| Named { name: named.name + "!", ..named };
    let renamed: Vec<Named> = pipeline::map(2, rename, shapes.clone()).collect();
    assert!(renamed.into_iter().eq(shapes.into_iter().map(rename)));
}

/// Sums what it sees, and tells when it is torn down.
struct Summing {
    sum: u64,
    total: Arc<AtomicU64>,
    fit: bool,
}

impl Worker for Summing {
    type Input = u64;
    type Output = u64;
    type Error = &'static str;

    fn set_up(&mut self) -> Result<(), &'static str> {
        if self.fit { Ok(()) } else { Err("no licence") }
    }

    fn work(&mut self, _: &Unit<'_>, n: u64, emit: &mut Emit<'_, u64>) -> Result<(), &'static str> {
        self.sum += n;
        emit.send(&n);
        Ok(())
    }

    fn tear_down(&mut self) {
        self.total.fetch_add(self.sum, SeqCst);
    }
}

#[test]
fn workers_with_state_are_torn_down_at_the_end() {
    let total = Arc::new(AtomicU64::new(0));
    let results = pipeline::source(1..=1_000_u64)
        .stage("sum", 3, || Typed(Summing { sum: 0, total: total.clone(), fit: true }))
        .run()
        .unwrap();
    assert_eq!(results.map(Result::unwrap).sum::<u64>(), 500_500);
    // Near the end an idle worker may do what another one is slow with, hence "at least".
    wait_until("all are torn down", || total.load(SeqCst) >= 500_500);
}

#[test]
fn a_worker_that_cannot_be_set_up_ends_the_pipeline() {
    let total = Arc::new(AtomicU64::new(0));
    let mut results = pipeline::source(0_u64..)
        .stage("sum", 2, || Typed(Summing { sum: 0, total: total.clone(), fit: false }))
        .run()
        .unwrap();
    let expected = ResultError::SetUp { stage: "sum".into(), problem: "no licence".into() };
    assert_eq!(results.next(), Some(Err(expected)));
    assert_eq!(results.next(), None);
}

#[test]
fn an_item_that_cannot_be_encoded_ends_the_pipeline_behind_those_before_it() {
    /// Has no form when it is odd.
    struct Even(u64);
    impl Serialize for Even {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            match self.0 % 2 {
                0 => to.serialize_u64(self.0),
                _ => Err(serde::ser::Error::custom("odd")),
            }
        }
    }
    let mut results = pipeline::source([0, 2, 4, 5, 6].map(Even))
        .function::<u64, _>("same", 1, || worker::map(|n: u64| n))
        .run()
        .unwrap();
    assert!(results.by_ref().take(3).map(Result::unwrap).eq([0, 2, 4]));
    match results.next() {
        Some(Err(ResultError::Item { id: 3, problem })) => assert!(problem.contains("odd")),
        other => panic!("{other:?}"),
    }
    assert_eq!(results.next(), None);
}

#[test]
fn a_result_of_another_type_is_an_error_and_the_others_follow() {
    let results: Vec<_> = pipeline::source(["5", "\"five\"", "6"].map(String::from))
        .function::<u64, _>("json", 1, || {
            worker::map(|text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap())
        })
        .run()
        .unwrap()
        .collect();
    assert_eq!((&results[0], &results[2]), (&Ok(5), &Ok(6)));
    let text = results[1].as_ref().unwrap_err().to_string();
    assert_eq!(
        text,
        "a result of unit 1 is not of the expected type: expected a whole number (u64), got the string \"five\""
    );
}

#[test]
fn a_pipeline_that_could_not_end_is_not_started() {
    let same = || worker::map(|n: u64| n);
    let none = pipeline::source(0..9_u64).stage("same", 0, same).run();
    assert!(matches!(none, Err(StartError::NoWorkers { stage }) if stage == "same"));
    let twice = pipeline::source(0..9_u64).stage("same", 1, same).stage("same", 1, same).run();
    assert!(matches!(twice, Err(StartError::SameName { stage }) if stage == "same"));
}

#[test]
fn pipelines_run_beside_each_other_and_inside_each_other() {
    let inner = |n: u64| pipeline::map(1, |k: u64| k, 0..=n).sum::<u64>();
    let outer: Vec<u64> = pipeline::map(2, inner, 0..10).collect();
    assert_eq!(outer, [0, 1, 3, 6, 10, 15, 21, 28, 36, 45]);
}

#[test]
#[ignore = "measures; run with --release --ignored --nocapture"]
fn how_much_a_unit_costs() {
    const UNITS: u64 = 1_000_000;
    let work = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7;
    let time = |name: &str, run: &dyn Fn() -> u64| {
        let start = Instant::now();
        std::hint::black_box(run());
        eprintln!("{name}: {:.1} ns a unit", start.elapsed().as_nanos() as f64 / UNITS as f64);
    };
    time("a plain loop", &|| (0..UNITS).map(std::hint::black_box(work)).fold(0, u64::wrapping_add));
    for workers in [1, 2, 4] {
        let name = format!("map with {workers} workers");
        time(&name, &|| pipeline::map(workers, work, 0..UNITS).fold(0, u64::wrapping_add));
    }
    let start = Instant::now();
    assert_eq!(pipeline::map(2, work, 0..1).count(), 1);
    eprintln!("start, one unit and end with 2 workers: {:?}", start.elapsed());
}
