//! `pipeline top`: a run that goes on, in the terminal.
//!
//! Owns the picture and the keys. What is shown the launcher of the run says, twice a second; nothing
//! of the run waits for this. When it is over, how it ended is told.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use proto::process::exit_code;
use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    layout::{Constraint, Layout},
    style::{Modifier, Style},
    text::Line,
    widgets::{Gauge, Row, Table},
};
use sink::figures::thousands;

use super::{Format, complain, print, ps::rate};
use crate::{
    runs::{
        call::{self, CallError, PATIENCE},
        choice,
        entry::Entry,
        wire::{Ask, Details, Reply, State},
    },
    up::{exit, progress::seconds},
};

/// How often the launcher is asked.
const INTERVAL: Duration = Duration::from_millis(500);

/// Shows how a run does, until it is over
#[derive(Debug, Args)]
pub(super) struct TopArgs {
    /// The run: its name, its directory, its topology or its id [default: the only one]
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// How it is printed where there is no terminal: once
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl TopArgs {
    pub(super) fn run(self) -> ExitCode {
        let run = match choice::choose(self.run.as_deref()) {
            Ok(run) => run,
            Err(error) => {
                complain(&error);
                return exit_code(exit::NO_INPUT);
            }
        };
        let interactive = io::stdout().is_terminal() && io::stdin().is_terminal();
        if !interactive || self.output == Format::Json {
            return exit_code(once(&run, self.output));
        }
        let shown = ratatui::try_init().and_then(|terminal| {
            let shown = Screen::new(&run).show(terminal);
            ratatui::restore();
            shown
        });
        exit_code(match shown {
            Ok(told) => {
                let _ = writeln!(io::stderr(), "{told}");
                exit::COMPLETE
            }
            Err(error) => {
                complain(&format_args!("the terminal cannot be used: {error}"));
                exit::INPUT_OUTPUT
            }
        })
    }
}

/// How the run does.
pub(super) fn ask(run: &Entry) -> Result<Details, CallError> {
    match call::call(run, Ask::Details, Some(PATIENCE))? {
        Reply::Details(details) => Ok(*details),
        _ => Err(CallError::Foreign { name: run.name.clone(), pid: run.pid }),
    }
}

/// One picture, where there is no terminal.
fn once(run: &Entry, format: Format) -> i32 {
    match (ask(run), format) {
        (Ok(details), Format::Json) => {
            print(&format!("{:#}\n", serde_json::to_value(&details).unwrap_or_default()))
        }
        (Ok(details), Format::Text) => {
            let mut text = format!("{}\n", headline(run, &details));
            for row in stage_rows(&details) {
                text.push_str(row.join("  ").trim_end());
                text.push('\n');
            }
            print(&text)
        }
        (Err(error), _) => {
            complain(&error);
            exit::NO_INPUT
        }
    }
}

fn headline(run: &Entry, details: &Details) -> String {
    let status = &details.status;
    let of = status.total.map_or(String::new(), |total| format!(" of {}", thousands(total)));
    let left = status
        .left_s
        .map_or(String::new(), |left| format!(", {} left", seconds(Duration::from_secs(left))));
    let dead = match status.dead {
        0 => String::new(),
        dead => format!(", {} dead", thousands(dead)),
    };
    format!(
        "{} {}: {}{of} units, {}/s{left}, {} workers{dead}",
        run.name,
        status.state.word(),
        thousands(status.done),
        rate(status.rate),
        status.workers,
    )
}

const STAGE_COLUMNS: [&str; 6] = ["STAGE", "WORKERS", "UNITS", "RATE", "BUSY", ""];

fn stage_rows(details: &Details) -> Vec<Vec<String>> {
    let limits = details.limiting();
    let head = STAGE_COLUMNS.map(str::to_owned).to_vec();
    let rows = details.stages.iter().enumerate().map(|(index, stage)| {
        vec![
            stage.name.clone(),
            stage.workers.to_string(),
            thousands(stage.units),
            format!("{}/s", rate(stage.rate)),
            percent(stage.busy),
            if limits == Some(index) { "limits the run".into() } else { String::new() },
        ]
    });
    [head].into_iter().chain(rows).collect()
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// What is shown, and what was chosen.
struct Screen<'a> {
    run: &'a Entry,
    details: Option<Details>,
    chosen: usize,
    // What came of the last key.
    told: String,
}

impl<'a> Screen<'a> {
    fn new(run: &'a Entry) -> Self {
        Self { run, details: None, chosen: 0, told: String::new() }
    }

    /// Until the run is over or someone has seen enough: what is to be said then.
    fn show(mut self, mut terminal: DefaultTerminal) -> io::Result<String> {
        let mut next = Instant::now();
        loop {
            if Instant::now() >= next {
                match ask(self.run) {
                    Ok(details) => self.details = Some(details),
                    Err(CallError::Gone { name, .. }) => {
                        return Ok(format!(
                            "`{name}` is over; `pipeline summary` and `pipeline logs` tell more"
                        ));
                    }
                    Err(error) => self.told = error.to_string(),
                }
                next = Instant::now() + INTERVAL;
            }
            terminal.draw(|frame| self.draw(frame))?;
            let wait = next.saturating_duration_since(Instant::now());
            if event::poll(wait)?
                && let Event::Key(key) = event::read()?
                && key.kind == KeyEventKind::Press
                && self.pressed(key)
            {
                return Ok(format!("`{}` goes on; `pipeline down` ends it", self.run.name));
            }
        }
    }

