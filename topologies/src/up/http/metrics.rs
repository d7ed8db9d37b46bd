//! The numbers of a run as OpenMetrics 1.0 text, for Prometheus and its like.
//!
//! Owns their names. The only labels are `run`, `stage` and `outcome`, and the bounds `le` of the one
//! histogram: a label for each worker, host or unit would fill the memory of whoever collects them.

use std::fmt::{Display, Write};

use super::picture::{Picture, StagePicture};
use crate::runs::wire::State;

/// What the text is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The bounds of the histogram are these powers of two, in microseconds: 16 µs to 268 s.
const POWERS: [usize; 9] = [4, 7, 10, 13, 16, 19, 22, 25, 28];

/// The text.
pub(super) fn text(picture: &Picture<'_>) -> String {
    let mut out = Text { text: String::new(), run: escaped(&picture.run.name) };
    whole(&mut out, picture);
    each_stage(&mut out, &picture.stages);
    latency(&mut out, &picture.stages);
    out.text.push_str("# EOF\n");
    out.text
}

fn whole(out: &mut Text, picture: &Picture<'_>) {
    let status = picture.status;
    out.family("pipeline_units", "counter", "Units with an outcome.");
    out.sample("pipeline_units_total", "", "succeeded", status.done.saturating_sub(status.dead));
    out.sample("pipeline_units_total", "", "dead", status.dead);
    out.family("pipeline_units_read", "counter", "Units read from the source.");
    out.sample("pipeline_units_read_total", "", "", picture.read);
    if let Some(total) = status.total {
        out.family("pipeline_units_expected", "gauge", "Units in the source.");
        out.sample("pipeline_units_expected", "", "", total);
    }
    out.family("pipeline_units_per_second", "gauge", "Units a second, of the last 10 s.");
    out.sample("pipeline_units_per_second", "", "", status.rate);
    out.family("pipeline_workers", "gauge", "Workers that take part.");
    out.sample("pipeline_workers", "", "", status.workers);
    if let Some(service) = status.service {
        let gauges: [(&str, &str, u64); 5] = [
            ("clients", "Clients of the service.", service.clients.into()),
            ("queued_units", "Units that wait for a worker.", service.queued),
            ("queued_bytes", "Bytes of their values.", service.queued_bytes),
            ("kept_outcomes", "Outcomes that nobody has fetched.", service.kept),
            ("kept_bytes", "Bytes that they take.", service.kept_bytes),
        ];
        for (name, help, value) in gauges {
            let family = format!("pipeline_service_{name}");
            out.family(&family, "gauge", help);
            out.sample(&family, "", "", value);
        }
        let oldest = "pipeline_service_oldest_seconds";
        out.family(
            oldest,
            "gauge",
            "How long the oldest unit waits that may be sent; 0 if none does.",
        );
        out.sample(oldest, "", "", service.oldest_ms.unwrap_or_default() as f64 / 1e3);
    }
    out.family("pipeline_paused", "gauge", "1 while no further units are sent.");
    out.sample("pipeline_paused", "", "", u8::from(status.state == State::Paused));
}

fn each_stage(out: &mut Text, stages: &[StagePicture<'_>]) {
    let units = "pipeline_stage_executions_total";
    out.family("pipeline_stage_executions", "counter", "Units executed, tries again included.");
    for stage in stages {
        let (name, units_in) = (&stage.standing.name, stage.standing.units);
        let failed = stage.standing.failed;
        out.sample(units, name, "succeeded", units_in.saturating_sub(failed));
        out.sample(units, name, "failed", failed);
    }
    type Of = fn(&StagePicture<'_>) -> f64;
    let families: [(&str, &str, &str, Of); 7] = [
        ("outputs", "counter", "Outputs that they gave.", |of| of.standing.outputs as f64),
        ("retries", "counter", "Failures that were not the last.", |of| of.retried as f64),
        ("dead", "counter", "Units that failed for good.", |of| of.dead as f64),
        ("open", "gauge", "Units given to the stage and not finished.", |of| of.open as f64),
        ("workers", "gauge", "Workers that are there.", |of| f64::from(of.standing.workers)),
        ("busy_ratio", "gauge", "Share of the time with work, of the last 5 s.", |of| {
            of.standing.busy
        }),
        ("units_per_second", "gauge", "Units a second, of the last 5 s.", |of| of.standing.rate),
    ];
    for (name, kind, help, value) in families {
        let family = format!("pipeline_stage_{name}");
        out.family(&family, kind, help);
        let sample = if kind == "counter" { format!("{family}_total") } else { family };
        for stage in stages {
            out.sample(&sample, &stage.standing.name, "", value(stage));
        }
    }
}

fn latency(out: &mut Text, stages: &[StagePicture<'_>]) {
    let family = "pipeline_stage_unit_seconds";
    out.family(family, "histogram", "Time of a unit in the function.");
    let bucket = format!("{family}_bucket");
    for stage in stages {
        let (name, spread) = (&stage.standing.name, &stage.standing.spread);
        for power in POWERS {
            let bound = (1u64 << power) as f64 / 1e6;
            out.bounded(&bucket, name, bound, spread.up_to(power));
        }
        out.bounded(&bucket, name, "+Inf", spread.units());
        out.sample(&format!("{family}_sum"), name, "", stage.standing.open_s);
        out.sample(&format!("{family}_count"), name, "", spread.units());
    }
}

struct Text {
    text: String,
    run: String,
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# TYPE {name} {kind}\n# HELP {name} {help}");
    }

    /// Of a stage and an outcome, if they are named.
    fn sample(&mut self, name: &str, stage: &str, outcome: &str, value: impl Display) {
        let labels = [("stage", stage), ("outcome", outcome)];
        let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
        let labels: String =
            labels.map(|(name, value)| format!(",{name}=\"{}\"", escaped(value))).collect();
        let _ = writeln!(self.text, "{name}{{run=\"{}\"{labels}}} {value}", self.run);
    }

    fn bounded(&mut self, name: &str, stage: &str, bound: impl Display, units: u64) {
        let (run, stage) = (&self.run, escaped(stage));
        let _ =
            writeln!(self.text, "{name}{{run=\"{run}\",stage=\"{stage}\",le=\"{bound}\"}} {units}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
