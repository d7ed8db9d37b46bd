//! What was measured, for people and for scripts.
//!
//! Owns both forms; refuses to judge beyond the targets.

use std::fmt;

use serde_json::{Value, json};
use sink::figures::thousands;

use super::{Figure, figure::Target, machine::Machine};

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// On which machine.
    pub machine: Machine,
    /// A row each.
    pub figures: Vec<Figure>,
}

impl Report {
    /// For scripts.
    pub fn json(&self) -> Value {
        let figures: Vec<Value> = self.figures.iter().map(figure_json).collect();
        json!({ "machine": self.machine, "figures": figures })
    }
}

fn figure_json(figure: &Figure) -> Value {
    let other = figure
        .other
        .as_ref()
        .map(|(name, runs)| json!({ "name": name, "median": figure.other_median(), "runs": runs }));
    let checked: serde_json::Map<String, Value> = figure
        .checked
        .iter()
        .map(|(what, found)| ((*what).into(), found.as_str().into()))
        .collect();
    json!({
        "name": figure.name,
        "what": figure.what,
        "transport": figure.transport,
        "unit": figure.unit,
        "ours": { "median": figure.median(), "runs": figure.ours },
        "other": other,
        "ratio": figure.ratio(),
        "to_reach": figure.target.map(|target| to_reach(figure, target)),
        "reached": figure.reached(),
        "checked": checked,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        let mut rows =
            vec![["what", "over", "ours", "other", "ratio", "to reach", ""].map(str::to_owned)];
        rows.extend(self.figures.iter().map(row));
        let width =
            |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                // Numbers stand below each other by their ends.
                let numeric = (2..5).contains(&column);
                if numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// One row by itself, for those who wait for the others.
pub fn line(figure: &Figure) -> String {
    let [what, over, ours, other, ratio, to_reach, reached] = row(figure);
    let ratio = if ratio.is_empty() { ratio } else { format!("{ratio} ×") };
    let wanted = match (to_reach.is_empty(), reached.is_empty()) {
        (true, _) => String::new(),
        (false, true) => to_reach,
        (false, false) => format!("{to_reach}: {reached}"),
    };
    let parts = [what, over, ours, other, ratio, wanted];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

fn row(figure: &Figure) -> [String; 7] {
    let with_unit = |number: Option<f64>| {
        number.map_or_else(String::new, |number| format!("{} {}", number_text(number), figure.unit))
    };
    let other = figure.other.as_ref().map_or_else(String::new, |(name, _)| {
        format!("{name} {}", with_unit(figure.other_median()))
    });
    [
        figure.what.clone(),
        figure.transport.map_or("", |transport| transport.name()).into(),
        with_unit(figure.median()),
        other,
        figure.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}")),
        figure.target.map_or_else(String::new, |target| to_reach(figure, target)),
        match figure.reached() {
            None => String::new(),
            Some(true) => "reached".into(),
            Some(false) => "not reached".into(),
        },
    ]
}

fn to_reach(figure: &Figure, target: Target) -> String {
    match target {
        Target::TimesAtLeast(times) => format!("≥ {times} ×"),
        Target::TimesAtMost(times) => format!("≤ {times} ×"),
        Target::AtLeast(number) => format!("≥ {} {}", number_text(number), figure.unit),
        Target::AtMost(number) => format!("≤ {} {}", number_text(number), figure.unit),
    }
}

/// With as many digits as are worth reading.
fn number_text(number: f64) -> String {
    match number {
        number if number >= 100.0 => thousands(number.round() as u64),
        number if number >= 10.0 => format!("{number:.1}"),
        number => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transport;

    #[test]
    fn a_row_by_itself_is_one_line() {
        let mut figure = Figure::new("tiny", "tiny units", "units/s").over(Transport::Ipc);
        figure.add(24.0);
        assert_eq!(line(&figure), "tiny units, ipc, 24.0 units/s");
        figure.target = Some(Target::TimesAtLeast(12.0));
        assert_eq!(line(&figure), "tiny units, ipc, 24.0 units/s, ≥ 12 ×");
        figure.add_other("bare", 2.0);
        assert_eq!(
            line(&figure),
            "tiny units, ipc, 24.0 units/s, bare 2.00 units/s, 12.00 ×, ≥ 12 ×: reached"
        );
    }
}
