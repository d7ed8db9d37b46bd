//! Whether a stage fails with every unit that it gets.
//!
//! Owns what is counted for that, since this sink began: a run that is resumed begins anew, since its
//! user may have mended what failed. Refuses to end anything.

use proto::{frame::Failing, gist::gist};

/// The longest line of an error that is told.
const ERROR_CHARS_MAX: usize = 500;

/// The first stage that nothing has come through yet, and what has failed there.
#[derive(Debug, Default)]
pub struct Luck {
    // Something has come through all stages before this one; the sink itself counts as the last.
    reached: usize,
    dead: u64,
    error: String,
    // It has changed since it was last asked for.
    is_news: bool,
}

impl Luck {
    /// A unit has come through all stages before this one: a result through all there are.
    pub fn came_to(&mut self, stage: usize) {
        if stage > self.reached {
            let is_news = self.is_news || self.dead > 0;
            *self = Self { reached: stage, is_news, ..Self::default() };
        }
    }

    /// A unit has failed for good in this stage, so the ones before have done their part.
    pub fn failed_in(&mut self, stage: usize, error: &str) {
        self.came_to(stage);
        if stage < self.reached {
            return;
        }
        if self.dead == 0 {
            self.error = gist(error).chars().take(ERROR_CHARS_MAX).collect();
        }
        self.dead += 1;
        self.is_news = true;
    }

    /// The stage that has failed with every unit, if that has changed since this was last
    /// asked: the stage, how many units, and what the first of them failed with.
    pub fn take_news(&mut self, name: impl FnOnce(usize) -> String) -> Option<Option<Failing>> {
        if !std::mem::take(&mut self.is_news) {
            return None;
        }
        let failing =
            || Failing { stage: name(self.reached), dead: self.dead, error: self.error.clone() };
        Some((self.dead > 0).then(failing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(luck: &mut Luck) -> Option<Option<(usize, u64, String)>> {
        let mut stage = 0;
        let news = luck.take_news(|number| {
            stage = number;
            String::new()
        });
        news.map(|failing| failing.map(|failing| (stage, failing.dead, failing.error)))
    }

    #[test]
    fn a_stage_fails_as_long_as_nothing_has_come_through_it() {
        let mut luck = Luck::default();
        assert_eq!(news(&mut luck), None);
        luck.failed_in(0, "no route");
        luck.failed_in(0, "other");
        assert_eq!(news(&mut luck), Some(Some((0, 2, "no route".into()))));
        assert_eq!(news(&mut luck), None);
        luck.came_to(1);
        assert_eq!(news(&mut luck), Some(None));
        luck.failed_in(0, "no route");
        assert_eq!(news(&mut luck), None);
    }

    #[test]
    fn a_death_in_a_later_stage_shows_that_the_earlier_one_works() {
        let mut luck = Luck::default();
        luck.failed_in(0, "once");
        luck.failed_in(1, "Traceback (most recent call last):\n  File\nKeyError: 'a'");
        luck.failed_in(0, "once more");
        assert_eq!(news(&mut luck), Some(Some((1, 1, "KeyError: 'a'".into()))));
        luck.came_to(2);
        assert_eq!(news(&mut luck), Some(None));
    }
}
