//! How far a map is, for people: a bar on a terminal, and the failures at the end.
//!
//! Owns stderr but for what programs write there themselves.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sink::figures::{counted, thousands};

/// A bar that nobody asked for comes only when it takes longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many failures are told one by one.
const TOLD_MAX: u64 = 10;

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shown {
    /// A bar once it takes long, where there is a terminal for nothing else.
    #[default]
    WhenLong,
    /// A bar from the start.
    Bar,
}

/// Counts units, and shows how many.
pub struct Tally {
    /// Units that went well.
    pub succeeded: u64,
    /// Units that have failed.
    pub failed: u64,
    total: Option<u64>,
    start: Instant,
    shown: Shown,
    bar: Option<ProgressBar>,
}

impl Tally {
    /// Nothing is done. `total` is how many units there will be, where that is known.
    pub fn new(shown: Shown, total: Option<u64>) -> Self {
        let mut tally =
            Self { succeeded: 0, failed: 0, total, start: Instant::now(), shown, bar: None };
        tally.show();
        tally
    }

    /// A unit went well.
    pub fn succeed(&mut self) {
        self.succeeded += 1;
        self.show();
    }

    /// A unit has failed; `told` says how, for people.
    pub fn fail(&mut self, told: impl FnOnce() -> String) {
        self.failed += 1;
        if self.failed <= TOLD_MAX {
            self.say(&told());
        } else if self.failed == TOLD_MAX + 1 {
            self.say("further failures are counted only");
        }
        self.show();
    }

    /// Takes the bar away, and says how many have failed.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.failed > TOLD_MAX {
            let all = counted(self.succeeded + self.failed, ["unit", "units"]);
            self.say(&format!("{} of {all} failed", thousands(self.failed)));
        }
    }

    /// Nobody may be left to read it; that is no reason to fail.
    pub fn say(&self, line: &str) {
        let write = || writeln!(io::stderr(), "pipeline: {line}");
        let _ = match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        };
    }

    fn show(&mut self) {
        if self.bar.is_none() && self.is_due() {
            self.bar = Some(bar(self.total));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.succeeded + self.failed);
            if self.failed > 0 {
                bar.set_message(format!(", {} failed", thousands(self.failed)));
            }
        }
    }

    fn is_due(&self) -> bool {
        match self.shown {
            Shown::Bar => true,
            Shown::WhenLong => {
                self.start.elapsed() > PATIENCE
                    && io::stderr().is_terminal()
                    && !io::stdout().is_terminal()
            }
        }
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    const KNOWN: &str = "{bar:30} {human_pos} of {human_len}{msg}, {per_sec}, {eta} left";
    const UNKNOWN: &str = "{spinner} {human_pos}{msg}, {per_sec}, {elapsed}";
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(8));
    let template = if total.is_some() { KNOWN } else { UNKNOWN };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
