//! What a frame may hold, whoever sends it.
//!
//! Owns the ceilings that hold before a run's own limits are known; refuses meaning. A frame that
//! breaks one is dropped whole and counted, like one that is no MessagePack.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use thiserror::Error;

use crate::{
    frame::{COMMIT_RANGES_MAX, Dead, Frame, Hello, HelloRole, Results},
    limits::PARCEL_UNITS_CEILING,
    service::{IdRange, PRIORITY_MAX, RANGES_MAX, Submit, UNIQUE_BYTES_MAX},
    unit::UnitId,
    units::{UnitsError, check_spans, valid_path},
};

/// The longest name, host or endpoint, in bytes.
pub const NAME_BYTES_MAX: usize = 1_024;
/// The most endpoints of one inbox, and the most stages of a run.
pub const NAMES_MAX: usize = 256;

/// Why a frame is too much.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BoundsError {
    /// Spans, paths or ids that cannot be.
    #[error(transparent)]
    Units(#[from] UnitsError),
    /// A text or a list is too long.
    #[error("{what} of {found}, more than {max}")]
    Long {
        /// Which.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The limit.
        max: usize,
    },
}

/// Checks a frame that was read.
///
/// # Errors
/// [`BoundsError`] with the limit that it breaks.
pub fn check(frame: &Frame) -> Result<(), BoundsError> {
    match frame {
        Frame::Results(results) => check_results(results),
        Frame::Hello(hello) => check_hello(hello),
        Frame::Commit(commit) => at_most("ranges", commit.above.len(), COMMIT_RANGES_MAX),
        Frame::Submit(submit) => check_submit(submit),
        Frame::Accepted(tickets) => {
            at_most("tickets", tickets.len(), RANGES_MAX)?;
            let each = tickets
                .iter()
                .flat_map(|known| [(known.number, known.count), (known.ticket, known.count)]);
            each.into_iter().try_for_each(|(first, count)| check_run(first, count))
        }
        Frame::Declined(declined) => check_run(declined.number, declined.count),
        Frame::Await(ranges) | Frame::Fetched(ranges) | Frame::Cancel(ranges) => {
            check_ranges(ranges)
        }
        Frame::Outcomes(outcomes) => {
            check_spans(&outcomes.filtered)?;
            check_dead(&outcomes.dead)?;
            check_ranges(&outcomes.expired)?;
            check_ranges(&outcomes.unknown)
        }
        Frame::Cancelled(told) => at_most("answers", told.len(), RANGES_MAX),
        _ => Ok(()),
    }
}

fn check_results(results: &Results) -> Result<(), BoundsError> {
    check_spans(&results.filtered)?;
    check_dead(&results.dead)
}

fn check_dead(dead: &[Dead]) -> Result<(), BoundsError> {
    at_most("dead units", dead.len(), PARCEL_UNITS_CEILING as usize)?;
    let can_be = |root: UnitId| root < UnitId::MAX;
    match dead.iter().all(|dead| valid_path(&dead.path) && can_be(dead.root)) {
        true => Ok(()),
        false => Err(UnitsError::Span.into()),
    }
}

/// Units of a client are numbered one after the other, and no two of them are joined.
fn check_submit(submit: &Submit) -> Result<(), BoundsError> {
    let keys = [&submit.terms.unique, &submit.terms.once];
    let longest = keys.iter().filter_map(|key| key.as_ref().map(String::len)).max();
    at_most("a key", longest.unwrap_or_default(), UNIQUE_BYTES_MAX)?;
    at_most("a priority", submit.terms.priority.into(), PRIORITY_MAX.into())?;
    let is_run = matches!(submit.units.spans(), [span] if span.path.is_empty());
    let is_alone = longest.is_none() || submit.units.len() == 1;
    if is_run && is_alone { Ok(()) } else { Err(UnitsError::Span.into()) }
}

fn check_ranges(ranges: &[IdRange]) -> Result<(), BoundsError> {
    at_most("ranges", ranges.len(), RANGES_MAX)?;
    let runs = |(start, end): &IdRange| start < end;
    if ranges.iter().all(runs) { Ok(()) } else { Err(UnitsError::Span.into()) }
}

