//! The figures as a person reads them.
//!
//! Owns the layout of a report; the numbers come from the report's JSON, so that a stored one looks
//! the same.

use std::fmt;

use serde_json::{Map, Value};

use crate::report::figures::{Grid, Side, cell};

/// No more groups than this are shown; the JSON has them all.
const GROUPS_SHOWN_MAX: usize = 20;

/// The longest bar of a histogram, in characters.
const BAR_CHARS: f64 = 40.0;

/// A report of [`Aggregates::report`](super::Aggregates::report), shown as an aligned table.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a>(
    /// The report.
    pub &'a Value,
);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(report) = self.0.as_object() else {
            return Ok(());
        };
        match report.get("groups").and_then(Value::as_array) {
            Some(groups) => fmt_groups(report, groups, f),
            None => fmt_whole(report, f),
        }
    }
}

fn fmt_whole(report: &Map<String, Value>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let figures = report
        .iter()
        .filter(|(name, value)| !value.is_array() && *name != "top_other")
        .map(|(name, value)| vec![title(name), cell(value)]);
    let grid = Grid { sides: &[Side::Left, Side::Right], rows: figures.collect() };
    write!(f, "{grid}")?;
    for (name, value) in report {
        match (name.as_str(), value.as_array()) {
            ("histogram", Some(buckets)) => fmt_histogram(buckets, f)?,
            ("top", Some(top)) => fmt_top(top, report.get("top_other"), f)?,
            _ => {}
        }
    }
    Ok(())
}

fn fmt_histogram(buckets: &[Value], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let count = |bucket: &Value| bucket["count"].as_f64().unwrap_or(0.0);
    let most = buckets.iter().map(count).fold(1.0, f64::max);
    let mut rows = vec![["from", "to", "count"].map(str::to_owned).to_vec()];
    for bucket in buckets {
        // Whatever was there at all is seen.
        let chars = (count(bucket) / most * BAR_CHARS).ceil() as usize;
        rows.push(vec![
            cell(&bucket["from"]),
            cell(&bucket["to"]),
            cell(&bucket["count"]),
            "█".repeat(chars),
        ]);
    }
    let grid = Grid { sides: &[Side::Right, Side::Right, Side::Right, Side::Left], rows };
    write!(f, "\nhistogram\n{grid}")
}

fn fmt_top(top: &[Value], other: Option<&Value>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut rows = vec![["value", "count"].map(str::to_owned).to_vec()];
    for row in top {
        rows.push(vec![cell(&row["value"]), cell(&row["count"])]);
    }
    if let Some(other) = other {
        rows.push(vec!["(not told apart)".to_owned(), cell(other)]);
    }
    let grid = Grid { sides: &[Side::Left, Side::Right], rows };
    write!(f, "\ntop\n{grid}")
}

fn fmt_groups(
    report: &Map<String, Value>,
    groups: &[Value],
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let shown: Vec<&Value> = groups.iter().take(GROUPS_SHOWN_MAX).collect();
    // `non_numeric` and `missing` stand only in the groups that have them.
    let mut names: Vec<&str> = Vec::new();
    let other = report.get("other");
    let figures = shown.iter().copied().chain(other).filter_map(Value::as_object);
    for (name, value) in figures.flatten() {
        if name != "key" && !value.is_array() && !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let by = report.get("group_by").and_then(Value::as_str);
    let row = |first: String, figures: &Value| {
        let of = |name: &&str| figures.get(name).map_or(String::new(), cell);
        std::iter::once(first).chain(names.iter().map(of)).collect()
    };
    let titles = names.iter().map(|name| title(name));
    let mut rows: Vec<Vec<String>> =
        vec![std::iter::once(by.unwrap_or("key").to_owned()).chain(titles).collect()];
    rows.extend(shown.iter().map(|group| row(cell(&group["key"]), group)));
    if let Some(other) = other {
        rows.push(row("(not told apart)".to_owned(), other));
    }
    let grid = Grid { sides: &[Side::Left, Side::Right], rows };
    write!(f, "{grid}")?;
    fmt_rest(report, shown.len(), f)
}

fn fmt_rest(report: &Map<String, Value>, shown: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let total = report.get("groups_total").and_then(Value::as_u64);
    let hidden = total.unwrap_or(0).saturating_sub(shown as u64);
    if hidden > 0 {
        writeln!(f, "and {} more groups", cell(&Value::from(hidden)))?;
    }
    if let Some(error) = report.get("percentile_error").and_then(Value::as_f64) {
        let percent = error * 100.0;
        writeln!(f, "percentiles are within {percent:.2} %, for want of memory")?;
    }
    Ok(())
}

fn title(name: &str) -> String {
    name.replace('_', " ")
}
