//! The search for the unit that ends its program, among those that were open when it ended.
//!
//! Owns which of them are asked again, and when: one half after the other, each without any further
//! unit, until a program ends over a single one. Refuses to know what a unit is. So no unit fails
//! because of another one.

use std::collections::VecDeque;

/// What waits to be asked, and in which company.
#[derive(Debug)]
pub(super) struct Suspects<T> {
    // The next one is the last; those of one group are asked together.
    groups: Vec<Vec<T>>,
    waiting: VecDeque<T>,
    // What is asked now is such a group.
    searching: bool,
}

impl<T> Suspects<T> {
    pub fn new() -> Self {
        Self { groups: Vec::new(), waiting: VecDeque::new(), searching: false }
    }

    /// One that nothing speaks against.
    pub fn add(&mut self, unit: T) {
        self.waiting.push_back(unit);
    }

    /// Those that were asked, and ended with a program that ended for another reason.
    pub fn again(&mut self, units: Vec<T>) {
        if self.searching {
            // They are what they were.
            self.groups.push(units);
        } else {
            units.into_iter().rev().for_each(|unit| self.waiting.push_front(unit));
        }
    }

    /// A program has ended over these; the one that is to blame, if there is no other.
    pub fn died(&mut self, mut units: Vec<T>) -> Option<T> {
        if units.len() < 2 {
            return units.pop();
        }
        let second = units.split_off(units.len() / 2);
        self.groups.extend([second, units]);
        self.searching = true;
        None
    }

    /// What is asked next, when so many are asked that are not answered, and there is room for so many
    /// more.
    pub fn next(&mut self, asked: usize, room: usize) -> Vec<T> {
        if self.searching || !self.groups.is_empty() {
            if asked > 0 {
                return Vec::new();
            }
            if let Some(group) = self.groups.pop() {
                self.searching = true;
                return group;
            }
            self.searching = false;
        }
        self.waiting.drain(..room.min(self.waiting.len())).collect()
    }

    /// All of them, for good.
    pub fn take_all(&mut self) -> Vec<T> {
        self.searching = false;
        let groups = std::mem::take(&mut self.groups);
        groups.into_iter().flatten().chain(self.waiting.drain(..)).collect()
    }

    /// Whether nothing waits.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program ends over each group with one of these; who is to blame, and how many ended.
    fn search(killers: &[u32]) -> (Vec<u32>, Vec<u32>, u32) {
        let mut suspects = Suspects::new();
        (0..1_000).for_each(|unit| suspects.add(unit));
        let (mut blamed, mut fine, mut deaths) = (Vec::new(), Vec::new(), 0);
        loop {
            let asked = suspects.next(0, 1_000);
            if asked.is_empty() && suspects.is_empty() {
                return (blamed, fine, deaths);
            }
            if asked.iter().any(|unit| killers.contains(unit)) {
                deaths += 1;
                blamed.extend(suspects.died(asked));
            } else {
                fine.extend(asked);
            }
        }
    }

    #[test]
    fn whoever_ends_programs_is_found_and_nobody_else_is_blamed() {
        for killers in [&[][..], &[0], &[999], &[412, 413], &[3, 500, 900]] {
            let (mut blamed, mut fine, deaths) = search(killers);
            blamed.sort_unstable();
            assert_eq!(blamed, killers);
            fine.extend(&blamed);
            fine.sort_unstable();
            assert!(fine.iter().copied().eq(0..1_000));
            assert!(deaths <= 11 * killers.len() as u32, "{deaths} for {killers:?}");
        }
    }

    #[test]
    fn while_it_is_searched_nothing_else_is_asked() {
        let mut suspects = Suspects::new();
        [1, 2].into_iter().for_each(|unit| suspects.add(unit));
        let asked = suspects.next(0, 1_000);
        assert_eq!(suspects.died(asked), None);
        suspects.add(3);
        assert_eq!(suspects.next(0, 9), [1]);
        assert_eq!(suspects.next(1, 9), [0; 0]);
        assert_eq!(suspects.next(0, 9), [2]);
        assert_eq!(suspects.next(0, 9), [3]);
        suspects.add(4);
        assert_eq!(suspects.next(1, 0), [0; 0], "no room");
        assert_eq!(suspects.next(1, 9), [4]);
    }
}