fn check_run(first: u64, count: u64) -> Result<(), BoundsError> {
    let is_run = count > 0 && first.checked_add(count).is_some();
    if is_run { Ok(()) } else { Err(UnitsError::Span.into()) }
}

fn check_hello(hello: &Hello) -> Result<(), BoundsError> {
    at_most("endpoints", hello.endpoints.len(), NAMES_MAX)?;
    let mut texts = vec![&hello.name, &hello.host];
    texts.extend(&hello.endpoints);
    match &hello.role {
        HelloRole::Ventilator { plan, stages, .. } => {
            at_most("stages", stages.len(), NAMES_MAX)?;
            texts.push(plan);
            texts.extend(stages);
        }
        HelloRole::Worker { stage, .. } => texts.extend(stage),
        HelloRole::Client { client, .. } => texts.push(client),
        HelloRole::Observer => {}
    }
    texts.into_iter().try_for_each(|text| at_most("a name", text.len(), NAME_BYTES_MAX))
}

fn at_most(what: &'static str, found: usize, max: usize) -> Result<(), BoundsError> {
    if found > max { Err(BoundsError::Long { what, found, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        frame::{Commit, Dead, Envelope, VERSION},
        unit::Step,
        units::Span,
    };

    fn told(frame: Frame) -> Result<(), String> {
        let sent = Envelope { version: VERSION, run: 1, from: 2, session: 3, seq: 4, frame };
        Envelope::decode(sent.encode()).map(drop).map_err(|error| error.to_string())
    }

    fn filtered(first: u64, count: u32, path: Vec<Step>) -> Frame {
        let filtered = vec![Span { first, count, path }];
        Frame::Results(Results { filtered, ..Results::default() })
    }

    fn step(index: u32, of: u32) -> Step {
        Step { execution: 1, index, of }
    }

    #[test]
    fn a_few_bytes_that_stand_for_billions_of_units_are_refused() {
        let refused = told(filtered(0, u32::MAX, vec![step(0, u32::MAX)])).unwrap_err();
        assert!(refused.contains("4294967295 units in one frame, more than 1048576"), "{refused}");
        assert_eq!(told(filtered(0, 1 << 20, vec![])), Ok(()));
    }

    #[test]
    fn filtered_and_dead_units_that_cannot_be_are_refused() {
        for frame in [
            filtered(5, 0, vec![]),
            filtered(u64::MAX, 1, vec![]),
            filtered(5, 2, vec![step(1, 2)]),
            filtered(5, 1, vec![step(7, 2)]),
            filtered(5, 1, vec![step(0, 1); 129]),
        ] {
            assert!(told(frame).is_err());
        }
        let dead = |root, path| {
            let (error, worker) = (String::new(), String::new());
            let dead = Dead { root, path, stage: 0, input: vec![], error, attempts: 1, worker };
            Frame::Results(Results { dead: vec![dead], ..Results::default() })
        };
        assert_eq!(told(dead(5, vec![step(1, 2)])), Ok(()));
        assert!(told(dead(u64::MAX, vec![])).is_err());
        assert!(told(dead(5, vec![step(2, 2)])).is_err());
    }

    #[test]
    fn long_names_and_lists_are_refused() {
        let hello = Hello {
            role: HelloRole::Worker { stage: None, own: false },
            name: "w".into(),
            endpoints: vec!["tcp://127.0.0.1:1".into()],
            host: "h".into(),
            pid: 1,
        };
        let said = |hello: Hello| told(Frame::Hello(Box::new(hello)));
        assert_eq!(said(hello.clone()), Ok(()));
        let long = said(Hello { name: "x".repeat(2_000), ..hello.clone() }).unwrap_err();
        assert!(long.contains("a name of 2000, more than 1024"), "{long}");
        assert!(said(Hello { endpoints: vec![String::new(); 300], ..hello }).is_err());
        let above = vec![(5, 6); COMMIT_RANGES_MAX + 1];
        assert!(told(Frame::Commit(Commit { above, ..Commit::default() })).is_err());
    }
}
