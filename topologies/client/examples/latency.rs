//! How long a call takes, one after the other, and how many a second go through when they are pipelined.
//!
//! `cargo run --release -p client --example latency -- ENDPOINT [CALLS]`, where ENDPOINT is that of a service's ventilator
//! that squares numbers.

use std::{collections::VecDeque, error::Error, time::Instant};

use client::{Place, Service, Setup, Terms, Wait};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let endpoint = args.next().ok_or("which endpoint?")?.parse()?;
    let calls: u64 = args.next().map_or(Ok(20_000), |text| text.parse())?;
    let service = Service::connect(Setup::new(Place { ventilator: endpoint, key: None }))?;
    for number in 0..500u64 {
        let _: u64 = service.call(&number, None)?;
    }
    let mut times = Vec::new();
    for number in 0..calls.min(5_000) {
        let start = Instant::now();
        let square: u64 = service.call(&number, None)?;
        times.push(start.elapsed());
        assert_eq!(square, number * number);
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_micros();
    println!("one by one: p50 {} µs, p99 {} µs", at(0.5), at(0.99));
    let start = Instant::now();
    let (mut open, mut next) = (VecDeque::new(), 0u64);
    for number in 0..calls * 10 {
        let value = rmp_serde::to_vec(&number)?;
        open.extend(service.submit_encoded(vec![value], &Terms::default(), Wait::ForRoom)?);
        if open.len() >= 8_192
            && let Some(ticket) = open.pop_front()
        {
            assert_eq!(ticket.get(None)?.value::<u64>()?, next * next);
            next += 1;
        }
    }
    for ticket in open {
        assert_eq!(ticket.get(None)?.value::<u64>()?, next * next);
        next += 1;
    }
    println!("pipelined: {:.0} a second", next as f64 / start.elapsed().as_secs_f64());
    Ok(())
}
