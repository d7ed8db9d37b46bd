//! Lines as people see them.
//!
//! Owns that what a program writes does not steer the terminal that it is shown at; refuses to write there.

use std::{borrow::Cow, fmt::Write};

/// A line for a terminal: control characters but the tab are shown as escapes, `\x1b`. Of a line that was
/// written over with carriage returns, as progress bars are, what was written last is shown.
pub fn harmless(line: &str) -> Cow<'_, str> {
    let line = line.trim_end_matches('\r');
    let line = line.rsplit_once('\r').map_or(line, |(_, last)| last);
    let steers = |c: char| c.is_control() && c != '\t';
    if !line.contains(steers) {
        return line.into();
    }
    let mut shown = String::with_capacity(line.len() + 8);
    for c in line.chars() {
        if steers(c) {
            let _ = write!(shown, "\\x{:02x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown.into()
}

/// A line with the unit that it is about in front, as in `fetch-1[unit 7]: no route`. `who` may be empty.
pub fn by_hand(who: &str, unit: Option<&str>, line: &str) -> String {
    match (who, unit) {
        ("", None) => line.into(),
        (who, None) => format!("{who}: {line}"),
        (who, Some(unit)) => format!("{who}[unit {unit}]: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_steers_a_terminal() {
        for (line, shown) in [
            ("plain\ttext é", "plain\ttext é"),
            ("\u{1b}]0;title\u{7}", "\\x1b]0;title\\x07"),
            ("\u{9b}2J", "\\x9b2J"),
            (" 10 %\r 20 %\r 30 %\r", " 30 %"),
        ] {
            assert_eq!(harmless(line), shown);
        }
    }

    #[test]
    fn a_line_is_shown_with_who_wrote_it_and_the_unit() {
        assert_eq!(by_hand("fetch-1", Some("7"), "no route"), "fetch-1[unit 7]: no route");
        assert_eq!(by_hand("fetch-1", None, "no route"), "fetch-1: no route");
        assert_eq!(by_hand("", Some("7.0"), "no route"), "[unit 7.0]: no route");
        assert_eq!(by_hand("", None, "no route"), "no route");
    }
}
