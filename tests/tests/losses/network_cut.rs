//! The network between ventilator, sink and workers is cut for longer than the liveness limit and
//! joined again, also so that nobody is told: the output is byte for byte that of a calm run.
//! Every site is a network namespace; where none can be made, this is skipped and says so.

use std::time::Duration;

use tests::place::Place;
use tests::torture::network::{Cut, Network};
use tests::torture::remote::{Fault, Remote, SITES};

const VENTILATOR: usize = 0;
const SINK: usize = 1;
const WORKERS: usize = 2;

/// Cuts sites off one after the other, and compares with a calm run.
fn cut_off(cuts: &[(usize, Cut)]) {
    let Some(network) = Network::or_skip(SITES) else { return };
    let place = Place::new();
    let remote = Remote {
        place: &place,
        network: &network,
        folder: "remote",
        units: 40_000,
        first: 10_000_000_000_000,
        cut_lasts: Duration::from_millis(2_500),
    };
    let calm = remote.calm().unwrap_or_else(|trouble| panic!("calm: {trouble}"));
    let faults: Vec<Fault> = cuts
        .iter()
        .enumerate()
        .map(|(place, (site, cut))| Fault {
            share: 0.05 + 0.1 * place as f64,
            site: *site,
            cut: *cut,
        })
        .collect();
    let torn = remote.under("torn", &calm, &faults);
    let torn = torn.unwrap_or_else(|trouble| panic!("{trouble}"));
    let (torn, losses) = torn;
    assert!(losses >= cuts.len(), "nobody has noticed these cuts");
    eprintln!("{}; {losses} losses; {:.1} s", torn.tally, torn.took.as_secs_f64());
}

#[test]
fn whose_frames_vanish_both_ways() {
    cut_off(&[(WORKERS, Cut::Silent), (SINK, Cut::Silent), (VENTILATOR, Cut::Silent)]);
}

#[test]
fn who_hears_but_is_not_heard() {
    cut_off(&[(SINK, Cut::Mute), (WORKERS, Cut::Mute), (VENTILATOR, Cut::Mute)]);
}

#[test]
fn whose_interface_goes_down() {
    cut_off(&[(VENTILATOR, Cut::Down), (WORKERS, Cut::Down), (SINK, Cut::Down)]);
}

#[test]
fn whose_cable_is_pulled() {
    cut_off(&[(WORKERS, Cut::Unplugged), (VENTILATOR, Cut::Unplugged), (SINK, Cut::Unplugged)]);
}
