//! One row of what was measured.
//!
//! Owns medians, ratios and targets; refuses to measure.

use super::{Failure, Transport};

/// What a figure has to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// At least so many times what the other side gives.
    TimesAtLeast(f64),
    /// At most so many times what the other side gives.
    TimesAtMost(f64),
    /// At least that.
    AtLeast(f64),
    /// At most that.
    AtMost(f64),
}

/// One row: what ours gave in each run, and what the other side gave right after.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The measurement.
    pub name: &'static str,
    /// What the row is about, in words.
    pub what: String,
    /// What the processes talked over, where that matters.
    pub transport: Option<Transport>,
    /// The unit of all numbers in it.
    pub unit: &'static str,
    /// Ours, a number a run.
    pub ours: Vec<f64>,
    /// The other side's name, and a number a run.
    pub other: Option<(&'static str, Vec<f64>)>,
    /// What has to be reached.
    pub target: Option<Target>,
    /// What came out of every run, the same on both sides.
    pub checked: Vec<(&'static str, String)>,
}

impl Figure {
    /// A row without numbers yet.
    pub fn new(name: &'static str, what: impl Into<String>, unit: &'static str) -> Self {
        Self {
            name,
            what: what.into(),
            transport: None,
            unit,
            ours: Vec::new(),
            other: None,
            target: None,
            checked: Vec::new(),
        }
    }

    /// The same, over a transport.
    #[must_use]
    pub fn over(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// The same, with something to reach.
    #[must_use]
    pub fn to_reach(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// The same, with what came out of every run.
    #[must_use]
    pub fn checked(mut self, what: &'static str, found: impl ToString) -> Self {
        self.checked.push((what, found.to_string()));
        self
    }

    /// Takes in one more run of ours.
    pub fn add(&mut self, number: f64) {
        self.ours.push(number);
    }

    /// Takes in one more run of the other side.
    pub fn add_other(&mut self, name: &'static str, number: f64) {
        self.other.get_or_insert_with(|| (name, Vec::new())).1.push(number);
    }

    /// The median of ours.
    pub fn median(&self) -> Option<f64> {
        median(self.ours.clone())
    }

    /// The median of the other side.
    pub fn other_median(&self) -> Option<f64> {
        median(self.other.as_ref()?.1.clone())
    }

    /// The median of the ratios of all pairs: what drifts between two pairs does not matter.
    pub fn ratio(&self) -> Option<f64> {
        let (_, others) = self.other.as_ref()?;
        median(self.ours.iter().zip(others).map(|(ours, other)| ours / other).collect())
    }

    /// Whether the target is reached, if it can be told.
    pub fn reached(&self) -> Option<bool> {
        match self.target? {
            Target::TimesAtLeast(times) => Some(self.ratio()? >= times),
            Target::TimesAtMost(times) => Some(self.ratio()? <= times),
            Target::AtLeast(number) => Some(self.median()? >= number),
            Target::AtMost(number) => Some(self.median()? <= number),
        }
    }
}

/// The middle of all numbers.
pub fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    if numbers.len() % 2 == 1 {
        return Some(numbers[middle]);
    }
    Some(f64::midpoint(*numbers.get(middle.checked_sub(1)?)?, numbers[middle]))
}

/// Takes turns: A B A B, so that whatever else the machine does meets both.
///
/// # Errors
/// [`Failure`] of the first run that fails.
pub fn take_turns(
    pairs: u32,
    mut turn: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    (0..pairs).try_for_each(|_| turn())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(target: Target) -> Figure {
        let mut figure = Figure::new("tiny", "", "units/s").to_reach(target);
        for (ours, other) in [(10.0, 1.0), (40.0, 2.0), (90.0, 3.0)] {
            figure.add(ours);
            figure.add_other("bare", other);
        }
        figure
    }

    #[test]
    fn a_ratio_is_the_median_of_the_pairs_ratios() {
        let figure = figure(Target::TimesAtLeast(12.0));
        assert_eq!(figure.median(), Some(40.0));
        assert_eq!(figure.other_median(), Some(2.0));
        assert_eq!(figure.ratio(), Some(20.0));
    }

    #[test]
    fn a_target_is_reached_or_not_and_unknown_without_the_other_side() {
        assert_eq!(figure(Target::TimesAtLeast(12.0)).reached(), Some(true));
        assert_eq!(figure(Target::TimesAtMost(12.0)).reached(), Some(false));
        assert_eq!(figure(Target::AtMost(39.0)).reached(), Some(false));
        assert_eq!(figure(Target::AtLeast(40.0)).reached(), Some(true));
        let alone = Figure { other: None, ..figure(Target::TimesAtLeast(12.0)) };
        assert_eq!(alone.reached(), None);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
