//! A run of units with their values, as it is queued, sent and kept.
//!
//! Owns the pairing of identities (spans) with values (concatenated MessagePack); refuses to
//! look inside a value. Most units are never handled one by one: a parcel of thousands is one
//! span and a place in a shared buffer.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use crate::{
    limits::{PARCEL_UNITS_CEILING, PATH_STEPS_MAX},
    ranges::RangeSet,
    unit::{Path, Step, UnitId},
    value::ValueError,
    values::Values,
};

pub use crate::values::ValueIter;

/// Consecutive units: whole units of the source when `path` is empty, else consecutive outputs
/// of one execution, whose first is the path's last step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first unit, or the unit that was expanded.
    pub first: UnitId,
    /// How many units; at least 1.
    pub count: u32,
    /// The expansions that lead to the first of them.
    pub path: Path,
}

impl Span {
    /// The span of one unit.
    pub fn one(root: UnitId, path: Path) -> Self {
        Self { first: root, count: 1, path }
    }

    /// The units of the source that this span's units come from.
    pub fn roots(&self) -> Range<UnitId> {
        let count = if self.path.is_empty() { u64::from(self.count) } else { 1 };
        self.first..self.first.saturating_add(count)
    }

    /// The identity of the unit at `offset`.
    pub fn unit(&self, offset: u32) -> (UnitId, Path) {
        let part = self.part(offset..offset + 1);
        (part.first, part.path)
    }

    /// The part of this span between two offsets.
    pub fn part(&self, offsets: Range<u32>) -> Self {
        let mut path = self.path.clone();
        let mut first = self.first;
        match path.last_mut() {
            Some(step) => step.index += offsets.start,
            None => first += u64::from(offsets.start),
        }
        Self { first, count: offsets.end - offsets.start, path }
    }

    /// Whether any unit is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let meet = |a: u64, b: u64| {
            a < b.saturating_add(u64::from(other.count))
                && b < a.saturating_add(u64::from(self.count))
        };
        match (self.path.split_last(), other.path.split_last()) {
            (None, None) => meet(self.first, other.first),
            (Some((a, before_a)), Some((b, before_b))) => {
                self.first == other.first
                    && before_a == before_b
                    && (a.execution, a.of) == (b.execution, b.of)
                    && meet(a.index.into(), b.index.into())
            }
            _ => false,
        }
    }

    /// Whether `next` continues this span; then it may be counted into it.
    fn continues_with(&self, next: &Self) -> bool {
        if self.path.len() != next.path.len() {
            return false;
        }
        match (self.path.split_last(), next.path.split_last()) {
            (Some((a, before_a)), Some((b, before_b))) => {
                self.first == next.first
                    && before_a == before_b
                    && (a.execution, a.of) == (b.execution, b.of)
                    && a.index.checked_add(self.count) == Some(b.index)
            }
            _ => self.first.checked_add(u64::from(self.count)) == Some(next.first),
        }
    }

    fn valid(&self) -> bool {
        let last = u64::from(self.count).checked_add(self.first);
        self.count > 0
            && last.is_some()
            && valid_path(&self.path)
            && self.path.last().is_none_or(|step| self.count <= step.of - step.index)
    }
}

/// Whether executions can have led here: as many as there can be stages, each step within its own.
pub(crate) fn valid_path(path: &[Step]) -> bool {
    path.len() <= PATH_STEPS_MAX && path.iter().all(|step| step.index < step.of)
}

/// How many units a peer's spans hold together.
///
/// # Errors
/// [`UnitsError`] when a span cannot be, or they are too many for one frame.
pub(crate) fn check_spans(spans: &[Span]) -> Result<u64, UnitsError> {
    if !spans.iter().all(Span::valid) {
        return Err(UnitsError::Span);
    }
    let units = spans.iter().fold(0u64, |sum, span| sum.saturating_add(span.count.into()));
    if units > PARCEL_UNITS_CEILING.into() {
        return Err(UnitsError::Many { units });
    }
    Ok(units)
}

/// Appends `span` to `spans`, as part of the last one where it continues it.
pub fn push_span(spans: &mut Vec<Span>, span: Span) {
    match spans.last_mut() {
        Some(last)
            if last.continues_with(&span) && last.count.checked_add(span.count).is_some() =>
        {
            last.count += span.count;
        }
        _ => spans.push(span),
    }
}

