//! When it is enough: `--halt` as GNU parallel has it, and `hopeless`, which it has not.
//!
//! Owns the rules; refuses to end anything.

use std::{fmt, str::FromStr};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Fail,
    Success,
    Done,
    /// Failures, as long as there is no success.
    Hopeless,
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
            Of::Hopeless => {
                if succeeded == 0 {
                    failed
                } else {
                    0
                }
            }
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
                "`{text}` is no rule: use never, or as in now,fail=1, soon,fail=10%, now,success=1, soon,done=100, soon,hopeless=20"
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
            "hopeless" => Of::Hopeless,
            _ => return Err(wrong()),
        };
        let enough = match enough.strip_suffix('%') {
            Some(_) if of == Of::Hopeless => return Err(wrong()),
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

/// When a run of a topology stops by itself: once the first units of a stage have failed, so many in a
/// row from its start, and none was good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hopeless(Option<(When, u64)>);

/// What is hopeless unless somebody says otherwise.
const HOPELESS: u64 = 20;

impl Hopeless {
    /// It goes on, whatever happens.
    pub const NEVER: Self = Self(None);

    /// Whether it is hopeless, after so many failures and no success.
    pub fn is_enough(self, failed: u64) -> Option<When> {
        self.0.filter(|(_, least)| failed >= *least).map(|(when, _)| when)
    }
}

impl Default for Hopeless {
    fn default() -> Self {
        Self(Some((When::Soon, HOPELESS)))
    }
}

impl FromStr for Hopeless {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Without a word before it, it is as careful as can be.
        let full = if text.starts_with("hopeless=") { format!("soon,{text}") } else { text.into() };
        match full.parse() {
            Ok(Halt(None)) => Ok(Self(None)),
            Ok(Halt(Some((when, Of::Hopeless, Enough::Count(count))))) => {
                Ok(Self(Some((when, count))))
            }
            _ => Err(format!(
                "`{text}` is no rule for a run: use never, or as in hopeless=20, now,hopeless=5"
            )),
        }
    }
}

impl fmt::Display for Hopeless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("never"),
            Some((When::Soon, count)) => write!(f, "hopeless={count}"),
            Some((When::Now, count)) => write!(f, "now,hopeless={count}"),
        }
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
    fn it_is_hopeless_as_long_as_there_is_no_success() {
        assert_eq!(halt("soon,hopeless=3").is_enough(0, 2), None);
        assert_eq!(halt("soon,hopeless=3").is_enough(0, 3), Some(When::Soon));
        assert_eq!(halt("soon,hopeless=3").is_enough(1, 9), None);
    }

    #[test]
    fn a_run_knows_what_is_hopeless_and_nothing_else() {
        let rule = |text: &str| text.parse::<Hopeless>();
        assert_eq!(Hopeless::default(), rule("hopeless=20").unwrap());
        assert_eq!(rule("soon,hopeless=20"), rule("hopeless=20"));
        assert_eq!(rule("now,hopeless=2").unwrap().is_enough(2), Some(When::Now));
        assert_eq!(rule("never").unwrap().is_enough(u64::MAX), None);
        for text in ["never", "hopeless=7", "now,hopeless=7"] {
            assert_eq!(rule(text).unwrap().to_string(), text);
        }
        for text in ["", "20", "hopeless", "hopeless=0", "now,fail=1", "soon,done=3"] {
            assert!(rule(text).is_err(), "{text}");
        }
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
        for text in [
            "",
            "now",
            "soon,hopeless=5%",
            "soon,hopeless=0",
            "later,fail=1",
            "now,fail",
            "now,fail=0",
            "now,fail=101%",
            "1",
        ] {
            assert!(text.parse::<Halt>().is_err(), "{text}");
        }
    }
}
