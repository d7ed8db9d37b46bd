//! Which thread does what in a running process, and that none keeps the others waiting.
// A test fails by panicking.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use proto::{
    limits::Limits,
    net::{
        driver::{Driver, DriverError, Handle, JobQueue, Performed, Runner},
        zeromq::SharedContext,
    },
    role::{Effect, Event, Role},
    time::Time,
};

/// Far longer than anything here lasts.
const DEADLINE: Duration = Duration::from_secs(60);

/// Tells what it was given and by which thread, asks for what it is told to, and leaves at 0.
struct Clerk {
    told: Sender<(u32, ThreadId)>,
}

#[derive(Debug)]
enum Say {
    /// Leave, or tell.
    Number(u32),
    /// Order this.
    Order(u32),
    Panic,
}

impl Role for Clerk {
    type Request = u32;
    type Reply = Say;

    fn handle(&mut self, _now: Time, event: Event<Say>, effects: &mut Vec<Effect<u32>>) {
        match event {
            Event::Reply(Say::Number(0)) => effects.push(Effect::Exit(9)),
            Event::Reply(Say::Number(number)) => {
                self.told.send((number, thread::current().id())).unwrap();
            }
            Event::Reply(Say::Order(number)) => effects.push(Effect::Request(number)),
            Event::Reply(Say::Panic) => panic!("as it was told to"),
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Time> {
        None
    }
}

struct Office {
    handle: Handle<Say>,
    told: Receiver<(u32, ThreadId)>,
    ended: Receiver<Result<i32, DriverError>>,
}

impl Office {
    fn open<A>(perform: impl FnOnce(Handle<Say>) -> A) -> Self
    where
        A: FnMut(u32) -> Performed<Say> + Send + 'static,
    {
        let driver = Driver::new(&SharedContext::new(), None, &Limits::default()).unwrap();
        let (handle, (tell, told)) = (driver.handle(), mpsc::channel());
        let perform = perform(handle.clone());
        let (end, ended) = mpsc::channel();
        thread::spawn(move || end.send(driver.run(Clerk { told: tell }, Vec::new(), perform)));
        Self { handle, told, ended }
    }

    fn hear(&self) -> (u32, ThreadId) {
        self.told.recv_timeout(DEADLINE).unwrap()
    }

    fn close(self) {
        self.handle.reply(Say::Number(0));
        assert_eq!(self.ended.recv_timeout(DEADLINE).unwrap().unwrap(), 9);
    }
}

#[test]
fn a_reply_that_is_carried_in_is_handled_by_who_brings_it() {
    let office = Office::open(|_| |_| Performed::Underway);
    // Once the attendant waits it leaves its seat to others; before that it takes what is left.
    let here = thread::current().id();
    let carried = (0..1000).any(|_| {
        office.handle.carry_in(Say::Number(1));
        office.hear() == (1, here)
    });
    assert!(carried, "always handled by another thread");
    office.handle.reply(Say::Number(2));
    assert_ne!(office.hear().1, here);
    office.close();
}

#[test]
fn while_something_that_was_to_be_brief_lasts_another_thread_goes_on() {
    let (release, held) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let held = Arc::new(Mutex::new(held));
    let office = Office::open(|_| {
        move |number| {
            let (held, begin) = (held.clone(), begin.clone());
            Performed::Inline(Box::new(move || {
                begin.send(()).unwrap();
                let _ = held.lock().unwrap().recv_timeout(DEADLINE);
                vec![Say::Number(number)]
            }))
        }
    });
    office.handle.reply(Say::Order(7));
    begun.recv_timeout(DEADLINE).unwrap();
    // Nobody else can be let in before somebody takes the seat.
    office.handle.reply(Say::Number(1));
    assert_eq!(office.hear().0, 1);
    release.send(()).unwrap();
    assert_eq!(office.hear().0, 7, "what came late counts as well");
    // The run ends while another one lasts.
    office.handle.reply(Say::Order(8));
    begun.recv_timeout(DEADLINE).unwrap();
    office.close();
}

#[test]
fn a_panic_of_who_carries_a_reply_in_ends_the_run() {
    // When the attendant has not left its seat it panics itself, and with it the run.
    for _ in 0..1000 {
        let Office { handle, told, ended } = Office::open(|_| |_| Performed::Underway);
        handle.reply(Say::Number(1));
        told.recv_timeout(DEADLINE).unwrap();
        let visitor = thread::spawn(move || handle.carry_in(Say::Panic));
        let ended = ended.recv_timeout(DEADLINE);
        if visitor.join().is_err() {
            assert!(matches!(ended, Ok(Err(DriverError::Panicked))), "{ended:?}");
            return;
        }
        assert!(matches!(ended, Err(RecvTimeoutError::Disconnected)), "{ended:?}");
    }
    panic!("always handled by another thread");
}

/// Writes down in which order it was ordered what.
struct Scribe(Arc<Mutex<Vec<u32>>>);

impl Runner for Scribe {
    type Job = u32;
    type Reply = Say;

    fn run(&mut self, orders: Vec<u32>) -> Vec<Say> {
        self.0.lock().unwrap().extend(&orders);
        orders.into_iter().map(Say::Number).collect()
    }
}

#[test]
fn orders_keep_their_order_whoever_does_them() {
    let written = Arc::default();
    let (book, mut threads) = (Arc::clone(&written), Vec::new());
    let office = Office::open(|handle| {
        let queue = JobQueue::start("scribe", Scribe(book), handle).unwrap();
        // Every third may not be done at the sockets, however fast it is.
        move |number| queue.perform(number, (number % 3 != 0).then_some(1))
    });
    let numbers: Vec<u32> = (1..=3000).collect();
    for number in &numbers {
        office.handle.reply(Say::Order(*number));
        if number % 7 == 0 {
            // So that both find nothing to do now and then.
            while threads.len() < *number as usize {
                threads.push(office.hear().1);
            }
        }
    }
    while threads.len() < numbers.len() {
        threads.push(office.hear().1);
    }
    assert_eq!(*written.lock().unwrap(), numbers);
    threads.sort_by_key(|thread| format!("{thread:?}"));
    threads.dedup();
    assert!(threads.len() > 1, "only one thread has ever handled a reply");
    office.close();
}
