//! The figures as JSON.
//!
//! Owns the order and the shape of what [`Aggregates::report`](super::Aggregates::report) gives.

use std::cmp::{Ordering, Reverse};

use serde_json::{Map, Value, json};

use super::cell::Cell;
use super::groups::Groups;
use super::sketch::{PERCENTILE_BITS, Sketch};
use crate::config::{Aggregate, GroupBy};

/// The figures over all values.
pub(super) fn whole(
    cell: &Cell,
    top: Option<&Groups>,
    asked: &[Aggregate],
    limit: Option<usize>,
) -> Value {
    let mut figures = cell.figures(asked);
    if let Some(groups) = top {
        let ranked = ranked(groups, limit);
        let rows = ranked
            .into_iter()
            .map(|(value, cell)| json!({ "value": value, "count": cell.count() }));
        figures.insert("top".to_owned(), rows.collect());
        if let Some(others) = groups.others() {
            figures.insert("top_other".to_owned(), Value::from(others.count()));
        }
    }
    Value::Object(figures)
}

/// The figures of each group.
pub(super) fn grouped(
    by: &GroupBy,
    groups: &Groups,
    asked: &[Aggregate],
    limit: Option<usize>,
) -> Value {
    let row = |(key, cell): (Value, &Cell)| {
        let mut row = Map::new();
        row.insert("key".to_owned(), key);
        row.extend(cell.figures(asked));
        Value::Object(row)
    };
    let rows: Vec<Value> = ranked(groups, limit).into_iter().map(row).collect();
    let mut report = Map::new();
    report.insert("group_by".to_owned(), Value::from(by.to_string()));
    report.insert("groups".to_owned(), Value::from(rows));
    report.insert("groups_total".to_owned(), Value::from(groups.len()));
    if let Some(others) = groups.others() {
        report.insert("other".to_owned(), Value::from(others.figures(asked)));
    }
    // Said only where it differs from what is always promised.
    let promised = Sketch::new(PERCENTILE_BITS).error();
    if let Some(error) = groups.percentile_error().filter(|error| {
        *error > promised && asked.iter().any(|aggregate| is_percentile(*aggregate))
    }) {
        report.insert("percentile_error".to_owned(), Value::from(error));
    }
    Value::Object(report)
}

fn is_percentile(aggregate: Aggregate) -> bool {
    matches!(aggregate, Aggregate::P50 | Aggregate::P90 | Aggregate::P99 | Aggregate::P999)
}

/// The largest groups first, equally large ones by key.
fn ranked(groups: &Groups, limit: Option<usize>) -> Vec<(Value, &Cell)> {
    let parsed = groups.iter().map(|(key, cell)| {
        let value = serde_json::from_str(key).unwrap_or_else(|_| Value::from(key));
        (value, key, cell)
    });
    let mut ranked: Vec<(Value, &str, &Cell)> = parsed.collect();
    ranked.sort_by(|(value, text, cell), (other_value, other_text, other_cell)| {
        Reverse(cell.count())
            .cmp(&Reverse(other_cell.count()))
            .then_with(|| by_number(value, other_value))
            .then_with(|| text.cmp(other_text))
    });
    ranked.truncate(limit.unwrap_or(usize::MAX));
    ranked.into_iter().map(|(value, _, cell)| (value, cell)).collect()
}

/// Numbers by their size and before everything else.
fn by_number(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}
