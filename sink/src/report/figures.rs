//! How numbers and small tables look to a person.
//!
//! Owns thousands separators, sensible digits, durations and aligned columns; knows not what the
//! numbers mean.
#![cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "a table made here"))]

use std::fmt;

use serde_json::Value;

/// Longer texts in a table are cut.
const TEXT_CHARS_MAX: usize = 40;

/// `1234567` as `1,234,567`; takes any run of digits, with or without a sign.
pub fn thousands(digits: impl ToString) -> String {
    let digits = digits.to_string();
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits.as_str()),
    };
    let mut text = sign.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of something that has a name for one of it and for several.
pub fn counted(count: u64, [one, many]: [&str; 2]) -> String {
    format!("{} {}", thousands(count), if count == 1 { one } else { many })
}

/// A fraction with as many digits as are worth reading.
pub(crate) fn float(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e15).contains(&size) {
        return format!("{number:.3e}");
    }
    let decimals = if size >= 1000.0 {
        1
    } else if size >= 1.0 {
        3
    } else {
        6
    };
    let text = format!("{number:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{}{dot}{fraction}", thousands(whole))
}

/// Any JSON value in a table's cell: one line, cut where it is long.
pub(crate) fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::Number(number) if number.is_f64() => float(number.as_f64().unwrap_or(f64::NAN)),
        Value::Number(number) => thousands(number),
        Value::String(text) => return label(text),
        other => other.to_string(),
    };
    cut(text)
}

/// A text that came from a peer, in a table's cell: nothing in it may steer the terminal.
pub(crate) fn label(text: &str) -> String {
    cut(text.escape_debug().to_string())
}

fn cut(text: String) -> String {
    if text.chars().count() <= TEXT_CHARS_MAX {
        return text;
    }
    let kept: String = text.chars().take(TEXT_CHARS_MAX - 1).collect();
    kept + "…"
}

/// Microseconds in the unit that suits them.
pub(crate) fn micros(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.0} µs"),
        us if us < 1e6 => format!("{:.2} ms", us / 1e3),
        us => seconds(us / 1e6),
    }
}

/// Seconds, from a minute on with minutes and hours.
pub(crate) fn seconds(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.2} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", thousands(whole / 3600), whole / 60 % 60),
    }
}

/// On which side of its column a cell stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// Rows of cells in aligned columns, two blanks apart.
#[derive(Debug)]
pub(crate) struct Grid {
    /// Of each column; the last one holds for all further ones.
    pub(crate) sides: &'static [Side],
    pub(crate) rows: Vec<Vec<String>>,
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let gap = if column == 0 { "" } else { "  " };
                let width = widths[column];
                let side = self.sides.get(column).or(self.sides.last());
                line += &match side {
                    Some(Side::Right) => format!("{gap}{cell:>width$}"),
                    _ => format!("{gap}{cell:<width$}"),
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_separators() {
        let texts = ["0", "999", "1000", "-1000", "-999", "1234567"].map(thousands);
        assert_eq!(texts, ["0", "999", "1,000", "-1,000", "-999", "1,234,567"]);
    }

    #[test]
    fn fractions_have_the_digits_that_are_worth_reading() {
        let numbers = [0.0, 50_000.5, 1234.5678, 2.0, 3.45678, 0.1, 0.000_01, -1.5e20, 999.9999];
        assert_eq!(
            numbers.map(float),
            ["0", "50,000.5", "1,234.6", "2", "3.457", "0.1", "1.000e-5", "-1.500e20", "1,000"]
        );
    }

    #[test]
    fn durations_choose_their_unit() {
        let texts = [12.4, 1_234.0, 1_500_000.0, 75e6, 7_500e6].map(micros);
        assert_eq!(texts, ["12 µs", "1.23 ms", "1.50 s", "1 min 15 s", "2 h 05 min"]);
    }

    #[test]
    fn a_cell_is_one_short_line() {
        assert_eq!(cell(&Value::from("a\nb\u{1b}[2J")), "a\\nb\\u{1b}[2J");
        assert_eq!(cell(&Value::from("x".repeat(50))), "x".repeat(39) + "…");
        assert_eq!(cell(&Value::from("x".repeat(40))), "x".repeat(40));
        assert_eq!(cell(&serde_json::json!([1, null])), "[1,null]");
    }
}
