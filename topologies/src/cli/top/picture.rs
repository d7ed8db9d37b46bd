//! The picture of `pipeline top`: what a terminal of any size shows of a run.
//!
//! Owns what stands where, and what is left out where there is little room, which is said. What changes stays in its
//! place: the workers, of which there may be more or fewer, stand last. Refuses to ask anything.

use std::time::Duration;

use proto::service::Standing;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::Line,
    widgets::{Gauge, Row, Table},
};
use sink::figures::{counted, thousands};

use super::super::ps::rate;
use crate::{
    runs::{
        entry::Entry,
        wire::{Details, WorkerStanding},
    },
    up::progress::seconds,
};

/// Oldest units that are shown where there is room.
const OLDEST_MAX: u16 = 5;
/// Lines that workers have before oldest units get any: their heads, three of them, and how many more.
const WORKER_LINES: u16 = 5;
/// An empty line and the heads.
const HEAD_LINES: u16 = 2;
const KEYS: &str = "q leave  p pause, go on  ↑↓ choose a stage  + - its workers";

/// What is shown.
pub(super) struct Picture<'a> {
    pub run: &'a Entry,
    /// Nothing before the first answer.
    pub details: Option<&'a Details>,
    /// The place of a stage.
    pub chosen: usize,
    /// What came of the last key.
    pub told: &'a str,
}

impl Picture<'_> {
    pub fn draw(&self, frame: &mut Frame<'_>) {
        let Some(details) = self.details else { return };
        let stages = u16::try_from(details.stages.len() + 1).unwrap_or(u16::MAX);
        let room = frame.area().height.saturating_sub(stages.saturating_add(6));
        let oldest = room.saturating_sub(WORKER_LINES + HEAD_LINES).min(OLDEST_MAX);
        let heights = [1, 1, 1, stages, 1, if oldest > 0 { oldest + HEAD_LINES } else { 0 }];
        let heights = heights.map(Constraint::Length).into_iter();
        let rest = [Constraint::Min(0), Constraint::Length(1), Constraint::Length(1)];
        let areas = Layout::vertical(heights.chain(rest)).split(frame.area());
        frame.render_widget(Line::styled(headline(self.run, details), bold()), areas[0]);
        if let Some(total) = details.status.total.filter(|total| *total > 0) {
            let ratio = (details.status.done as f64 / total as f64).clamp(0.0, 1.0);
            frame.render_widget(Gauge::default().ratio(ratio), areas[1]);
        }
        if let Some(service) = &details.status.service {
            frame.render_widget(Line::raw(served(service)), areas[1]);
        }
        self.stages(frame, details, areas[3]);
        oldest_units(frame, details, areas[5]);
        workers(frame, details, areas[6]);
        let awaited = details.awaited.map(|unit| format!("the output waits for unit {unit}"));
        let told =
            if self.told.is_empty() { awaited.unwrap_or_default() } else { self.told.into() };
        frame.render_widget(Line::raw(told), areas[7]);
        frame.render_widget(Line::styled(KEYS, Style::new().add_modifier(Modifier::DIM)), areas[8]);
    }

    fn stages(&self, frame: &mut Frame<'_>, details: &Details, area: Rect) {
        let rows = stage_rows(details).into_iter().enumerate().map(|(index, row)| {
            let mark = if index == self.chosen + 1 { "> " } else { "  " };
            let style = if index == 0 { bold() } else { Style::new() };
            let cells = row.into_iter().enumerate();
            let cells =
                cells.map(|(at, cell)| if at == 0 { format!("{mark}{cell}") } else { cell });
            Row::new(cells.collect::<Vec<_>>()).style(style)
        });
        let widths = [24, 8, 16, 16, 6, 16].map(Constraint::Length);
        frame.render_widget(Table::new(rows, widths), area);
    }
}

