//! Workers are killed again and again: every unit still ends in one result, in the order of the
//! source.

use std::time::Duration;

use tests::hand::Hand;
use tests::outcome::{assert_same_lines, lines};
use tests::place::Transport;
use tests::wait;

const UNITS: usize = 200_000;
const BETWEEN_KILLS: Duration = Duration::from_millis(200);

/// Units that differ and take a few microseconds each, so that the run lasts for many kills.
fn spinning(unit: usize) -> usize {
    1 + unit % 29
}

fn killed_every_200_ms(transport: Transport) {
    let hand = Hand::over(transport);
    let units: String = (0..UNITS).map(|unit| format!("{}\n", spinning(unit))).collect();
    let source = format!("jsonl:{}", hand.place.write("units.jsonl", units).display());
    let mut sink = hand.sink(&["--fields", "id,value"]);
    let mut ventilator = hand.ventilator(&source, &[]);
    let mut workers = [hand.worker(&["--run", "spin"]), hand.worker(&["--run", "spin"])];
    let mut kills = 0;
    while sink.is_running() {
        wait::pace(BETWEEN_KILLS, || !sink.is_running());
        if sink.is_running() && ventilator.is_running() && hand.lines_so_far() < UNITS {
            let victim = &mut workers[kills % 2];
            victim.kill();
            *victim = hand.worker(&["--run", "spin"]);
            kills += 1;
        }
        assert!(kills < 300, "the run gets nowhere");
    }
    sink.ends_well();
    ventilator.ends_well();
    let line = |unit| format!(r#"{{"id":{unit},"value":{}}}"#, spinning(unit));
    assert_same_lines(&lines(&hand.output()), &(0..UNITS).map(line).collect::<Vec<_>>());
    assert_eq!(hand.outcome().count("results"), UNITS as u64);
    assert!(kills >= 5, "only {kills} kills in the whole run");
}

#[test]
fn two_hundred_thousand_units_survive_a_kill_every_200_ms_over_ipc() {
    killed_every_200_ms(Transport::Ipc);
}

#[test]
fn two_hundred_thousand_units_survive_a_kill_every_200_ms_over_tcp() {
    killed_every_200_ms(Transport::Tcp);
}
