//! What people see of a run: a bar on a terminal, lines anywhere else.
//!
//! Owns stderr while a run lasts, so that what the processes say never tears the bar. Writes
//! nothing to stdout, which carries data.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proto::telling::{self, Level};
use serde_json::{Map, Value};
use sink::figures::thousands;

use super::progress::{Progress, seconds};

/// Who tells what is nobody else's, where that is asked.
pub const PROCESS: &str = "pipeline";
/// Lines of progress come no more often.
const LINE_INTERVAL: Duration = Duration::from_secs(2);
/// The bar moves as often, so that it is seen to live.
const BAR_INTERVAL: Duration = Duration::from_millis(120);
/// What one process of a kind has just said is not repeated for another; the last such lines.
const ECHOES_MAX: usize = 64;
/// After that long it is news again.
const ECHO: Duration = Duration::from_secs(10);

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// Progress, notices and what the processes say.
    Normal,
    /// No progress.
    Quiet,
}

/// What people see of a run.
pub struct Display {
    bar: Option<ProgressBar>,
    lines: bool,
    told: Progress,
    told_at: Instant,
    echoes: VecDeque<(Instant, String)>,
}

impl Display {
    /// Shows nothing yet. Where results go to the same terminal they are progress enough.
    pub fn new(voice: Voice, results_on_stdout: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let crowded = results_on_stdout && io::stdout().is_terminal();
        let shown = voice == Voice::Normal && !crowded;
        // A bar is for people.
        let terminal = terminal && !telling::is_json();
        Self {
            bar: (shown && terminal).then(bar),
            lines: shown && !terminal,
            told: Progress::default(),
            told_at: Instant::now(),
            echoes: VecDeque::new(),
        }
    }

    /// Shows how far the run has got.
    pub fn progress(&mut self, progress: Progress) {
        if let Some(bar) = &self.bar {
            show(bar, progress);
        }
        let elapsed = self.told_at.elapsed();
        if self.lines && elapsed >= LINE_INTERVAL && progress != self.told {
            let news = progress.committed.saturating_sub(self.told.committed);
            let line = progress.line(news as f64 / elapsed.as_secs_f64());
            self.told = progress;
            self.told_at = Instant::now();
            let facts = [("done", Some(progress.committed)), ("total", progress.total)];
            let facts = facts.into_iter().filter_map(|(name, of)| Some((name.into(), of?.into())));
            self.write(&own(&line, facts.collect()));
        }
    }

    /// Shows a line that a process has written. `kind` is what it has in common with others.
    pub fn said(&mut self, name: &str, kind: &str, line: &str) {
        let line = bare(line);
        if line.trim().is_empty() {
            return;
        }
        if telling::is_json() {
            if !self.is_echo(kind, &timeless(line)) {
                self.write(&telling::relayed(name, line));
            }
        } else if !self.is_echo(kind, line) {
            self.write(&format!("{name}: {line}"));
        }
    }

    /// Shows a line of this program's own.
    pub fn notice(&mut self, text: &str) {
        self.write(&own(text, Map::new()));
    }

    /// Takes the bar away; what is written from now on stays.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn is_echo(&mut self, kind: &str, line: &str) -> bool {
        let now = Instant::now();
        let text = format!("{kind}: {line}");
        self.echoes.retain(|(at, _)| now.duration_since(*at) < ECHO);
        if self.echoes.iter().any(|(_, known)| *known == text) {
            return true;
        }
        if self.echoes.len() == ECHOES_MAX {
            self.echoes.pop_front();
        }
        self.echoes.push_back((now, text));
        false
    }

    /// Nobody may be left to read it; that is no reason to fail.
    fn write(&self, line: &str) {
        let write = || writeln!(io::stderr(), "{line}");
        let _ = match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        };
    }
}

/// Shows a line of this program's own when there is no display.
pub fn notice(text: &str) {
    let _ = writeln!(io::stderr(), "{}", own(text, Map::new()));
}

/// A line of this program's own; `facts` are for scripts.
fn own(text: &str, facts: Map<String, Value>) -> String {
    match telling::is_json() {
        true => telling::object(Level::Info, PROCESS, text, facts),
        false => text.to_owned(),
    }
}

/// A line for scripts without its time, by which it differs from others that say the same.
fn timeless(line: &str) -> String {
    match serde_json::from_str(line) {
        Ok(Value::Object(mut object)) => {
            object.remove("timestamp");
            object.remove("process");
            Value::Object(object).to_string()
        }
        _ => line.to_owned(),
    }
}

/// A line without the name of the role that a program puts in front of its last error: the
/// process's own name stands there already.
fn bare(line: &str) -> &str {
    let roles = ["sink: ", "ventilator: ", "worker: "];
    roles.iter().find_map(|role| line.strip_prefix(role)).unwrap_or(line)
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    bar.set_style(style("{spinner} {prefix}, {msg}"));
    bar.enable_steady_tick(BAR_INTERVAL);
    bar
}

/// A style of ours; they are all well-formed.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ ")
}

fn show(bar: &ProgressBar, progress: Progress) {
    if let Some(total) = progress.total
        && bar.length() != Some(total)
    {
        bar.set_length(total);
        bar.set_style(style("{spinner} {wide_bar} {prefix}, {msg}"));
    }
    bar.set_position(progress.committed);
    bar.set_prefix(progress.reached());
    let rate = thousands(bar.per_sec().round() as u64);
    let left = match bar.eta() {
        eta if progress.total.is_some() && !eta.is_zero() => format!(", {} left", seconds(eta)),
        _ => String::new(),
    };
    let running = format!("{rate}/s{left}, {}{}", progress.company(), progress.waiting());
    bar.set_message(progress.ending().unwrap_or(running));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kind_has_just_said_is_not_repeated() {
        let mut display = Display::new(Voice::Quiet, false);
        assert!(!display.is_echo("square", "no such program"));
        assert!(display.is_echo("square", "no such program"));
        assert!(!display.is_echo("cube", "no such program"));
        for number in 0..ECHOES_MAX {
            assert!(!display.is_echo("square", &number.to_string()));
        }
        assert!(!display.is_echo("square", "no such program"));
    }

    #[test]
    fn a_process_is_named_once() {
        assert_eq!(bare("worker: unknown key"), "unknown key");
        assert_eq!(bare(" WARN lost the sink"), " WARN lost the sink");
    }
}
