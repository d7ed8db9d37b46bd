//! What those who look on are told: how the run stands, how it got there, and what was said last.
//!
//! Owns how often that is put together, and how much is kept of it. Refuses to serve it: the page has a
//! thread of its own. Without a page and without a run directory nothing is put together.

use std::{
    collections::VecDeque,
    io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proto::time::Time;

use super::{
    http::{Page, told::Line},
    relay::Said,
};
use crate::runs::{
    history::History,
    history_file::{self, Keeper},
    wire::Details,
};

/// It is kept no more often.
const KEPT_EVERY: Duration = Duration::from_secs(10);
/// It is put together no more often.
const INTERVAL: Duration = Duration::from_millis(500);
/// So many lines are kept.
const LINES_MAX: usize = 100;
/// Of a longer line the beginning.
const LINE_CHARS_MAX: usize = 400;

/// See the module.
#[derive(Debug, Default)]
pub struct View {
    looked: Option<Time>,
    kept: Time,
    keeper: Option<Keeper>,
    history: Arc<History>,
    lines: VecDeque<Line>,
}

impl View {
    /// Keeps how the run goes on in its run directory, behind what an earlier launcher has kept there.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn kept_in(run_dir: &Path) -> io::Result<Self> {
        let mut history = history_file::read(run_dir).unwrap_or_default();
        let goes_on = std::mem::take(&mut history.is_over);
        let (history, keeper) = (Arc::new(history), Keeper::start(run_dir)?);
        if goes_on {
            // Or one that is killed now would seem to have ended.
            keeper.keep(history.clone());
        }
        Ok(Self { history, keeper: Some(keeper), ..Self::default() })
    }

    /// A process has written these.
    pub fn said(&mut self, process: &str, lines: &[Said]) {
        for line in &lines[lines.len().saturating_sub(LINES_MAX)..] {
            if self.lines.len() >= LINES_MAX {
                self.lines.pop_front();
            }
            self.lines.push_back(Line {
                process: process.to_owned(),
                unit: line.unit.as_deref().map(str::to_owned),
                text: line.text.chars().take(LINE_CHARS_MAX).collect(),
            });
        }
    }

    /// Whether it is time to put it together.
    pub fn is_due(&self, now: Time) -> bool {
        self.looked.is_none_or(|at| now.since(at) >= INTERVAL)
    }

    /// The run stands so.
    pub fn look(&mut self, now: Time, details: Details, page: Option<&Page>) {
        self.looked = Some(now);
        Arc::make_mut(&mut self.history).note(clock(), &details);
        if let Some(keeper) = self.keeper.as_ref().filter(|_| now.since(self.kept) >= KEPT_EVERY) {
            self.kept = now;
            keeper.keep(self.history.clone());
        }
        if let Some(page) = page {
            page.tell(details, self.history.clone(), self.lines.iter().cloned().collect());
        }
    }

    /// The run has stood so at its end.
    pub fn end(&mut self, mut details: Details, page: Option<&Page>) {
        // What was told last of them is no more.
        details.oldest.clear();
        Arc::make_mut(&mut self.history).end(clock(), &details);
        if let Some(keeper) = self.keeper.take() {
            keeper.end(self.history.clone());
        }
        if let Some(page) = page {
            page.tell(details, self.history.clone(), self.lines.iter().cloned().collect());
        }
    }
}

/// Seconds since 1970.
fn clock() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