/// What a service has, in place of how much there is left.
pub(in crate::cli) fn served(service: &Standing) -> String {
    let Standing { clients, queued, kept, oldest_ms, .. } = *service;
    let oldest = oldest_ms.map(|ms| format!(", the oldest for {}", lasted(ms)));
    format!(
        "{}, {} waiting{}, {} kept",
        counted(clients.into(), ["client", "clients"]),
        counted(queued, ["unit", "units"]),
        oldest.unwrap_or_default(),
        counted(kept, ["outcome", "outcomes"]),
    )
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// As many as there is room for, the oldest first.
fn oldest_units(frame: &mut Frame<'_>, details: &Details, area: Rect) {
    let head = Row::new(["  OLDEST UNIT", "WORKER", "SENT TO IT"]).style(bold());
    let rows = details.oldest.iter().map(|open| {
        let ago = format!("{} ago", lasted(open.ms));
        Row::new([format!("  {}", thousands(open.unit)), open.worker.clone(), ago])
    });
    let widths = [24, 32, 16].map(Constraint::Length);
    frame.render_widget(Table::new([head].into_iter().chain(rows), widths), area);
}

/// In tenths, as long as these are of interest.
pub(in crate::cli) fn lasted(ms: u64) -> String {
    match ms {
        ..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        ms => seconds(Duration::from_millis(ms)),
    }
}

/// In the order of the stages, and how many there is no room for.
fn workers(frame: &mut Frame<'_>, details: &Details, area: Rect) {
    let mut all: Vec<&WorkerStanding> = details.workers.iter().collect();
    all.sort_by_key(|worker| place_of(worker, details));
    // A launcher tells not all of very many.
    let count = all.len().max(details.status.workers as usize);
    let lines = usize::from(area.height.saturating_sub(1));
    let shown = if count > lines { lines.saturating_sub(1).min(all.len()) } else { all.len() };
    let head = Row::new(["  WORKER", "STAGE", "UNITS", "BUSY"]).style(bold());
    let rows = all.iter().take(shown).map(|worker| {
        Row::new([
            format!("  {}", worker.name),
            worker.stage.clone(),
            thousands(worker.units),
            percent(worker.busy),
        ])
    });
    let more = (count > shown).then(|| Row::new([format!("  … and {} more", count - shown)]));
    let widths = [32, 24, 16, 6].map(Constraint::Length);
    let all = [head].into_iter().chain(rows).chain(more);
    frame.render_widget(Table::new(all, widths), area);
}

/// By which `a-2` stands before `a-10`.
fn place_of<'a>(worker: &'a WorkerStanding, details: &Details) -> (usize, u64, &'a str) {
    let stage = details.stages.iter().position(|stage| stage.name == worker.stage);
    let number = worker.name.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
    (stage.unwrap_or(usize::MAX), number.unwrap_or(u64::MAX), &worker.name)
}

/// The run in a line.
pub(super) fn headline(run: &Entry, details: &Details) -> String {
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
        "{} {}: {}{of} units, {}/s{left}, {}{dead}",
        run.name,
        status.state.word(),
        thousands(status.done),
        rate(status.rate),
        counted(status.workers.into(), ["worker", "workers"]),
    )
}

const STAGE_COLUMNS: [&str; 6] = ["STAGE", "WORKERS", "UNITS", "RATE", "BUSY", ""];

