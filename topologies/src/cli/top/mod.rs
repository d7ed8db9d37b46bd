//! `pipeline top`: a run that goes on, in the terminal.
//!
//! Owns the keys; [`picture`] draws. What is shown the launcher of the run says, twice a second; nothing
//! of the run waits for this. When it is over, how it ended is told.

mod picture;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use proto::process::exit_code;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};

use self::picture::{Picture, headline, stage_rows};
pub(super) use self::picture::{lasted, served};
use super::{
    Format, complain,
    onlooker::{Onlooker, Seen, ask},
    print,
};
use crate::{
    runs::{
        call::{self, PATIENCE},
        choice,
        entry::Entry,
        wire::{Ask, Details, Reply, State},
    },
    up::exit,
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

/// One picture, where there is no terminal.
fn once(run: &Entry, format: Format) -> i32 {
    match (ask(run), format) {
        (Ok(details), Format::Json) => {
            print(&format!("{:#}\n", serde_json::to_value(&details).unwrap_or_default()))
        }
        (Ok(details), Format::Text) => {
            let mut text = format!("{}\n", headline(run, &details));
            if let Some(service) = &details.status.service {
                text += &format!("{}\n", served(service));
            }
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

/// What is shown, and what was chosen.
struct Screen<'a> {
    run: &'a Entry,
    details: Option<Details>,
    chosen: usize,
    // What came of the last key.
    told: String,
    // Why the launcher does not answer, if it does not.
    silence: String,
}

impl<'a> Screen<'a> {
    fn new(run: &'a Entry) -> Self {
        Self { run, details: None, chosen: 0, told: String::new(), silence: String::new() }
    }

    /// Until the run is over or someone has seen enough: what is to be said then.
    fn show(mut self, mut terminal: DefaultTerminal) -> io::Result<String> {
        let onlooker = Onlooker::of(self.run);
        let mut next = Instant::now();
        loop {
            if Instant::now() >= next {
                match onlooker.look() {
                    Seen::Details(details) => self.heard(*details),
                    Seen::Nothing(error) => self.silence = error.to_string(),
                    Seen::Over(told) => return Ok(told),
                }
                next = Instant::now() + INTERVAL;
            }
            terminal.draw(|frame| self.picture().draw(frame))?;
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

    fn heard(&mut self, details: Details) {
        self.details = Some(details);
        self.silence.clear();
    }

    fn picture(&self) -> Picture<'_> {
        let told = if self.silence.is_empty() { &self.told } else { &self.silence };
        Picture { run: self.run, details: self.details.as_ref(), chosen: self.chosen, told }
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
}
