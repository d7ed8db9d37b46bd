//! Many clients of one service at once, each with many units without an outcome.
//!
//! `cargo run --release -p client --example crowd -- ENDPOINT [CLIENTS [UNITS [OPEN]]]`, where ENDPOINT is that of a service's
//! ventilator that squares numbers: each of the clients submits so many units, and waits once so many are open.

use std::{
    collections::VecDeque,
    env,
    error::Error,
    thread,
    time::{Duration, Instant},
};

use client::{Place, Service, Setup, Terms, Ticket, Wait};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut args = env::args().skip(1);
    let endpoint: String = args.next().ok_or("which endpoint?")?;
    let mut number = |otherwise| args.next().map_or(Ok(otherwise), |text| text.parse());
    let (clients, units, open) = (number(100)?, number(100_000)?, number(1_000)?);
    let start = Instant::now();
    let crowd: Vec<_> = (0..clients)
        .map(|_| {
            let endpoint = endpoint.clone();
            thread::spawn(move || submit(&endpoint, units, open))
        })
        .collect();
    for client in crowd {
        client.join().map_err(|_| "a client has panicked")??;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{clients} clients, {:.0} units a second", (clients * units) as f64 / seconds);
    Ok(())
}

/// One client: each outcome is compared with what it has to be.
fn submit(endpoint: &str, units: u64, open: u64) -> Result<(), Failure> {
    let place = Place { ventilator: endpoint.parse()?, key: None };
    let mut setup = Setup::new(place);
    setup.timeout = Duration::from_secs(60);
    let service = Service::connect(setup)?;
    let (mut tickets, mut next) = (VecDeque::new(), 0u64);
    let mut fetch = |ticket: Ticket| -> Result<(), Failure> {
        let (square, expected) = (ticket.get(None)?.value::<u64>()?, next * next);
        next += 1;
        if square == expected { Ok(()) } else { Err(format!("{square} for {expected}").into()) }
    };
    for number in 0..units {
        let value = rmp_serde::to_vec(&number)?;
        tickets.extend(service.submit_encoded(vec![value], &Terms::default(), Wait::ForRoom)?);
        while tickets.len() as u64 >= open
            && let Some(ticket) = tickets.pop_front()
        {
            fetch(ticket)?;
        }
    }
    tickets.into_iter().try_for_each(fetch)
}
