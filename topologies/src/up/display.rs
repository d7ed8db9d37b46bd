//! What people see of a run: a bar on a terminal, lines anywhere else.
//!
//! Owns stderr while a run lasts, so that what the processes say never tears the bar. Writes
//! nothing to stdout, which carries data.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proto::{
    lines::{by_hand, harmless},
    telling::{self, Level},
};
use serde_json::{Map, Value};
use sink::figures::thousands;

use super::{
    progress::{Progress, seconds},
    relay::{Said, Writer},
};

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

/// A line that is said again and again is told of so often.
const FOLD: Duration = Duration::from_secs(2);

/// Lines of programs of one kind that are equal, in a row.
#[derive(Default)]
struct Fold {
    text: Option<String>,
    more: u64,
    since: Option<Instant>,
}

impl Fold {
    /// Takes the next line; gives how often the one before was said again, if it is another one now.
    fn take(&mut self, text: &str) -> Option<u64> {
        if self.text.as_deref() == Some(text) {
            self.since.get_or_insert_with(Instant::now);
            self.more += 1;
            return None;
        }
        self.text = Some(text.into());
        self.take_more(Duration::ZERO)
    }

    /// How often it was said again, if it has been waited for that for so long.
    fn take_more(&mut self, waited: Duration) -> Option<u64> {
        self.since.take_if(|since| since.elapsed() >= waited)?;
        Some(std::mem::take(&mut self.more))
    }
}

fn folded(kind: &str, more: u64) -> String {
    format!("{kind}: … × {} more", thousands(more))
}

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
    terminal: bool,
    bar: Option<ProgressBar>,
    lines: bool,
    told: Progress,
    told_at: Instant,
    echoes: VecDeque<(Instant, String)>,
    folds: BTreeMap<String, Fold>,
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
            terminal,
            bar: (shown && terminal).then(bar),
            lines: shown && !terminal,
            told: Progress::default(),
            told_at: Instant::now(),
            echoes: VecDeque::new(),
            folds: BTreeMap::new(),
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

    /// Shows lines that a process has written. `kind` is what it has in common with others.
    pub fn said(&mut self, name: &str, kind: &str, lines: &[Said]) {
        let json = telling::is_json();
        let mut block = Vec::new();
        for line in lines {
            let text = if self.terminal { harmless(&line.text) } else { (&*line.text).into() };
            match line.writer {
                Writer::Role => {
                    let text = bare(&text);
                    let news = if json { timeless(text) } else { text.to_owned() };
                    if !text.trim().is_empty() && !self.is_echo(kind, &news) {
                        block.push(match json {
                            true => telling::relayed(name, text),
                            false => by_hand(name, None, text),
                        });
                    }
                }
                Writer::Program if json => block.push(told_by_program(name, line)),
                Writer::Program => {
                    let fold = self.folds.entry(kind.into()).or_default();
                    let before = fold.take(&text);
                    block.extend(before.map(|more| folded(kind, more)));
                    if fold.more == 0 {
                        block.push(by_hand(name, line.unit.as_deref(), &text));
                    }
                }
            }
        }
        if !block.is_empty() {
            self.write(&block.join("\n"));
        }
    }

    /// Tells how often the last line of each kind was said again, once in a while.
    pub fn unfold(&mut self) {
        self.tell_folds(FOLD);
    }

    fn tell_folds(&mut self, waited: Duration) {
        let folds = self.folds.iter_mut();
        let told = folds.filter_map(|(kind, fold)| Some(folded(kind, fold.take_more(waited)?)));
        let told: Vec<String> = told.collect();
        told.iter().for_each(|line| self.write(line));
    }

    /// Shows a line of this program's own.
    pub fn notice(&mut self, text: &str) {
        self.write(&own(text, Map::new()));
    }

    /// Takes the bar away; what is written from now on stays.
    pub fn finish(&mut self) {
        self.tell_folds(Duration::ZERO);
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

/// What a program of a stage wrote, for scripts.
fn told_by_program(name: &str, line: &Said) -> String {
    let unit = line.unit.as_ref().map(|unit| ("unit".to_owned(), (&**unit).into()));
    telling::object(Level::Info, name, &line.text, Map::from_iter(unit))
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
    fn equal_lines_in_a_row_are_counted() {
        let mut fold = Fold::default();
        let mut told = Vec::new();
        for line in ["a", "a", "a", "", "", "a", "b"] {
            told.extend(fold.take(line));
        }
        assert_eq!(told, [2, 1]);
        assert_eq!(fold.take_more(Duration::ZERO), None);
        assert_eq!(fold.take("b"), None);
        assert_eq!(fold.take_more(Duration::from_secs(1_000)), None);
        assert_eq!(fold.take_more(Duration::ZERO), Some(1));
    }

    #[test]
    fn a_process_is_named_once() {
        assert_eq!(bare("worker: unknown key"), "unknown key");
        assert_eq!(bare(" WARN lost the sink"), " WARN lost the sink");
    }
}