    /// Does what a key says; whether that was to leave.
    fn pressed(&mut self, key: KeyEvent) -> bool {
        let stages = self.details.as_ref().map_or(0, |details| details.stages.len());
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Up => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::Down => self.chosen = (self.chosen + 1).min(stages.saturating_sub(1)),
            KeyCode::Char('p') => {
                let paused = |details: &Details| details.status.state == State::Paused;
                let is_paused = self.details.as_ref().is_some_and(paused);
                self.wish(if is_paused { Ask::Resume } else { Ask::Pause });
            }
            KeyCode::Char('+') => self.scale(1),
            KeyCode::Char('-') => self.scale(-1),
            _ => {}
        }
        false
    }

    fn scale(&mut self, by: i32) {
        let Some(stage) = self.details.as_ref().and_then(|all| all.stages.get(self.chosen)) else {
            return;
        };
        let (stage, workers) = (stage.name.clone(), stage.workers.saturating_add_signed(by));
        if workers > 0 {
            self.wish(Ask::Scale { stage, workers });
        }
    }

    fn wish(&mut self, wish: Ask) {
        self.told = match call::call(self.run, wish, Some(PATIENCE)) {
            Ok(Reply::Done(told)) => told,
            Ok(Reply::Refused { problem, .. }) => problem,
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let Some(details) = &self.details else { return };
        let stages = details.stages.len() as u16 + 1;
        let areas = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(stages),
            Constraint::Length(1),
            Constraint::Min(0),
            Constraint::Length(1),
            Constraint::Length(1),
        ])
        .split(frame.area());
        let bold = Style::new().add_modifier(Modifier::BOLD);
        frame.render_widget(Line::styled(headline(self.run, details), bold), areas[0]);
        if let Some(total) = details.status.total.filter(|total| *total > 0) {
            let ratio = (details.status.done as f64 / total as f64).clamp(0.0, 1.0);
            frame.render_widget(Gauge::default().ratio(ratio), areas[1]);
        }
        let rows = stage_rows(details).into_iter().enumerate().map(|(index, row)| {
            let chosen = index == self.chosen + 1;
            let mark = if chosen { "> " } else { "  " };
            let style = if index == 0 { bold } else { Style::new() };
            let cells = row.into_iter().enumerate();
            let cells =
                cells.map(|(at, cell)| if at == 0 { format!("{mark}{cell}") } else { cell });
            Row::new(cells.collect::<Vec<_>>()).style(style)
        });
        let widths = [24, 8, 16, 16, 6, 16].map(Constraint::Length);
        frame.render_widget(Table::new(rows, widths), areas[3]);
        let head = Row::new(["  WORKER", "STAGE", "UNITS", "BUSY"]).style(bold);
        let workers = details.workers.iter().map(|worker| {
            Row::new([
                format!("  {}", worker.name),
                worker.stage.clone(),
                thousands(worker.units),
                percent(worker.busy),
            ])
        });
        let widths = [32, 24, 16, 6].map(Constraint::Length);
        let all = [head].into_iter().chain(workers);
        frame.render_widget(Table::new(all, widths), areas[5]);
        frame.render_widget(Line::raw(self.told.as_str()), areas[6]);
        const KEYS: &str = "q leave  p pause, go on  ↑↓ choose a stage  + - its workers";
        frame.render_widget(Line::styled(KEYS, Style::new().add_modifier(Modifier::DIM)), areas[7]);
    }
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};
    use serde_json::json;

    use super::*;

    fn details() -> Details {
        serde_json::from_value(json!({
            "status": {
                "state": "running", "done": 1_200, "total": 4_000, "rate": 99.6, "left_s": 28,
                "workers": 3, "dead": 1,
            },
            "stages": [
                {"name": "fetch", "workers": 2, "units": 1_300, "outputs": 1_300, "rate": 100.0, "busy": 0.97},
                {"name": "parse", "workers": 1, "units": 1_250, "outputs": 1_250, "rate": 99.0, "busy": 0.2},
            ],
            "workers": [{"name": "fetch-1", "stage": "fetch", "units": 700, "busy": 0.98}],
        }))
        .unwrap()
    }

    fn run() -> Entry {
        serde_json::from_value(json!({
            "version": 1, "id": "0a1b2c3d", "pid": 7, "name": "pages", "topology": "/t.toml",
            "run_dir": null, "since": 0, "socket": "/s",
        }))
        .unwrap()
    }

    #[test]
    fn the_picture_names_the_stage_that_limits() {
        let run = run();
        let screen = Screen { details: Some(details()), ..Screen::new(&run) };
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let text = terminal.backend().to_string();
        for part in [
            "pages running: 1,200 of 4,000 units, 100/s",
            "3 workers, 1 dead",
            "30%",
            "> fetch",
            "limits the run",
            "fetch-1",
            "q leave",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert_eq!(details().limiting(), Some(0));
        let mut rest = details();
        rest.stages.remove(0);
        assert_eq!(rest.limiting(), None);
    }
}
