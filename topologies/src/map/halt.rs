//! When it is enough: `--halt` as GNU parallel has it.
//!
//! Owns the rule; refuses to end anything.

use std::str::FromStr;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Fail,
    Success,
    Done,
}

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Enough {
    Count(u64),
    /// Of those that are done, once a few are.
    Percent(f64),
}

/// What becomes of those that run then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// They end by themselves; no further one is begun.
    Soon,
    /// They are ended.
    Now,
}

/// A rule such as `now,fail=1`, `soon,fail=10%`, `now,success=1` or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Halt(Option<(When, Of, Enough)>);

/// A percentage says little before so many are done.
const PERCENT_AFTER: u64 = 3;

impl Halt {
    /// Whether it is enough, after so many successes and failures.
    pub fn is_enough(self, succeeded: u64, failed: u64) -> Option<When> {
        let (when, of, enough) = self.0?;
        let done = succeeded + failed;
        let count = match of {
            Of::Fail => failed,
            Of::Success => succeeded,
            Of::Done => done,
        };
        let is = match enough {
            Enough::Count(least) => count >= least,
            Enough::Percent(percent) => {
                done >= PERCENT_AFTER && count as f64 * 100.0 >= percent * done as f64
            }
        };
        is.then_some(when)
    }

    /// Whether those that succeed are what is looked for, so that failures before are none.
    pub fn wants_success(self) -> bool {
        self.0.is_some_and(|(_, of, _)| of == Of::Success)
    }
}

impl FromStr for Halt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!(
                "`{text}` is no rule: use never, or as in now,fail=1, soon,fail=10%, now,success=1, soon,done=100"
            )
        };
        if text == "never" {
            return Ok(Self(None));
        }
        let (when, what) = text.split_once(',').ok_or_else(wrong)?;
        let when = match when {
            "now" => When::Now,
            "soon" => When::Soon,
            _ => return Err(wrong()),
        };
        let (of, enough) = what.split_once('=').ok_or_else(wrong)?;
        let of = match of {
            "fail" => Of::Fail,
            "success" => Of::Success,
            "done" => Of::Done,
            _ => return Err(wrong()),
        };
        let enough = match enough.strip_suffix('%') {
            Some(percent) => {
                let percent =
                    percent.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
                Enough::Percent(percent.ok_or_else(wrong)?)
            }
            None => {
                let count = enough.parse().ok().filter(|count| *count > 0);
                Enough::Count(count.ok_or_else(wrong)?)
            }
        };
        Ok(Self(Some((when, of, enough))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halt(text: &str) -> Halt {
        text.parse().unwrap()
    }

    #[test]
    fn a_rule_counts_what_it_names() {
        assert_eq!(halt("never").is_enough(0, 1_000), None);
        assert_eq!(halt("now,fail=2").is_enough(9, 1), None);
        assert_eq!(halt("now,fail=2").is_enough(9, 2), Some(When::Now));
        assert_eq!(halt("soon,success=1").is_enough(1, 0), Some(When::Soon));
        assert_eq!(halt("soon,done=3").is_enough(1, 1), None);
        assert_eq!(halt("soon,done=3").is_enough(1, 2), Some(When::Soon));
    }

    #[test]
    fn a_percentage_is_of_those_that_are_done_once_a_few_are() {
        let rule = halt("soon,fail=50%");
        assert_eq!(rule.is_enough(0, 1), None);
        assert_eq!(rule.is_enough(2, 1), None);
        assert_eq!(rule.is_enough(2, 2), Some(When::Soon));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in ["", "now", "later,fail=1", "now,fail", "now,fail=0", "now,fail=101%", "1"] {
            assert!(text.parse::<Halt>().is_err(), "{text}");
        }
    }
}
