//! Durations and sizes as people write them: `"1.5s"`, `"64MiB"`.
//!
//! Owns the units; refuses to say what is allowed where.

/// Milliseconds in each unit of time.
pub(super) const TIME: &[(&str, f64)] =
    &[("ms", 1.0), ("s", 1_000.0), ("m", 60_000.0), ("h", 3_600_000.0)];

/// Bytes in each unit of size.
pub(super) const SIZE: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1_024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
];

/// Beyond this a float no longer holds every whole number.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The milliseconds in a text like `250ms`, `1.5s` or `5m`; none when it is no duration.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    amount(text, TIME)
}

/// The bytes in a text like `64MiB`; none when it is no size.
pub(super) fn bytes(text: &str) -> Option<u64> {
    amount(text, SIZE)
}

fn amount(text: &str, units: &[(&str, f64)]) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (digits, unit) = text.split_at(split);
    let digits = digits.trim_end();
    let plain = |c: char| c.is_ascii_digit() || c == '.' || c == '_';
    if !digits.chars().all(plain) {
        return None;
    }
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let amount = (digits.replace('_', "").parse::<f64>().ok()? * factor).round();
    // In range and without a sign: the cast is exact.
    (amount <= EXACT_MAX).then_some(amount as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit() {
        for (text, expected) in [
            ("250ms", 250),
            ("2s", 2_000),
            ("1.5s", 1_500),
            ("1.1 s", 1_100),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1_000ms", 1_000),
        ] {
            assert_eq!(milliseconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "10", "10 seconds", "-1s", "1e3s", "1.2.3s", "inf", "9e99h"] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
        assert_eq!(milliseconds(&format!("{}h", "9".repeat(40))), None);
    }

    #[test]
    fn sizes_tell_thousands_from_1024s() {
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("1.5 GiB"), Some(3 << 29));
        assert_eq!(bytes("10MB"), Some(10_000_000));
        assert_eq!(bytes("512B"), Some(512));
        assert_eq!(bytes("64Mib"), None);
    }
}
