//! All figures over one set of values: the whole run's, or one group's.
//!
//! Owns what is kept for which figure, and their form in JSON. Knows no groups.

use proto::value::read_uint;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::number::{Naturals, Number, Spread, Totals};
use super::sketch::{BUCKET_BYTES, PERCENTILE_BITS, Sketch, Whole};
use crate::config::{Aggregate, Named};

/// What must be kept for the figures that were asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Wants {
    /// Anything beyond counting.
    numbers: bool,
    spread: bool,
    sketch_bits: Option<u32>,
}

impl Wants {
    pub(super) fn of(asked: &[Aggregate]) -> Self {
        let sketch_bits = |aggregate: &Aggregate| match aggregate {
            Aggregate::Histogram => Some(0),
            other => permille(*other).map(|_| PERCENTILE_BITS),
        };
        Wants {
            numbers: asked
                .iter()
                .any(|aggregate| !matches!(aggregate, Aggregate::Count | Aggregate::Top)),
            spread: asked.contains(&Aggregate::Stddev),
            sketch_bits: asked.iter().filter_map(sketch_bits).max(),
        }
    }

    pub(super) fn sketch(&self) -> bool {
        self.sketch_bits.is_some()
    }

    /// New cells get buckets as coarse as those that there are; `None`: none at all.
    pub(super) fn set_sketch_bits(&mut self, bits: Option<u32>) {
        self.sketch_bits = bits;
    }

    /// What a new cell takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let numbers = if self.numbers { size_of::<Numbers>() } else { 0 };
        size_of::<Cell>() + numbers
    }
}

/// The percentile that an aggregate is, in thousandths.
fn permille(aggregate: Aggregate) -> Option<u16> {
    match aggregate {
        Aggregate::P50 => Some(500),
        Aggregate::P90 => Some(900),
        Aggregate::P99 => Some(990),
        Aggregate::P999 => Some(999),
        _ => None,
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    count: u64,
    /// Apart, so that a cell that only counts is small: there can be a million.
    numbers: Option<Box<Numbers>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Numbers {
    totals: Totals,
    /// Values that are no finite numbers.
    non_numeric: u64,
    /// Values that lack the field that is aggregated.
    missing: u64,
    spread: Option<Spread>,
    sketch: Option<Sketch>,
}

impl Cell {
    pub(super) fn new(wants: Wants) -> Self {
        let numbers = || Numbers {
            spread: wants.spread.then(Spread::default),
            sketch: wants.sketch_bits.map(Sketch::new),
            ..Numbers::default()
        };
        Cell { count: 0, numbers: wants.numbers.then(|| Box::new(numbers())) }
    }

    /// Adds a value, `None` for one that lacks the aggregated field. Returns how many bytes the
    /// cell grew by.
    #[inline]
    pub(super) fn add(&mut self, value: Option<&[u8]>) -> usize {
        self.count += 1;
        match &mut self.numbers {
            Some(numbers) => numbers.add(value),
            None => 0,
        }
    }

    /// Adds values that have what is aggregated.
    pub(super) fn add_all<'a>(&mut self, mut values: impl Iterator<Item = &'a [u8]>) {
        let Some(numbers) = &mut self.numbers else {
            self.count += values.count() as u64;
            return;
        };
        if numbers.spread.is_some() || numbers.sketch.is_some() {
            values.for_each(|value| {
                self.add(Some(value));
            });
            return;
        }
        // Whole numbers, which are nearly all, are added up in a register.
        let mut naturals = Naturals::default();
        for value in values.by_ref() {
            self.count += 1;
            match read_uint(value) {
                Some(number) => naturals.add(number),
                None => drop(numbers.add(Some(value))),
            }
        }
        numbers.totals.add_naturals(&naturals);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn sketch(&self) -> Option<&Sketch> {
        self.numbers.as_ref()?.sketch.as_ref()
    }

    pub(super) fn sketch_mut(&mut self) -> Option<&mut Sketch> {
        self.numbers.as_mut()?.sketch.as_mut()
    }

    /// Gives up percentiles and histogram, and the memory that they take.
    pub(super) fn drop_sketch(&mut self) {
        if let Some(numbers) = &mut self.numbers {
            numbers.sketch = None;
        }
    }

    /// The asked figures in the asked order, then what was left out of them, if anything was.
    pub(super) fn figures(&self, asked: &[Aggregate]) -> Map<String, Value> {
        let mut figures = Map::new();
        for aggregate in asked.iter().filter(|asked| **asked != Aggregate::Top) {
            let figure = match (&self.numbers, aggregate) {
                (_, Aggregate::Count) => Value::from(self.count),
                (Some(numbers), other) => numbers.figure(*other),
                (None, _) => Value::Null,
            };
            figures.insert(aggregate.name().to_owned(), figure);
        }
        for (name, count) in self.numbers.iter().flat_map(|numbers| {
            [("non_numeric", numbers.non_numeric), ("missing", numbers.missing)]
        }) {
            if count > 0 {
                figures.insert(name.to_owned(), Value::from(count));
            }
        }
        figures
    }
}

impl Numbers {
    #[inline]
    fn add(&mut self, value: Option<&[u8]>) -> usize {
        let Some(value) = value else {
            self.missing += 1;
            return 0;
        };
        let Some(number) = Number::of(value) else {
            self.non_numeric += 1;
            return 0;
        };
        self.totals.add(number);
        if let Some(spread) = &mut self.spread {
            spread.add(number);
        }
        let grown = self.sketch.as_mut().is_some_and(|sketch| sketch.add(number));
        if grown { BUCKET_BYTES } else { 0 }
    }

    fn figure(&self, aggregate: Aggregate) -> Value {
        let number = |number: Option<Number>| number.map_or(Value::Null, Number::to_json);
        match aggregate {
            Aggregate::Sum => self.totals.sum().to_json(),
            Aggregate::Mean => Value::from(self.totals.mean()),
            Aggregate::Min => number(self.totals.min()),
            Aggregate::Max => number(self.totals.max()),
            Aggregate::Stddev => Value::from(self.spread.as_ref().and_then(Spread::stddev)),
            Aggregate::Histogram => self.histogram(),
            other => number(permille(other).and_then(|permille| self.percentile(permille))),
        }
    }

    fn percentile(&self, permille: u16) -> Option<Number> {
        let sketch = self.sketch.as_ref()?;
        let (min, max) = (self.totals.min()?, self.totals.max()?);
        let whole = if self.totals.integral() { Whole::Numbers } else { Whole::No };
        let found = sketch.percentile(permille, whole)?;
        // The middle of the outermost buckets can lie outside of what was there.
        Some(if found <= min.as_f64() {
            min
        } else if found >= max.as_f64() {
            max
        } else if whole == Whole::Numbers {
            Number::Int(found as i128)
        } else {
            Number::Float(found)
        })
    }

    fn histogram(&self) -> Value {
        let Some(sketch) = &self.sketch else {
            return Value::Null;
        };
        let bucket = |(from, to, count): (f64, f64, u64)| {
            let mut bucket = Map::new();
            bucket.insert("from".to_owned(), edge(from));
            bucket.insert("to".to_owned(), edge(to));
            bucket.insert("count".to_owned(), Value::from(count));
            Value::Object(bucket)
        };
        sketch.powers_of_two().into_iter().map(bucket).collect()
    }
}

/// Powers of two from 1 on are written as the whole numbers that they are.
fn edge(edge: f64) -> Value {
    if edge.fract() == 0.0 && edge.abs() < 2f64.powi(63) {
        Value::from(edge as i64)
    } else {
        Value::from(edge)
    }
}
