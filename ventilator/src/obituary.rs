//! What the log says of units that failed for good.
//!
//! Owns the folding of equal words: a million units that die of one cause are a few lines, which say
//! how many more there were. The letters have all of it; refuses to write any.

use proto::{frame::Dead, gist::gist};
use tracing::warn;

/// The words that were told last, and how many of the same there were since.
#[derive(Debug, Default)]
pub struct Obituary {
    error: String,
    more: u64,
    told: u64,
}

impl Obituary {
    /// A unit is dead. Of the same words the tenth is told, the hundredth, and so on.
    pub fn note(&mut self, dead: &Dead) {
        let error = gist(&dead.error);
        if self.error == error {
            self.more += 1;
            if self.more + 1 == (self.told + 1).saturating_mul(10) {
                self.tell();
            }
            return;
        }
        self.tell();
        warn!(unit = dead.root, attempt = dead.attempts, %error, "dead-lettered");
        *self = Self { error: error.to_owned(), more: 0, told: 0 };
    }

    /// Tells how many more there were than was told, if there were.
    pub fn tell(&mut self) {
        let news = self.more - self.told;
        if news > 0 {
            let error = &self.error;
            warn!(%error, "dead-lettered, \u{d7} {news} more");
            self.told = self.more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(error: &str) -> Dead {
        Dead {
            root: 0,
            path: vec![],
            stage: 0,
            input: vec![1],
            error: error.into(),
            attempts: 1,
            worker: "w".into(),
        }
    }

    /// A million equal warnings are a few lines, and none is lost from the count.
    #[test]
    fn equal_words_are_counted_and_told_now_and_then() {
        let mut obituary = Obituary::default();
        let mut told = Vec::new();
        for number in 1..=1_000_000_u64 {
            let before = obituary.told;
            obituary.note(&dead("Traceback (most recent call last):\n  x\nValueError: no"));
            if obituary.told != before || number == 1 {
                told.push(number);
            }
        }
        assert_eq!(told, [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000]);
        assert_eq!((obituary.more, obituary.told), (999_999, 999_999));
        obituary.note(&dead("another"));
        assert_eq!((obituary.error.as_str(), obituary.more), ("another", 0));
    }
}
