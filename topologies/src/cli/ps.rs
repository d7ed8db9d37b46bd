//! `pipeline ps`: the runs of this user that go on, a line each.
//!
//! Owns the table; how far each run has got its launcher says. All are asked at the same time, and
//! one that does not answer is shown all the same.

use std::{process::ExitCode, thread, time::Duration};

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use proto::{process::exit_code, service::Standing};
use serde_json::json;
use sink::figures::thousands;

use super::{Format, complain, print, top::lasted};
use crate::{
    runs::{
        call::{self, CallError},
        entry::{self, Entry},
        when,
        wire::{Ask, Reply, Status},
    },
    up::progress::seconds,
};

const COLUMNS: [&str; 10] =
    ["ID", "NAME", "STATE", "DONE", "TOTAL", "RATE", "LEFT", "WORKERS", "DEAD", "SINCE"];
/// Those of services, behind the others if there is one.
const OF_SERVICES: [&str; 4] = ["QUEUED", "OLDEST", "CLIENTS", "KEPT"];
/// The column that is none of numbers, behind the first three.
const SINCE: usize = 9;
/// What is not known.
const UNKNOWN: &str = "-";

/// Shows the runs of this user that go on here, and how far they have got.
#[derive(Debug, Args)]
pub(super) struct PsArgs {
    /// How they are printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl PsArgs {
    pub(super) fn run(self) -> ExitCode {
        let runs = ask(entry::all());
        exit_code(match self.output {
            Format::Json => {
                let runs: Vec<_> = runs.iter().map(fact).collect();
                print(&format!("{:#}\n", serde_json::Value::from(runs)))
            }
            Format::Text if runs.is_empty() => {
                complain(&"no run goes on");
                crate::up::exit::COMPLETE
            }
            Format::Text => print(&table(&runs)),
        })
    }
}

type Answered = (Entry, Option<Status>);

/// Those that have ended meanwhile are left out.
fn ask(runs: Vec<Entry>) -> Vec<Answered> {
    thread::scope(|scope| {
        let asking: Vec<_> = runs
            .into_iter()
            .map(|run| {
                scope.spawn(move || {
                    let reply = call::call(&run, Ask::Status, Some(call::GLANCE));
                    (run, reply)
                })
            })
            .collect();
        let answers = asking.into_iter().filter_map(|thread| thread.join().ok());
        answers
            .filter_map(|(run, reply)| match reply {
                Ok(Reply::Status(status)) => Some((run, Some(status))),
                Err(CallError::Gone { .. }) => None,
                _ => Some((run, None)),
            })
            .collect()
    })
}

fn table(runs: &[Answered]) -> String {
    let mut table = Table::new();
    let has_services = runs.iter().any(|(run, _)| run.service.is_some());
    let more = if has_services { &OF_SERVICES[..] } else { &[] };
    table.load_style(presets::NOTHING).set_header(COLUMNS.iter().chain(more));
    for run in runs {
        let more = has_services.then(|| of_service(run));
        table.add_row(row(run).into_iter().chain(more.into_iter().flatten()));
    }
    for column in (3..COLUMNS.len() + more.len()).filter(|column| *column != SINCE) {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = table.lines().map(|line| line.trim().to_owned() + "\n");
    lines.collect()
}

fn row((run, status): &Answered) -> [String; COLUMNS.len()] {
    let unknown = || UNKNOWN.to_owned();
    let of = |told: &dyn Fn(&Status) -> String| status.as_ref().map_or_else(unknown, told);
    [
        run.id.clone(),
        run.name.clone(),
        status.as_ref().map_or("silent", |status| status.state.word()).to_owned(),
        of(&|status| thousands(status.done)),
        of(&|status| status.total.map_or_else(unknown, thousands)),
        of(&|status| format!("{}/s", rate(status.rate))),
        of(&|status| status.left_s.map_or_else(unknown, |left| seconds(Duration::from_secs(left)))),
        of(&|status| status.workers.to_string()),
        of(&|status| thousands(status.dead)),
        when::told(run.since),
    ]
}

/// What a service has to do, and whose outcomes it keeps.
fn of_service((_, status): &Answered) -> [String; OF_SERVICES.len()] {
    let standing = status.as_ref().and_then(|status| status.service);
    let of = |told: &dyn Fn(&Standing) -> Option<String>| {
        standing.as_ref().and_then(told).unwrap_or_else(|| UNKNOWN.to_owned())
    };
    [
        of(&|service| Some(thousands(service.queued))),
        of(&|service| service.oldest_ms.map(lasted)),
        of(&|service| Some(service.clients.to_string())),
        of(&|service| Some(thousands(service.kept))),
    ]
}

/// Units a second; a slow rate needs a digit behind the point.
pub(super) fn rate(rate: f64) -> String {
    match rate {
        slow if slow > 0.0 && slow < 9.95 => format!("{slow:.1}"),
        rate => thousands(rate.round() as u64),
    }
}

fn fact((run, status): &Answered) -> serde_json::Value {
    let mut fact = json!({
        "id": run.id,
        "name": run.name,
        "pid": run.pid,
        "topology": run.topology,
        "run_dir": run.run_dir,
        "since": when::stamp(run.since),
        "page": run.page,
    });
    let status = status.map(|status| serde_json::to_value(status).unwrap_or_default());
    if let (Some(fact), Some(serde_json::Value::Object(status))) = (fact.as_object_mut(), status) {
        fact.extend(status);
    }
    fact
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::wire::State;

    fn run(name: &str) -> Entry {
        let json = json!({
            "version": 1, "id": "0a1b2c3d", "pid": 7, "name": name, "topology": "/t.toml",
            "run_dir": null, "since": 0, "socket": "/s",
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_run_has_a_line_whether_it_answers_or_not() {
        let status = Status {
            state: State::Running,
            done: 41_000,
            total: Some(100_000),
            rate: 2_950.4,
            left_s: Some(20),
            workers: 2,
            dead: 3,
            service: None,
        };
        let shown = table(&[(run("factorize"), Some(status)), (run("s"), None)]);
        let words: Vec<Vec<&str>> =
            shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0], COLUMNS);
        let expected = "0a1b2c3d factorize running 41,000 100,000 2,950/s 20 s 2 3 1970-01-01";
        assert_eq!(words[1][..11].join(" "), expected);
        assert_eq!(words[2][1..9].join(" "), "s silent - - - - - -");
        let standing = Standing { clients: 2, queued: 1_500, kept: 3, ..Standing::default() };
        let standing = Standing { oldest_ms: Some(2_500), ..standing };
        let told = Some(Status { service: Some(standing), ..status });
        let mut entry = run("s");
        entry.service = Some("ipc://s".into());
        let shown = table(&[(run("factorize"), Some(status)), (entry, told)]);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].ends_with("QUEUED  OLDEST  CLIENTS  KEPT"), "{shown}");
        assert!(lines[1].ends_with("-       -        -     -"), "{shown}");
        assert!(lines[2].ends_with("1,500   2.5 s        2     3"), "{shown}");
        assert_eq!((rate(0.0), rate(1.26), rate(31.4)), ("0".into(), "1.3".into(), "31".into()));
    }
}
