//! Whether the memory of processes that are killed again and again stays flat.
//!
//! Owns the samples and the bound: a process has grown for as long as it is old, so only processes of about the
//! same age are compared, those of the last third of the time with those of the first. Refuses to find processes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::torture::schedule::Role;

/// From each age on it is another class.
const AGES_S: [u64; 4] = [1, 4, 16, 64];
/// With fewer samples in either third, a class tells nothing.
const SAMPLES_MIN: usize = 5;
/// How much more the median of the last third may be: by half, and so many bytes.
const SLACK_BYTES: u64 = 16 << 20;

/// Resident memory of one process at one time.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Since the beginning.
    pub at: Duration,
    /// Whose.
    pub role: Role,
    /// Since that process began.
    pub age: Duration,
    /// How much.
    pub bytes: u64,
}

/// Samples of a role in the first and in the last third.
#[derive(Debug, Clone, Default)]
struct Thirds {
    max: [u64; 2],
    // By the class of the age.
    samples: BTreeMap<usize, [Vec<u64>; 2]>,
}

/// What samples tell.
#[derive(Debug, Clone, Default)]
pub struct Growth(BTreeMap<Role, Thirds>);

impl Growth {
    /// Of these samples, which were taken within that time.
    pub fn of(samples: &[Sample], within: Duration) -> Self {
        let mut growth = Self::default();
        for sample in samples {
            let third = match sample.at.as_secs_f64() / within.as_secs_f64() {
                share if share < 1.0 / 3.0 => 0,
                share if share >= 2.0 / 3.0 => 1,
                _ => continue,
            };
            let class = AGES_S.iter().filter(|age| sample.age.as_secs() >= **age).count();
            let thirds = growth.0.entry(sample.role).or_default();
            thirds.max[third] = thirds.max[third].max(sample.bytes);
            thirds.samples.entry(class).or_default()[third].push(sample.bytes);
        }
        growth
    }

    /// Whose memory has grown beyond the bound.
    pub fn unbounded(&self) -> Vec<Role> {
        let grows = |thirds: &Thirds| thirds.medians().any(|[first, last]| last > bound(first));
        self.0.iter().filter(|(_, thirds)| grows(thirds)).map(|(role, _)| *role).collect()
    }
}

/// What the median of the last third may be at most.
fn bound(first: u64) -> u64 {
    first + first / 2 + SLACK_BYTES
}

impl Thirds {
    /// By age, where there are enough samples.
    fn medians(&self) -> impl Iterator<Item = [u64; 2]> {
        let told =
            self.samples.values().filter(|both| both.iter().all(|own| own.len() >= SAMPLES_MIN));
        told.map(|both| both.each_ref().map(|own| median(own)))
    }
}

fn median(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        for (index, (role, thirds)) in self.0.iter().enumerate() {
            let [first, last] = thirds.max.map(mib);
            let before = if index == 0 { "" } else { "\n" };
            write!(
                f,
                "{before}{role}: at most {first:.1} MiB in the first third, {last:.1} in the last"
            )?;
            let medians: Vec<String> = thirds
                .medians()
                .map(|both| both.map(|bytes| format!("{:.1}", mib(bytes))).join(" to "))
                .collect();
            if !medians.is_empty() {
                write!(f, "; medians by age {}", medians.join(", "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn samples(bytes: impl Fn(u64, u64) -> u64) -> Vec<Sample> {
        let sample = |second: u64| {
            let (at, age) = (Duration::from_secs(second), second % 10);
            let bytes = bytes(second, age);
            Sample { at, role: Role::Sink, age: Duration::from_secs(age), bytes }
        };
        (0..300).map(sample).collect()
    }

    fn growth(bytes: impl Fn(u64, u64) -> u64) -> Growth {
        Growth::of(&samples(bytes), Duration::from_secs(300))
    }

    #[test]
    fn who_is_large_because_of_its_age_has_not_grown_and_who_is_larger_each_time_has() {
        assert!(growth(|_, age| age * 30 * MIB).unbounded().is_empty());
        assert_eq!(growth(|second, _| second * MIB / 2).unbounded(), [Role::Sink]);
        let told = growth(|_, age| (10 + age) * MIB).to_string();
        let expected = "sink: at most 19.0 MiB in the first third, 19.0 in the last; medians by age 10.0 to 10.0, \
                        12.0 to 12.0, 17.0 to 17.0";
        assert_eq!(told, expected);
    }
}
