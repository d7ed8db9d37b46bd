//! How many units are worked on at once, as people write it.

use std::{num::NonZeroUsize, str::FromStr, thread};

/// The most that "as many as possible" is: each has a thread and a few open files.
const MANY: u32 = 252;

/// As in `-j 4`, `-j 200%`, `-j +1`, `-j -1`, and `-j 0` for as many as possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places(u32);

impl Places {
    /// Their number, at least 1.
    pub fn count(self) -> u32 {
        self.0
    }
}

/// One a core.
impl Default for Places {
    fn default() -> Self {
        Self(cores())
    }
}

impl FromStr for Places {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!(
                "`{text}` is no number of places: use 4, 200%, +1, -1, or 0 for as many as possible"
            )
        };
        let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
        let count = if let Some(percent) = text.strip_suffix('%') {
            u64::from(cores()) * u64::from(number(percent)?) / 100
        } else if let Some(more) = text.strip_prefix('+') {
            u64::from(cores()) + u64::from(number(more)?)
        } else if let Some(fewer) = text.strip_prefix('-') {
            u64::from(cores().saturating_sub(number(fewer)?))
        } else {
            match number(text)? {
                0 => u64::from(MANY),
                count => u64::from(count),
            }
        };
        let count = u32::try_from(count.max(1)).ok().filter(|count| *count <= 65_536);
        count.map(Self).ok_or_else(wrong)
    }
}

fn cores() -> u32 {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    u32::try_from(cores).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        let count = |text: &str| text.parse().map(Places::count);
        let cores = cores();
        assert_eq!(count("3"), Ok(3));
        assert_eq!(count("100%"), Ok(cores));
        assert_eq!(count("+2"), Ok(cores + 2));
        assert_eq!(count("-10000"), Ok(1));
        assert_eq!(count("0"), Ok(MANY));
        for text in ["", "x", "1.5", "70000", "%"] {
            assert!(count(text).is_err(), "{text}");
        }
    }
}