/// A line for each stage, below their heads.
pub(super) fn stage_rows(details: &Details) -> Vec<Vec<String>> {
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

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn of_a_service_it_is_told_how_long_the_oldest_unit_waits() {
        let idle = Standing { clients: 1, kept: 2, ..Standing::default() };
        assert_eq!(served(&idle), "1 client, 0 units waiting, 2 outcomes kept");
        let busy = Standing { queued: 1_200, oldest_ms: Some(75_000), ..idle };
        let told = "1 client, 1,200 units waiting, the oldest for 1 min 15 s, 2 outcomes kept";
        assert_eq!(served(&busy), told);
    }

    fn details() -> Value {
        json!({
            "status": {
                "state": "running", "done": 1_200, "total": 4_000, "rate": 99.6, "left_s": 28,
                "workers": 4, "dead": 1,
            },
            "stages": [
                {"name": "fetch", "workers": 2, "units": 1_300, "outputs": 1_300, "rate": 100.0, "busy": 0.97},
                {"name": "parse", "workers": 1, "units": 1_250, "outputs": 1_250, "rate": 99.0, "busy": 0.2},
                {"name": "store", "workers": 1, "units": 1_240, "outputs": 1_240, "rate": 99.0, "busy": 0.0},
            ],
            "workers": [
                {"name": "parse-1", "stage": "parse", "units": 1_250, "busy": 0.2},
                {"name": "fetch-10", "stage": "fetch", "units": 600, "busy": 0.97},
                {"name": "store-1", "stage": "store", "units": 1_240, "busy": 0.0},
                {"name": "fetch-2", "stage": "fetch", "units": 700, "busy": 0.98},
            ],
            "oldest": [
                {"unit": 1_207, "worker": "fetch-2", "ms": 75_000},
                {"unit": 1_311, "worker": "fetch-10", "ms": 140},
            ],
        })
    }

    fn run() -> Entry {
        serde_json::from_value(json!({
            "version": 1, "id": "0a1b2c3d", "pid": 7, "name": "pages", "topology": "/t.toml",
            "run_dir": null, "since": 0, "socket": "/s",
        }))
        .unwrap()
    }

    /// The lines of a terminal of this size.
    fn shown(details: Value, size: (u16, u16)) -> Vec<String> {
        let details: Details = serde_json::from_value(details).unwrap();
        let picture = Picture { run: &run(), details: Some(&details), chosen: 1, told: "" };
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        terminal.draw(|frame| picture.draw(frame)).unwrap();
        let lines = terminal.backend().buffer().content().chunks(size.0.into());
        lines.map(|line| line.iter().map(|cell| cell.symbol()).collect()).collect()
    }

    #[test]
    fn a_terminal_shows_the_stages_the_oldest_units_and_the_workers() {
        let parts = [
            "pages running: 1,200 of 4,000 units, 100/s, 28 s left, 4 workers, 1 dead",
            "30%",
            "  STAGE",
            "  fetch",
            "limits the run",
            "> parse",
            "  store",
            "  OLDEST UNIT",
            "1 min 15 s ago",
            "0.1 s ago",
            "  WORKER",
            "  fetch-2 ",
            "  fetch-10 ",
            "  parse-1 ",
            "  store-1 ",
            "q leave",
        ];
        for size in [(80, 24), (200, 50)] {
            let lines = shown(details(), size);
            // Each stands below the one before, or beside it.
            let mut from = 0;
            for part in parts {
                let at = lines[from..].iter().position(|line| line.contains(part));
                from += at.unwrap_or_else(|| panic!("{part}\n{}", lines.join("\n")));
            }
            assert_eq!(from + 1, usize::from(size.1), "the keys stand at the bottom");
        }
    }

    #[test]
    fn only_a_stage_that_is_busy_limits() {
        let of = |details| serde_json::from_value::<Details>(details).unwrap().limiting();
        assert_eq!(of(details()), Some(0));
        let mut rest = details();
        rest["stages"].as_array_mut().unwrap().remove(0);
        assert_eq!(of(rest), None);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let mut crowd = details();
        let each =
            |n| json!({"name": format!("fetch-{n}"), "stage": "fetch", "units": n, "busy": 1.0});
        crowd["workers"] = (1..=100).map(each).collect();
        crowd["status"]["workers"] = 400.into();
        for (size, more) in [((80, 24), "  … and 395 more"), ((200, 50), "  … and 369 more")] {
            let lines = shown(crowd.clone(), size);
            let told: Vec<_> = lines.iter().filter(|line| line.contains("more")).collect();
            assert!(matches!(told.as_slice(), [line] if line.starts_with(more)), "{lines:#?}");
        }
    }

    #[test]
    fn a_unit_that_the_output_waits_for_is_told() {
        let mut waits = details();
        waits["awaited"] = 17.into();
        let lines = shown(waits, (80, 24));
        assert!(lines[22].starts_with("the output waits for unit 17 "), "{lines:#?}");
    }

    #[test]
    fn a_terminal_of_any_size_is_drawn_in() {
        for size in [(1, 1), (20, 3), (80, 8), (10, 50)] {
            assert_eq!(shown(details(), size).len(), usize::from(size.1));
        }
    }
}
