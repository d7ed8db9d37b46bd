//! Figures over all results: count, sum, percentiles, histogram, the most frequent values, by group.
//!
//! Owns which value goes into which figure. What the figures mean:
//!
//! - `count` counts every value. The other figures are over finite numbers; values that are none
//!   (text, NaN, …) are counted as `non_numeric`, values without the field `on` as `missing`.
//! - `sum` of integers is exact in 128 bits, of floats compensated; `stddev` is the population's.
//! - Percentiles are nearest ranks, off by at most 0.05 %; whole numbers below 2048 are exact.
//! - `histogram` counts powers of two: from 4 up to, not including, 8. Below zero it is mirrored.
//! - `top` shows the most frequent values; with groups, the largest groups. Up to a million values
//!   (fewer with `groups_max`) or 64 MiB are told apart, the rest is counted as the others, and what is listed is exact.
//!
//! The same values in the same order give the same figures, bit for bit. Memory is bounded whatever
//! comes.

mod cell;
mod groups;
mod number;
mod report;
mod sketch;
mod table;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::cell::{Cell, Wants};
use self::groups::{Groups, Limits};
use crate::config::{Aggregate, GroupBy, SinkConfig};
use crate::walk::field;

pub use self::{groups::GROUPS_MAX, table::Table};

/// How many values or groups `top` shows unless told.
pub const TOP_DEFAULT: usize = 10;

/// MessagePack's null: the group of values that lack the field that they are grouped by.
const NIL: &[u8] = &[0xc0];

/// All figures so far; see the module.
///
/// It can be kept and taken up again through serde, in MessagePack: JSON would lose the last bits
/// of floats. [`size_hint`](Self::size_hint) says how much that is.
///
/// ```
/// use sink::aggregate::Aggregates;
/// use sink::config::{Aggregate, SinkConfig};
///
/// let config = SinkConfig {
///     aggregate: vec![Aggregate::Count, Aggregate::Sum],
///     ..SinkConfig::default()
/// };
/// let mut aggregates = Aggregates::new(&config);
/// aggregates.add(&[2]);
/// aggregates.add(&[40]);
/// assert_eq!(aggregates.report().to_string(), r#"{"count":2,"sum":42}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregates {
    asked: Vec<Aggregate>,
    on: Option<String>,
    top: Option<usize>,
    body: Body,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Body {
    Whole { cell: Cell, top: Option<Groups> },
    Grouped { by: GroupBy, groups: Groups },
}

impl Aggregates {
    /// Nothing added yet. Groups without any aggregate are counted.
    pub fn new(config: &SinkConfig) -> Self {
        let default = Limits::default();
        let groups_max = config.groups_max.map_or(default.groups_max, |max| max.min(GROUPS_MAX));
        Self::with_limits(config, Limits { groups_max, ..default })
    }

    fn with_limits(config: &SinkConfig, limits: Limits) -> Self {
        let mut asked = config.aggregate.clone();
        let counted = asked.contains(&Aggregate::Count);
        if config.group_by.is_some() && !counted && asked.iter().all(|a| *a == Aggregate::Top) {
            asked.insert(0, Aggregate::Count);
        }
        let wants = Wants::of(&asked);
        let ranked = asked.contains(&Aggregate::Top);
        let body = match &config.group_by {
            Some(by) => Body::Grouped { by: by.clone(), groups: Groups::new(wants, limits) },
            None => Body::Whole {
                cell: Cell::new(wants),
                top: ranked.then(|| Groups::new(Wants::default(), limits)),
            },
        };
        Aggregates {
            asked,
            on: config.on.clone(),
            top: config.top.or(ranked.then_some(TOP_DEFAULT)),
            body,
        }
    }

    /// Whether nothing is to be computed, so that nothing needs to be added.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Adds one result: a MessagePack value. What is no value is non-numeric.
    #[inline]
    pub fn add(&mut self, value: &[u8]) {
        let on = match &self.on {
            None => Some(value),
            Some(name) => field(value, name),
        };
        match &mut self.body {
            Body::Whole { cell, top: None } => {
                cell.add(on);
            }
            Body::Whole { cell, top: Some(top) } => {
                cell.add(on);
                if let Some(on) = on {
                    top.add(on, None);
                }
            }
            Body::Grouped { by, groups } => {
                let key = match by {
                    GroupBy::Value => Some(value),
                    GroupBy::Field(name) => field(value, name),
                };
                groups.add(key.unwrap_or(NIL), on);
            }
        }
    }

    /// Adds results, one after the other.
    pub fn add_all<'a>(&mut self, values: impl Iterator<Item = &'a [u8]>) {
        match &mut self.body {
            Body::Whole { cell, top: None } if self.on.is_none() => cell.add_all(values),
            _ => values.for_each(|value| self.add(value)),
        }
    }

    /// About how many bytes it takes, in memory and when serialized.
    pub fn size_hint(&self) -> usize {
        let groups = |groups: &Groups| groups.bytes();
        match &self.body {
            Body::Grouped { groups: all, .. } => groups(all),
            Body::Whole { cell, top } => {
                let buckets = cell.sketch().map_or(0, sketch::Sketch::buckets);
                buckets * sketch::BUCKET_BYTES + top.as_ref().map_or(0, groups)
            }
        }
    }

    /// The figures as JSON, in the order in which they were asked for.
    ///
    /// Without groups: an object with a figure each, `histogram` as `[{"from", "to", "count"}]`,
    /// `top` as `[{"value", "count"}]`, and `top_other` when not all values could be told apart.
    /// With groups: `{"group_by", "groups": [{"key", figures…}], "groups_total"}`, the largest first
    /// (the `top` ones where that is asked or set), and `other`, the figures of those that could not
    /// be told apart. A figure of no number at all is null; integers beyond 64 bits are text.
    pub fn report(&self) -> Value {
        match &self.body {
            Body::Whole { cell, top } => report::whole(cell, top.as_ref(), &self.asked, self.top),
            Body::Grouped { by, groups } => report::grouped(by, groups, &self.asked, self.top),
        }
    }
}

impl fmt::Display for Aggregates {
    /// The figures as a table; see [`Table`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Table(&self.report()).fmt(f)
    }
}

#[cfg(test)]
mod tests;
