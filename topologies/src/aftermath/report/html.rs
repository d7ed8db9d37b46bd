//! A report as one HTML file that needs nothing else.
//!
//! Owns its parts and their order; refuses scripts. What stands in it is shown as text, whatever it is.

use std::fmt::{Display, Write};

use sink::figures::thousands;

use super::{
    Report,
    chart::{Series, chart},
    failures::Failure,
};
use crate::runs::history::{History, Point};

/// What such a file begins with.
pub const MARK: &str = "<!doctype html><!-- a report of pipeline -->";
const STYLE: &str = include_str!("report.css");

/// The file.
pub fn html(report: &Report) -> String {
    let name = report.run_dir.file_name().unwrap_or_default().to_string_lossy();
    let name = escaped(&name);
    let mut page = format!(
        "{MARK}\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\
         <link rel=\"icon\" href=\"data:,\"><title>{name}</title><style>{STYLE}</style></head>\
         <body><main><h1>{name}</h1>"
    );
    page += &whole(report);
    page += &over_time(report.history.as_ref());
    page += &workers(report);
    page += &failures("Failures of the first stage, by kind", &report.failures);
    page += &failures("Dead, by kind", &report.dead);
    page += &slowest(report);
    page + "</main></body></html>\n"
}

/// Text as HTML shows it.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn whole(report: &Report) -> String {
    let Some(summary) = &report.summary else {
        return "<p>This run is not finished.</p>".into();
    };
    let figures = [
        ("units in", thousands(summary.units_in)),
        ("results", thousands(summary.results)),
        ("filtered", thousands(summary.filtered)),
        ("dead", thousands(summary.dead)),
        ("tries in the first stage", thousands(summary.attempts)),
        ("seconds", format!("{:.1}", summary.seconds)),
        ("units a second", thousands(summary.units_per_second.round() as u64)),
    ];
    let mut text = String::from("<dl class=\"figures\">");
    for (name, value) in figures {
        let _ = write!(text, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    text += "</dl><h2>Stages</h2>";
    let rows = summary.stages.iter().map(|stage| {
        let numbers = [stage.units_in, stage.results, stage.filtered, stage.dead].map(thousands);
        [vec![stage.name.clone()], numbers.to_vec()].concat()
    });
    text + &table("of the stages", &["stage", "units in", "went on", "filtered", "dead"], rows)
}

fn over_time(history: Option<&History>) -> String {
    let head = "<h2>Over time</h2>";
    let Some(history) = history.filter(|history| history.points.len() > 2) else {
        return format!("{head}<p>The run was too short for that, or it was not kept.</p>");
    };
    let points = &history.points;
    let rates = points.windows(2).filter_map(|pair| {
        let [before, now] = pair else { return None };
        let seconds = (now.at - before.at).max(1e-3);
        Some((now.at, now.done.saturating_sub(before.done) as f64 / seconds))
    });
    let rates = Series { name: "done".into(), values: rates.collect() };
    let stages = points.last().map_or(0, |last| last.stages.len());
    let line = |index: usize| {
        let of = |point: &Point| {
            let ms = point.stages.get(index)?.p99_ms?;
            Some((point.at, ms))
        };
        let name = points.last().and_then(|last| last.stages.get(index));
        let name = name.map_or(String::new(), |stage| format!("{}, p99", stage.name));
        Series { name, values: points.iter().filter_map(of).collect() }
    };
    let late: Vec<Series> = (0..stages).map(line).collect();
    let rate = |value: f64| format!("{}/s", thousands(value.round() as u64));
    let took = |ms: f64| if ms < 1.0 { format!("{ms:.3} ms") } else { format!("{ms:.0} ms") };
    head.to_owned()
        + &chart("Units a second", &[rates], rate)
        + &chart("Time of a unit in the function", &late, took)
}

fn workers(report: &Report) -> String {
    let Some(summary) = report.summary.as_ref().filter(|all| !all.workers.is_empty()) else {
        return String::new();
    };
    let rows = summary.workers.iter().map(|worker| {
        let busy = format!("{:.0} %", worker.busy * 100.0);
        vec![worker.name.clone(), worker.stage.clone(), thousands(worker.units), busy]
    });
    "<h2>Workers</h2>".to_owned()
        + &table("of the workers", &["worker", "stage", "units", "busy"], rows)
}

fn failures(title: &str, failures: &[Failure]) -> String {
    if failures.is_empty() {
        return String::new();
    }
    let rows = failures.iter().map(|failure| {
        let stage = failure.stage.clone().unwrap_or_default();
        vec![failure.kind.clone(), stage, thousands(failure.count)]
    });
    format!("<h2>{}</h2>", escaped(title)) + &table(title, &["kind", "stage", "times"], rows)
}

fn slowest(report: &Report) -> String {
    if report.slowest.is_empty() {
        return String::new();
    }
    let rows = report.slowest.iter().map(|slow| {
        let (unit, count) = (thousands(slow.unit), thousands(slow.count));
        vec![slow.worker.clone(), unit, count, thousands(slow.ms)]
    });
    "<h2>The slowest units, from their first leaving to their commit</h2>".to_owned()
        + &table("of the slowest units", &["sent first to", "unit", "units", "ms"], rows)
}

/// The first column is text, the others as short as possible.
fn table<T: Display>(what: &str, heads: &[&str], rows: impl Iterator<Item = Vec<T>>) -> String {
    let mut text = format!(
        "<div class=\"scroll\" role=\"region\" aria-label=\"table: {}\" tabindex=\"0\"><table><thead><tr>",
        escaped(what)
    );
    for head in heads {
        let _ = write!(text, "<th scope=\"col\">{}</th>", escaped(head));
    }
    text += "</tr></thead><tbody>";
    for row in rows {
        text += "<tr>";
        for cell in row {
            let _ = write!(text, "<td>{}</td>", escaped(&cell.to_string()));
        }
        text += "</tr>";
    }
    text + "</tbody></table></div>"
}
