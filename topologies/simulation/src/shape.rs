//! What the functions of a simulated pipeline do, and what must therefore come out of it.
//!
//! Owns values, behaviours and the expected outcome of every unit, all of them plain arithmetic
//! over ids; refuses to know who executes what, when, or how often.

use std::time::Duration;

use proto::unit::UnitId;

/// What one stage does with the values that it is given, in percent of all values. What is left
/// over gives exactly one output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Values that give no output.
    pub filtered: u8,
    /// Values that give several outputs.
    pub expanded: u8,
    /// The most outputs that one value gives.
    pub outputs_max: u32,
    /// Values that fail whenever they are tried.
    pub failing: u8,
    /// Values that fail at first and succeed at the last try that the stage allows.
    pub flaky: u8,
    /// Values that end the process that begins them.
    pub fatal: u8,
    /// The longest time that a value takes, but for one in a hundred, which takes fifty times it.
    pub service: Duration,
}

impl Shape {
    /// One output for each value.
    pub const fn one_to_one() -> Self {
        Self {
            filtered: 0,
            expanded: 0,
            outputs_max: 1,
            failing: 0,
            flaky: 0,
            fatal: 0,
            service: Duration::from_millis(2),
        }
    }

    /// One output for each value; a few take so long that everything else is done meanwhile.
    pub const fn slow() -> Self {
        Self { service: Duration::from_millis(600), ..Self::one_to_one() }
    }

    /// A part of the values passes, the others give nothing.
    pub const fn filter(percent: u8) -> Self {
        Self { filtered: percent, ..Self::one_to_one() }
    }

    /// Most values give several outputs, up to so many.
    pub const fn expand(outputs_max: u32) -> Self {
        Self { filtered: 10, expanded: 70, outputs_max, ..Self::one_to_one() }
    }

    /// A few values fail for good, more of them only at first.
    pub const fn failing(self) -> Self {
        Self { failing: 3, flaky: 8, ..self }
    }

    /// A few values end the process that begins them.
    pub const fn fatal(self) -> Self {
        Self { fatal: 2, ..self }
    }

    /// What this stage does with `value` at try `attempt`, of `retries + 1` tries.
    pub(super) fn work(&self, stage: u32, value: &[u8], attempt: u32, retries: u32) -> Work {
        let seed = digest(value, u64::from(stage) + 1);
        let mut draw = (seed % 100) as u8;
        let mut is = |percent: u8| {
            let hit = draw < percent;
            draw = draw.wrapping_sub(percent);
            hit
        };
        let outputs = |count: u32| Work::Outputs((0..count).map(|i| output(seed, i)).collect());
        if is(self.fatal) {
            Work::Dies
        } else if is(self.failing) || is(self.flaky) && attempt <= retries {
            Work::Fails
        } else if is(self.filtered) {
            outputs(0)
        } else if is(self.expanded) {
            outputs(2 + (mix(seed) % u64::from(self.outputs_max.max(2) - 1)) as u32)
        } else {
            outputs(1)
        }
    }

    /// How long `value` takes, the same wherever it is executed.
    pub(super) fn takes(&self, stage: u32, value: &[u8]) -> Duration {
        let seed = mix(digest(value, u64::from(stage) + 1_000_001));
        let share = self.service.mul_f64((seed % 1000) as f64 / 1000.0);
        if (seed >> 32).is_multiple_of(100) { share * 50 } else { share }
    }
}

/// What becomes of one value in one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Work {
    /// These outputs.
    Outputs(Vec<Vec<u8>>),
    /// An error.
    Fails,
    /// The process is gone.
    Dies,
}

/// What must become of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// These results, in this order.
    Results(Vec<Vec<u8>>),
    /// No stage gave anything for it.
    Filtered,
    /// A stage failed for good.
    Dead,
}

/// What must become of unit `id` after all `stages`, given their retries.
pub(super) fn expected(stages: &[(Shape, u32)], id: UnitId) -> Expected {
    let mut values = vec![source_value(id)];
    for (stage, (shape, retries)) in stages.iter().enumerate() {
        let mut next = Vec::new();
        for value in &values {
            match shape.work(stage as u32, value, retries + 1, *retries) {
                Work::Outputs(outputs) => next.extend(outputs),
                Work::Fails | Work::Dies => return Expected::Dead,
            }
        }
        values = next;
    }
    if values.is_empty() { Expected::Filtered } else { Expected::Results(values) }
}

/// The bytes that a value takes at most.
pub(super) const VALUE_BYTES_MAX: usize = 60;

/// The value of unit `id`.
pub(super) fn source_value(id: UnitId) -> Vec<u8> {
    output(mix(id), 0)
}

/// Output `index` of the execution with this seed: a number and some padding, as MessagePack.
fn output(seed: u64, index: u32) -> Vec<u8> {
    let number = mix(seed ^ (u64::from(index) << 40));
    let padding = (number >> 8) as u8 % 48;
    let mut value = vec![0x92, 0xcf];
    value.extend_from_slice(&number.to_be_bytes());
    value.extend_from_slice(&[0xc4, padding]);
    value.resize(value.len() + usize::from(padding), number as u8);
    value
}

fn digest(value: &[u8], salt: u64) -> u64 {
    let number = value.get(2..10).and_then(|bytes| bytes.try_into().ok());
    mix(u64::from_be_bytes(number.unwrap_or_default()) ^ mix(salt))
}

/// The finisher of SplitMix64 (S. Vigna): spreads numbers that lie close together.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proto::value::value_len;

    use super::*;

    #[test]
    fn values_are_messagepack_and_differ() {
        let values: std::collections::BTreeSet<_> = (0..500).map(source_value).collect();
        assert_eq!(values.len(), 500);
        assert!(values.iter().all(|value| value_len(value) == Ok(value.len())));
        assert!(values.iter().all(|value| value.len() <= VALUE_BYTES_MAX));
    }

    #[test]
    fn every_behaviour_occurs_about_as_often_as_asked() {
        let shape = Shape::expand(4).failing();
        let outcomes: Vec<_> = (0..1000).map(|id| expected(&[(shape, 2)], id)).collect();
        let count = |is: fn(&Expected) -> bool| outcomes.iter().filter(|o| is(o)).count();
        assert!((10..60).contains(&count(|o| *o == Expected::Dead)));
        assert!((60..150).contains(&count(|o| *o == Expected::Filtered)));
        let several = |o: &Expected| matches!(o, Expected::Results(values) if values.len() > 1);
        assert!(count(several) > 600);
    }
}
