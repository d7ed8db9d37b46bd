//! What arrives as bytes: frames, units and values.

use bytes::Bytes;
use proto::frame::{Envelope, Frame};
use proto::ranges::RangeSet;
use proto::units::Units;
use proto::value::{from_json, to_json, value_len};

use super::script::{Script, about, note};

/// A frame off the wire: refused, or whole, and the same after another journey.
pub fn codec(data: &[u8]) -> u64 {
    let envelope = match Envelope::decode(data.to_vec()) {
        Ok(envelope) => envelope,
        Err(error) => return about(error.to_string().len() as u64),
    };
    let bytes = envelope.encode();
    let again = Envelope::decode(bytes.clone()).expect("what was sent can be read");
    // Not the frames themselves: a number in one may be NaN, which equals nothing.
    assert_eq!(again.encode(), bytes, "a frame changed on its way");
    let mut seen = u64::from(bytes[bytes.len().min(7) - 1]) << 8;
    let units = match &envelope.frame {
        Frame::Work(work) => &work.units,
        Frame::Results(results) => &results.units,
        _ => return seen,
    };
    check_units(units, &mut Script::new(data), &mut seen);
    seen
}

/// Units off the wire, and all that is done with them.
pub fn units(data: &[u8]) -> u64 {
    let Some((split, data)) = data.split_first() else { return 0 };
    let (script, wire) = data.split_at(usize::from(*split).min(data.len()));
    let Ok(units) = rmp_serde::from_slice::<Units>(wire) else { return 1 };
    let mut seen = 2;
    check_units(&units, &mut Script::new(script), &mut seen);
    seen
}

type Flat = Vec<(u64, Vec<proto::unit::Step>, Vec<u8>)>;

fn flat(units: &Units) -> Flat {
    units.iter().map(|(id, path, value)| (id, path, value.to_vec())).collect()
}

fn check_units(units: &Units, script: &mut Script<'_>, seen: &mut u64) {
    let all = flat(units);
    assert_eq!(all.len(), units.len());
    assert_eq!(all.iter().map(|unit| unit.2.len()).sum::<usize>(), units.bytes());
    let packed = rmp_serde::to_vec(units).expect("units can be encoded");
    assert_eq!(rmp_serde::from_slice::<Units>(&packed).map(|u| flat(&u)).ok(), Some(all.clone()));
    note(seen, about(all.len() as u64) << 8 | about(units.spans().len() as u64));
    if all.is_empty() {
        return;
    }
    let place = |script: &mut Script<'_>| (script.number() % (all.len() as u64 + 1)) as usize;
    let (a, b) = (place(script), place(script));
    let (from, to) = (a.min(b), a.max(b));
    let cut = units.slice(from..to);
    assert_eq!(flat(&cut), all[from..to], "a slice is that part");
    let mut joined = units.slice(0..from);
    joined.append(&cut);
    joined.append(&units.slice(to..units.len()));
    assert_eq!(flat(&joined), all, "parts join to the whole");
    if from < units.len() {
        let (most, bytes) = (script.number() as usize, script.number() as usize);
        let count = units.fitting(from, most, bytes);
        assert!((1..=units.len() - from).contains(&count), "at least one fits, and no more");
        assert!(count == 1 || count <= most, "no more units than asked");
    }
    check_taking_out(units, &all, script);
}

fn check_taking_out(units: &Units, all: &Flat, script: &mut Script<'_>) {
    let mut indices: Vec<u32> = (0..script.below(5)).map(|_| script.number32() % 64).collect();
    indices.sort_unstable();
    indices.dedup();
    let mut left = units.clone();
    let taken: Flat = left.extract(&indices).iter().flat_map(flat).collect();
    let is_taken = |index: &usize| indices.contains(&(*index as u32));
    let part = |wanted: bool| -> Flat {
        let chosen = (0..all.len()).filter(|index| is_taken(index) == wanted);
        chosen.map(|index| all[index].clone()).collect()
    };
    assert_eq!((taken, flat(&left)), (part(true), part(false)), "what is taken out is gone");
    let mut committed = RangeSet::new();
    for _ in 0..script.below(4) {
        let first = if script.coin() { script.number() } else { all[0].0 };
        committed.insert(first..first.saturating_add(script.number()));
    }
    let kept: Flat = all.iter().filter(|unit| !committed.contains(unit.0)).cloned().collect();
    assert_eq!(units.all_in(&committed), kept.is_empty());
    assert_eq!(flat(&units.clone().without(&committed)), kept, "what is committed is left out");
}

/// A value: where it ends, and its JSON.
pub fn value(data: &[u8]) -> u64 {
    let len = match value_len(data) {
        Ok(len) => len,
        Err(error) => return about(error.to_string().len() as u64),
    };
    assert!(0 < len && len <= data.len());
    assert_eq!(value_len(&data[..len]), Ok(len), "what follows does not matter");
    assert!(value_len(&data[..len - 1]).is_err(), "all of it is needed");
    let mut json = Vec::new();
    if to_json(&data[..len], &mut json).is_err() {
        return 0x100 | u64::from(data[0]);
    }
    let mut back = Vec::new();
    from_json(&json, &mut back).expect("what is printed as JSON can be read as JSON");
    assert_eq!(value_len(&back), Ok(back.len()));
    u64::from(data[0]) << 16 | about(len as u64) << 8 | about(json.len() as u64)
}

/// A JSON text: refused, or a value that prints as the same JSON again.
pub fn json(data: &[u8]) -> u64 {
    let mut value = Vec::new();
    if from_json(data, &mut value).is_err() {
        return 0;
    }
    assert_eq!(value_len(&value), Ok(value.len()), "one value");
    let mut text = Vec::new();
    to_json(&value, &mut text).expect("what came from JSON has a JSON form");
    let mut again = Vec::new();
    from_json(&text, &mut again).expect("its JSON form is JSON");
    assert_eq!(again, value, "and the same value");
    let frame = Bytes::from(value);
    u64::from(frame[0]) << 8 | about(frame.len() as u64)
}
