//! Puts the summary of a run together from what the ledger holds and what the network told.

use super::summary::{OutputFacts, Percentiles, Summary, WorkerShare};
use crate::{
    core::requests::Conclusion,
    ledger::{Ledger, counts::Counts},
};

/// The summary of a run that is over.
pub fn summarise(ledger: &Ledger, conclusion: &Conclusion) -> Summary {
    let tally = conclusion.tally.clone().unwrap_or_default();
    let seconds = conclusion.elapsed.as_secs_f64();
    let Counts { results, outputs, filtered, dead } = ledger.counts();
    let latency = (tally.latency_us != [0; 4]).then(|| {
        let [p50, p90, p99, max] = tally.latency_us.map(|us| us as f64);
        Percentiles { p50, p90, p99, max }
    });
    let workers = tally.workers.iter().map(|worker| WorkerShare {
        name: worker.name.clone(),
        stage: ledger.stage_name(worker.stage),
        units: worker.units,
        busy: worker.busy_ns as f64 / worker.present_ns.max(1) as f64,
        open: worker.open_ns as f64 / worker.busy_ns.max(1) as f64,
    });
    let mut turned_away = conclusion.turned_away;
    turned_away.add(&tally.turned_away);
    tally.workers.iter().for_each(|worker| turned_away.add(&worker.turned_away));
    Summary {
        // One that stopped early may have read units that nobody was left to do.
        units_in: match conclusion.drained {
            true => results + filtered + dead,
            false => conclusion.units,
        },
        results,
        outputs,
        filtered,
        dead,
        attempts: tally.attempts,
        duplicates_discarded: conclusion.duplicates,
        ranges_max: conclusion.ranges_max,
        seconds,
        units_per_second: if seconds > 0.0 {
            conclusion.committed_here as f64 / seconds
        } else {
            0.0
        },
        recovery_ms: tally.recovery_ms,
        turned_away,
        service_us: Percentiles::of(ledger.service()),
        latency_us: latency,
        workers: workers.collect(),
        stages: ledger.flow().stages(ledger.stages(), ledger.counts()),
        output: ledger.config().output.as_ref().map(|spec| OutputFacts {
            path: spec.path().map_or("-".into(), Into::into),
            bytes: ledger.output_bytes(),
        }),
        dead_letters: (dead > 0).then(|| ledger.dead_path().to_owned()),
        aggregates: (!ledger.aggregates().is_empty()).then(|| ledger.aggregates().report()),
    }
}
