//! Outputs of units that are still worked on, for the clients that follow them.
//!
//! Owns what has come of each unit, so that who follows it late misses nothing, and who follows it. They are a
//! look ahead: what is lost here, at a start of the sink for example, comes with the outcome. A unit that is
//! worked on again gives them again: each place counts once. Refuses to know what counts in the end.

use std::{collections::BTreeMap, ops::Range};

use proto::{role::LinkId, service::Part, unit::UnitId};

/// One unit's.
#[derive(Debug, Default)]
struct Stream {
    // In their order, without a gap.
    parts: Vec<Part>,
    next: u32,
    followers: Vec<LinkId>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Streams {
    units: BTreeMap<UnitId, Stream>,
    // Of all parts that are kept.
    bytes: u64,
    bytes_max: u64,
}

impl Streams {
    /// Keeps so many bytes at most; what is beyond comes with the outcomes.
    pub fn new(bytes_max: u64) -> Self {
        Self { units: BTreeMap::new(), bytes: 0, bytes_max }
    }

    /// Outputs have come; what of them is new, and for whom.
    pub fn take(&mut self, part: Part) -> Option<(Part, &[LinkId])> {
        let outputs: Vec<_> = part.outputs().collect();
        let stream = self.units.entry(part.unit).or_default();
        let known = stream.next.checked_sub(part.index)? as usize;
        let new = outputs.get(known..).filter(|new| !new.is_empty())?;
        let len: usize = new.iter().map(|value| value.len()).sum();
        if self.bytes + len as u64 > self.bytes_max {
            return None;
        }
        let start: usize = outputs.iter().take(known).map(|value| value.len()).sum();
        let values = part.values.slice(start..start + len);
        let new = Part { unit: part.unit, index: stream.next, values };
        self.bytes += len as u64;
        stream.next += (outputs.len() - known) as u32;
        stream.parts.push(new.clone());
        Some((new, &stream.followers))
    }

    /// A client follows a unit; what has come of it.
    pub fn follow(&mut self, link: LinkId, unit: UnitId) -> &[Part] {
        let stream = self.units.entry(unit).or_default();
        if !stream.followers.contains(&link) {
            stream.followers.push(link);
        }
        &stream.parts
    }

    /// A client is gone.
    pub fn leave(&mut self, link: LinkId) {
        self.units.retain(|_, stream| {
            stream.followers.retain(|follower| *follower != link);
            !stream.followers.is_empty() || !stream.parts.is_empty()
        });
    }

    /// What is committed is told as outcomes.
    pub fn committed(&mut self, units: Range<UnitId>) {
        while let Some((&unit, _)) = self.units.range(units.clone()).next() {
            let parts = self.units.remove(&unit).unwrap_or_default().parts;
            self.bytes -= parts.iter().map(|part| part.values.len() as u64).sum::<u64>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(index: u32, values: &[u8]) -> Part {
        Part { unit: 7, index, values: values.to_vec().into() }
    }

    fn told(streams: &mut Streams, index: u32, values: &[u8]) -> Option<(u32, Vec<u8>, usize)> {
        let (new, followers) = streams.take(part(index, values))?;
        Some((new.index, new.values.to_vec(), followers.len()))
    }

    #[test]
    fn each_place_is_told_once_and_who_comes_late_is_told_all() {
        let mut streams = Streams::new(100);
        assert_eq!(told(&mut streams, 0, &[1, 2]), Some((0, vec![1, 2], 0)));
        assert_eq!(streams.follow(4, 7), [part(0, &[1, 2])]);
        assert_eq!(told(&mut streams, 2, &[3]), Some((2, vec![3], 1)));
        assert_eq!(told(&mut streams, 0, &[1, 2]), None, "worked on again");
        assert_eq!(told(&mut streams, 1, &[2, 3, 4]), Some((3, vec![4], 1)));
        assert_eq!(told(&mut streams, 5, &[6]), None, "with a gap before it");
        streams.follow(5, 7);
        streams.leave(4);
        assert_eq!(told(&mut streams, 4, &[5]), Some((4, vec![5], 1)));
    }

    #[test]
    fn nothing_is_kept_of_what_is_committed_and_no_more_than_may_be() {
        let mut streams = Streams::new(3);
        assert!(told(&mut streams, 0, &[1, 2, 3]).is_some());
        assert_eq!(told(&mut streams, 3, &[4]), None);
        streams.follow(4, 7);
        streams.follow(4, 8);
        streams.committed(0..8);
        assert_eq!((streams.units.len(), streams.bytes), (1, 0));
        streams.leave(4);
        assert_eq!(streams.units.len(), 0);
    }
}