/// Why a peer's units were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnitsError {
    /// A span of no units, past the end of the ids, with an index outside its execution, or with
    /// more than [`PATH_STEPS_MAX`] expansions.
    #[error("a span that no execution can have made")]
    Span,
    /// More units than a frame can hold.
    #[error("{units} units in one frame, more than {PARCEL_UNITS_CEILING}")]
    Many {
        /// How many.
        units: u64,
    },
    /// More or fewer values than the spans announce.
    #[error("{announced} units announced, {found} values found")]
    Count {
        /// Units in the spans.
        announced: u64,
        /// Values in the payload, counted until the first excess.
        found: u64,
    },
    /// A value is not MessagePack.
    #[error("a value cannot be read: {0}")]
    Value(#[from] ValueError),
}

/// Units with their values. A clone and a cut share the values, once they are
/// [shared](Units::share).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WireUnits")]
pub struct Units {
    spans: Vec<Span>,
    values: Values,
}

/// What travels: the offsets are left out, the receiver finds them while it checks the values.
#[derive(Deserialize)]
struct WireUnits(Vec<Span>, #[serde(with = "serde_bytes")] Vec<u8>);

impl Serialize for Units {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.spans, serde_bytes::Bytes::new(self.values.payload())).serialize(serializer)
    }
}

impl TryFrom<WireUnits> for Units {
    type Error = UnitsError;

    fn try_from(WireUnits(spans, payload): WireUnits) -> Result<Self, UnitsError> {
        Self::from_wire(spans, payload.into())
    }
}

impl Units {
    /// No units yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whole units of the source from `first` on: `payload` is their values one after the other,
    /// `ends` the offset at which each one ends.
    pub fn from_source(first: UnitId, payload: Vec<u8>, ends: Vec<u32>) -> Self {
        let count = ends.len() as u32;
        let spans =
            if count == 0 { Vec::new() } else { vec![Span { first, count, path: Path::new() }] };
        Self { spans, values: Values::new(payload, ends) }
    }

    /// The units of `spans` with their values.
    pub fn from_outputs(spans: Vec<Span>, payload: Vec<u8>, ends: Vec<u32>) -> Self {
        debug_assert_eq!(spans.iter().map(|span| span.count as usize).sum::<usize>(), ends.len());
        Self { spans, values: Values::new(payload, ends) }
    }

    /// What a peer sent: `payload` is kept as it is, and shared from the start.
    ///
    /// # Errors
    /// [`UnitsError`] when it is not what the spans say, or no MessagePack.
    pub fn from_wire(spans: Vec<Span>, payload: Bytes) -> Result<Self, UnitsError> {
        let announced = check_spans(&spans)?;
        let values = Values::check(payload, announced)?;
        Ok(Self { spans, values })
    }

    /// From here on a clone and a cut cost nothing that grows with the values.
    pub fn share(&mut self) {
        self.values.share();
    }

    /// How many units.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all values together.
    pub fn bytes(&self) -> usize {
        self.values.payload().len()
    }

    /// The identities, in order.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The value of the unit at `index`.
    pub fn value(&self, index: usize) -> &[u8] {
        self.values.get(index..index + 1)
    }

    /// The bytes of the values in a range of indices.
    pub fn values(&self, indices: Range<usize>) -> &[u8] {
        self.values.get(indices)
    }

