//! What a client wants: a unit to be worked on, when, and on what terms.
//!
//! Owns the choice, drawn from the seed before the run begins, so that it does not depend on what goes
//! wrong; refuses to know what came of it.

use std::time::Duration;

use fastrand::Rng;
use proto::{service::Terms, unit::UnitId};

use super::setting::Service;

/// Keys by which units are joined.
const KEYS: u64 = 6;
/// Values of units with a key are numbered from here, so that units with the same key are the same.
const KEYED: UnitId = 1 << 40;

/// One unit that a client wants to be worked on.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// Which value it has, among all that are simulated.
    pub value: UnitId,
    /// When, since the client came.
    pub at: Duration,
    pub terms: Terms,
    /// It is submitted once more after such a time, under the same number.
    pub again: Option<Duration>,
    /// It is cancelled after such a time.
    pub cancel: Option<Duration>,
}

/// All that a client wants, in the order of time.
pub(super) fn draw(rng: &mut Rng, client: u32, service: &Service) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = Vec::new();
    let mut at = Duration::ZERO;
    while wishes.len() < service.wishes as usize {
        at += service.stay.mul_f64(rng.f64() * 4.0 / f64::from(service.wishes));
        let terms = terms(rng, service);
        let together = if terms.unique.is_some() { 1 } else { rng.u32(1..=6) };
        for _ in 0..together {
            let key = terms.unique.as_ref().and_then(|key| key.parse::<u64>().ok());
            let own = (u64::from(client) + 1) << 20 | wishes.len() as u64;
            let soon = |rng: &mut Rng, part: u8| {
                (rng.u8(0..part) == 0).then(|| service.stay.mul_f64(rng.f64() / 4.0))
            };
            let (again, cancel) = (soon(rng, 8), soon(rng, 4));
            let value = key.map_or(own, |key| KEYED + key);
            wishes.push(Wish { value, at, terms: terms.clone(), again, cancel });
        }
    }
    wishes.truncate(service.wishes as usize);
    wishes
}

fn terms(rng: &mut Rng, service: &Service) -> Terms {
    let ms = |rng: &mut Rng| 1 + service.stay.mul_f64(rng.f64() / 4.0).as_millis() as u64;
    let plain = Terms::default();
    match rng.u8(0..10) {
        0 => Terms { priority: rng.u8(1..=9), ..plain },
        1 => Terms { delay_ms: ms(rng), ..plain },
        2 => Terms { ttl_ms: Some(ms(rng) / 8), ..plain },
        3 => Terms { delay_ms: ms(rng), ttl_ms: Some(ms(rng)), ..plain },
        4 | 5 => Terms { unique: Some(rng.u64(0..KEYS).to_string()), ..plain },
        _ => plain,
    }
}
