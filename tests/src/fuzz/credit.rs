//! How much may be sent, and how much together.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::frame::Credit;
use proto::rules::credit::{Allowance, Intake};
use proto::rules::sizing::Sizing;

use super::script::{Script, about, note};

#[derive(Default)]
struct Pair {
    sender: Allowance,
    granted: Credit,
    // What was sent, and what of it the receiver has.
    sent: Credit,
    processed: Credit,
}

/// One receiver and its senders, of which some grant themselves what they like.
pub fn credit(data: &[u8]) -> u64 {
    let script = &mut Script::new(data);
    let (units_max, bytes_max) = (script.number(), script.number());
    let mut intake = Intake::new(units_max, bytes_max);
    let mut pairs: BTreeMap<u32, Pair> = BTreeMap::new();
    let mut seen = 0;
    while !script.is_over() {
        let link = script.below(4) as u32;
        match script.below(8) {
            0 => {
                intake.join(link);
                pairs.insert(link, Pair::default());
            }
            1 => {
                intake.leave(link);
                pairs.remove(&link);
            }
            2..4 => {
                let Some(pair) = pairs.get_mut(&link) else { continue };
                let Some((units, bytes)) = pair.sender.room() else { continue };
                assert!(units > 0 && bytes > 0);
                // One parcel: no more units than there is room for, and one unit of any size.
                // No frame has billions of units, so no session reaches the end of 64 bits.
                let count = (script.number() as usize).clamp(1, units.min(1 << 32));
                let size = if count == 1 { script.number() % (1 << 40) } else { bytes as u64 / 2 };
                pair.sender.sent(count, size as usize);
                pair.sent.units += count as u64;
                pair.sent.bytes += size;
                assert!(pair.sent.units <= pair.granted.units, "more units than were granted");
            }
            4..6 => {
                let Some(pair) = pairs.get_mut(&link) else { continue };
                let (sent, done) = (pair.sent, &mut pair.processed);
                let units = script.number().min(sent.units - done.units);
                let bytes = script.number().min(sent.bytes - done.bytes);
                (done.units, done.bytes) = (done.units + units, done.bytes + bytes);
                intake.processed(link, units as usize, bytes as usize);
            }
            6 => {
                // What a peer says need not be true.
                let lie = Credit { units: script.number(), bytes: script.number() };
                let mut sender = Allowance::default();
                sender.granted(lie);
                sender.sent(script.number() as usize, script.number() as usize);
                let _ = sender.room();
                sender.sent(script.number() as usize, script.number() as usize);
                intake.processed(9, usize::MAX, usize::MAX);
            }
            _ => {}
        }
        for (link, credit) in intake.grants() {
            let pair = pairs.get_mut(&link).expect("only who is there is granted anything");
            let before = pair.granted;
            assert!(credit.units >= before.units && credit.bytes >= before.bytes, "taken back");
            assert!(credit.units - pair.processed.units <= units_max.max(1));
            pair.granted = credit;
            pair.sender.granted(credit);
            note(&mut seen, about(credit.units) << 8 | about(credit.bytes));
        }
        for pair in pairs.values() {
            let all_done = pair.sent == pair.processed;
            assert!(!all_done || pair.sender.room().is_some(), "a sender is left without credit");
        }
    }
    seen
}

/// Service times of any kind: a parcel has at least one unit and no more than allowed.
pub fn sizing(data: &[u8]) -> u64 {
    let script = &mut Script::new(data);
    let units_max = script.number().max(1) as usize;
    let mut sizing = Sizing::new(Duration::from_nanos(script.number()), units_max);
    let mut seen = 0;
    while !script.is_over() {
        sizing.finished(script.number() as usize, Duration::from_nanos(script.number()));
        assert!((1..=units_max).contains(&sizing.units()));
        let near = sizing.units_near_end(script.number() as usize, script.number() as usize);
        assert!((1..=units_max).contains(&near));
        let expected = sizing.expected(script.number() as usize).unwrap_or_default();
        note(&mut seen, about(sizing.units() as u64) << 8 | about(expected.as_nanos() as u64));
    }
    seen
}