    /// The values in a range of indices, one by one.
    pub fn values_iter(&self, indices: Range<usize>) -> ValueIter<'_> {
        self.values.iter(indices)
    }

    /// Identity and value of every unit.
    pub fn iter(&self) -> impl Iterator<Item = (UnitId, Path, &[u8])> {
        let identities =
            self.spans.iter().flat_map(|span| (0..span.count).map(move |offset| span.unit(offset)));
        let values = self.values.iter(0..self.len());
        identities.zip(values).map(|((root, path), value)| (root, path, value))
    }

    /// Appends one unit.
    pub fn push(&mut self, span: Span, value: &[u8]) {
        debug_assert_eq!(span.count, 1);
        self.values.push(value);
        push_span(&mut self.spans, span);
    }

    /// Appends all outputs that one execution gave for one unit; with two or more, each gets a
    /// step of that execution.
    pub fn push_outputs<'a>(
        &mut self,
        root: UnitId,
        path: &[Step],
        execution: u64,
        outputs: impl ExactSizeIterator<Item = &'a [u8]>,
    ) {
        let of = outputs.len() as u32;
        let mut path = path.to_vec();
        match of {
            0 => return,
            1 => {}
            _ => path.push(Step { execution, index: 0, of }),
        }
        outputs.for_each(|value| self.values.push(value));
        push_span(&mut self.spans, Span { first: root, count: of, path });
    }

    /// Appends consecutive outputs, one for each unit of `span`: `payload` holds them one after
    /// the other, and `ends` where each ends, counted as `payload` itself begins at `start`.
    pub fn push_run(&mut self, span: Span, payload: &[u8], ends: &[u32], start: u32) {
        self.values.extend(payload, ends, start);
        push_span(&mut self.spans, span);
    }

    /// Appends all units of `other`.
    pub fn append(&mut self, other: &Self) {
        if self.is_empty() {
            *self = other.clone();
            return;
        }
        self.append_part(other, 0..other.len(), other.spans.iter().cloned());
    }

    /// Appends the units of `other` in a range of indices, which are those of `spans`. Values that
    /// are shared and lie together are not copied, so that few of them may keep many alive until
    /// [`let_go`](Self::let_go).
    pub fn append_part(
        &mut self,
        other: &Self,
        indices: Range<usize>,
        spans: impl IntoIterator<Item = Span>,
    ) {
        self.values.append(&other.values, indices);
        spans.into_iter().for_each(|span| push_span(&mut self.spans, span));
    }

    /// Copies the values if they are a small part of what they keep alive.
    pub fn let_go(&mut self) {
        self.values.let_go();
    }

    /// The units in a range of indices.
    pub fn slice(&self, indices: Range<usize>) -> Self {
        let mut spans = Vec::new();
        let mut at = 0;
        for span in &self.spans {
            let next = at + span.count as usize;
            let from = indices.start.max(at);
            let to = indices.end.min(next);
            if from < to {
                spans.push(span.part((from - at) as u32..(to - at) as u32));
            }
            at = next;
            if at >= indices.end {
                break;
            }
        }
        Self { spans, values: self.values.slice(indices) }
    }

    /// The same values, counted from 0 on, for one who keeps their identities elsewhere.
    pub fn unplaced(self) -> Self {
        let count = self.len() as u32;
        let spans = (count > 0).then(|| Span { first: 0, count, path: Path::new() });
        Self { spans: spans.into_iter().collect(), values: self.values }
    }

    /// How many units from `from` on fit both limits; at least one if there is any.
    pub fn fitting(&self, from: usize, units_max: usize, bytes_max: usize) -> usize {
        self.values.fitting(from, units_max, bytes_max)
    }

    /// Whether there are units, all of them of one root.
    pub fn has_one_root(&self) -> bool {
        let mut roots = self.spans.iter().map(Span::roots);
        let first = roots.next().unwrap_or_default();
        first.end - first.start == 1 && roots.all(|root| root == first)
    }

    /// The first units of this root that lie together, at `from` or later.
    pub fn find_root(&self, root: UnitId, from: usize) -> Option<Range<usize>> {
        let mut at = 0;
        for span in &self.spans {
            let (start, end) = (at, at + span.count as usize);
            at = end;
            if span.roots().contains(&root) {
                let first = if span.path.is_empty() {
                    let index = start + (root - span.first) as usize;
                    index..index + 1
                } else {
                    start..end
                };
                if first.end > from {
                    return Some(first.start.max(from)..first.end);
                }
            }
        }
        None
    }

    /// Whether every unit's root is in `committed`.
    pub fn all_in(&self, committed: &RangeSet) -> bool {
        self.spans.iter().all(|span| committed.contains_range(span.roots()))
    }

    /// The units whose root is not in `committed`.
    pub fn without(self, committed: &RangeSet) -> Self {
        if !self.spans.iter().any(|span| committed.intersects(span.roots())) {
            return self;
        }
        let mut left = Self::new();
        let mut at = 0;
        for span in &self.spans {
            let kept = match span.path.is_empty() {
                true => committed.gaps(span.roots()),
                false if committed.contains(span.first) => Vec::new(),
                false => vec![span.roots()],
            };
            for Range { start, end } in kept {
                let offsets = match span.path.is_empty() {
                    true => (start - span.first) as u32..(end - span.first) as u32,
                    false => 0..span.count,
                };
                let indices = at + offsets.start as usize..at + offsets.end as usize;
                left.append_part(&self, indices, [span.part(offsets)]);
            }
            at += span.count as usize;
        }
        left.let_go();
        left
    }

    /// The units whose root is in `roots`, and the others.
    pub fn divided(self, roots: &RangeSet) -> (Self, Self) {
        let mut others = RangeSet::new();
        for span in &self.spans {
            roots.gaps(span.roots()).into_iter().for_each(|range| _ = others.insert(range));
        }
        (self.clone().without(&others), self.without(roots))
    }

    /// Takes the units at the given ascending indices out, and leaves the others.
    pub fn extract(&mut self, indices: &[u32]) -> Vec<Self> {
        if indices.is_empty() {
            return Vec::new();
        }
        let taken = indices
            .iter()
            .filter(|index| (**index as usize) < self.len())
            .map(|index| self.slice(*index as usize..*index as usize + 1))
            .collect();
        let mut left = Self::new();
        let mut from = 0;
        for index in indices.iter().map(|index| *index as usize).filter(|index| *index < self.len())
        {
            left.append(&self.slice(from..index));
            from = index + 1;
        }
        left.append(&self.slice(from..self.len()));
        *self = left;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(first: u64, count: u8) -> Units {
        Units::from_source(first, (0..count).collect(), (1..=u32::from(count)).collect())
    }

    fn step(execution: u64, index: u32, of: u32) -> Step {
        Step { execution, index, of }
    }

    #[test]
    fn consecutive_units_are_one_span() {
        let mut units = numbers(10, 3);
        units.append(&numbers(13, 2));
        assert_eq!(units.spans(), [Span { first: 10, count: 5, path: vec![] }]);
        units.append(&numbers(20, 1));
        assert_eq!(units.spans().len(), 2);
    }

    #[test]
    fn outputs_of_one_execution_are_one_span_even_when_cut_and_joined() {
        let mut units = Units::new();
        units.push_outputs(7, &[], 99, [[1], [2], [3], [4]].iter().map(|value| &value[..]));
        let (left, right) = (units.slice(0..1), units.slice(1..4));
        assert_eq!(right.spans(), [Span { first: 7, count: 3, path: vec![step(99, 1, 4)] }]);
        let mut joined = left;
        joined.append(&right);
        assert_eq!(joined, units);
    }

    #[test]
    fn a_single_output_keeps_the_path_of_its_input() {
        let mut units = Units::new();
        units.push_outputs(7, &[step(1, 0, 2)], 99, [&[1][..]].into_iter());
        assert_eq!(units.spans(), [Span::one(7, vec![step(1, 0, 2)])]);
    }

    #[test]
    fn the_wire_form_is_checked_when_it_is_read() {
        let packed = rmp_serde::to_vec(&numbers(1, 3)).unwrap();
        assert_eq!(rmp_serde::from_slice::<Units>(&packed).unwrap(), numbers(1, 3));
        for wrong in [
            (vec![Span { first: 1, count: 2, path: vec![] }], vec![1, 2, 3]),
            (vec![Span { first: 1, count: 4, path: vec![] }], vec![1, 2, 3]),
            (vec![Span { first: 1, count: 1, path: vec![] }], vec![0x92, 1]),
            (vec![Span { first: 1, count: 0, path: vec![] }], vec![]),
            (vec![Span { first: u64::MAX, count: 1, path: vec![] }], vec![1]),
            (vec![Span { first: 1, count: 2, path: vec![step(1, 1, 2)] }], vec![1, 2]),
        ] {
            assert!(Units::from_wire(wrong.0, Bytes::from(wrong.1)).is_err());
        }
    }

    #[test]
    fn fitting_obeys_both_limits_and_never_answers_none() {
        let units = numbers(0, 10);
        assert_eq!(units.fitting(0, 4, 100), 4);
        assert_eq!(units.fitting(2, 100, 3), 3);
        assert_eq!(units.fitting(9, 100, 0), 1);
    }

    #[test]
    fn extracting_leaves_the_others_in_place() {
        let mut units = numbers(0, 5);
        let taken = units.extract(&[0, 3]);
        assert_eq!(taken.len(), 2);
        assert_eq!(taken[1].value(0), [3]);
        let ids: Vec<_> = units.iter().map(|(id, _, value)| (id, value[0])).collect();
        assert_eq!(ids, [(1, 1), (2, 2), (4, 4)]);
    }

    #[test]
    fn units_are_divided_by_their_roots() {
        let mut units = numbers(3, 4);
        units.push(Span::one(9, vec![step(1, 0, 2)]), &[7]);
        let (among, others) = units.clone().divided(&RangeSet::from_parts(0, [(4, 6), (9, 20)]));
        let roots = |units: &Units| units.iter().map(|(root, ..)| root).collect::<Vec<_>>();
        assert_eq!((roots(&among), roots(&others)), (vec![4, 5, 9], vec![3, 6]));
        assert_eq!(units.divided(&RangeSet::new()).0, Units::new());
    }

    #[test]
    fn committed_units_are_left_out() {
        let mut committed = RangeSet::new();
        committed.insert(0..2);
        committed.insert(3..4);
        let left = numbers(0, 5).without(&committed);
        assert_eq!(left.iter().map(|(id, ..)| id).collect::<Vec<_>>(), [2, 4]);
        assert!(!numbers(0, 3).all_in(&committed));
        assert!(numbers(0, 2).all_in(&committed));
    }
}
