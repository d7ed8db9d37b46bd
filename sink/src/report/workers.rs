//! The workers of a run in a table: each of them, or what is worth reading of many.
//!
//! Owns which workers of a large stage have a row of their own.

use super::{
    figures::{label, thousands},
    summary::WorkerShare,
};

/// A worker that had so many units open at once, in the mean, had several.
const SEVERAL: f64 = 1.01;
/// More workers than this in a stage are folded.
const ROWS_MAX: usize = 8;
/// So many of a folded stage have a row nevertheless.
const ODD_MAX: usize = 4;

/// A head, and the rows stage by stage, in the order in which the stages come. A stage with many workers
/// has three rows, the least, the middle and the most of each column by itself, and one for each
/// worker that did less than half as many units as the middle one or more than twice as many, the
/// farthest away first.
pub(super) fn rows(workers: &[WorkerShare]) -> Vec<Vec<String>> {
    // Of one unit after the other there is nothing to tell.
    let several = workers.iter().any(|worker| worker.open > SEVERAL);
    let columns = if several { 5 } else { 4 };
    let mut rows =
        vec![["worker", "stage", "units", "busy", "open at once"].map(str::to_owned).to_vec()];
    let mut stages: Vec<&str> = Vec::new();
    for worker in workers {
        if !stages.contains(&worker.stage.as_str()) {
            stages.push(&worker.stage);
        }
    }
    for stage in stages {
        let team: Vec<&WorkerShare> =
            workers.iter().filter(|worker| worker.stage == stage).collect();
        if team.len() <= ROWS_MAX {
            rows.extend(team.into_iter().map(|worker| row(&worker.name, worker)));
        } else {
            rows.extend(folded(&team));
        }
    }
    rows.iter_mut().for_each(|row| row.truncate(columns));
    rows
}

fn row(name: &str, worker: &WorkerShare) -> Vec<String> {
    vec![
        label(name),
        label(&worker.stage),
        thousands(worker.units),
        format!("{:.0} %", worker.busy * 100.0),
        format!("{:.1}", worker.open),
    ]
}

fn folded(team: &[&WorkerShare]) -> Vec<Vec<String>> {
    let mut units: Vec<u64> = team.iter().map(|worker| worker.units).collect();
    let sorted = |of: fn(&WorkerShare) -> f64| {
        let mut values: Vec<f64> = team.iter().map(|worker| of(worker)).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    units.sort_unstable();
    let (busy, open) = (sorted(|worker| worker.busy), sorted(|worker| worker.open));
    let middle = team.len() / 2;
    let at = |name: &str, place: usize| WorkerShare {
        name: name.into(),
        stage: team.first().map(|worker| worker.stage.clone()).unwrap_or_default(),
        units: units.get(place).copied().unwrap_or_default(),
        busy: busy.get(place).copied().unwrap_or_default(),
        open: open.get(place).copied().unwrap_or_default(),
    };
    let kept = [
        at(&format!("{} workers: least", thousands(team.len())), 0),
        at("median", middle),
        at("most", team.len() - 1),
    ];
    let mut rows: Vec<_> = kept.iter().map(|share| row(&share.name, share)).collect();
    rows.extend(odd(team, kept[1].units).into_iter().map(|worker| row(&worker.name, worker)));
    rows
}

/// Those that did far less or far more than the median, the farthest away first.
fn odd<'a>(team: &[&'a WorkerShare], median: u64) -> Vec<&'a WorkerShare> {
    // How many times as many, or as few; one more on both sides, so that none is a number too.
    let distance = |worker: &WorkerShare| {
        let ratio = (worker.units as f64 + 1.0) / (median as f64 + 1.0);
        ratio.max(1.0 / ratio)
    };
    let mut odd: Vec<_> = team.iter().copied().filter(|worker| distance(worker) > 2.0).collect();
    odd.sort_by(|a, b| distance(b).total_cmp(&distance(a)));
    odd.truncate(ODD_MAX);
    odd
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(number: usize, units: u64) -> WorkerShare {
        let (name, stage) = (format!("fetch-{number}"), "fetch".into());
        WorkerShare { name, stage, units, busy: units as f64 / 200.0, open: 1.0 }
    }

    fn lines(workers: &[WorkerShare]) -> Vec<String> {
        rows(workers).into_iter().map(|row| row.join(" ")).collect()
    }

    #[test]
    fn few_workers_have_a_row_each() {
        let workers: Vec<_> = (1..=8).map(|number| worker(number, 100)).collect();
        assert_eq!(rows(&workers).len(), 9);
        assert_eq!(lines(&workers)[1], "fetch-1 fetch 100 50 %");
    }

    #[test]
    fn many_are_three_rows_and_the_odd_ones() {
        let mut workers: Vec<_> =
            (1..=40).map(|number| worker(number, 90 + number as u64)).collect();
        workers[6].units = 3;
        workers[7].units = 0;
        workers[8].units = 1_500;
        assert_eq!(
            lines(&workers),
            [
                "worker stage units busy",
                "40 workers: least fetch 0 46 %",
                "median fetch 112 56 %",
                "most fetch 1,500 65 %",
                "fetch-8 fetch 0 49 %",
                "fetch-7 fetch 3 48 %",
                "fetch-9 fetch 1,500 50 %",
            ]
        );
    }

    #[test]
    fn each_stage_is_folded_for_itself() {
        let few = WorkerShare {
            name: "store-1".into(),
            stage: "store".into(),
            open: 7.0,
            ..worker(1, 5)
        };
        let workers: Vec<_> = (1..=9).map(|number| worker(number, 7)).chain([few]).collect();
        let lines = lines(&workers);
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[4], "store-1 store 5 2 % 7.0");
    }
}
