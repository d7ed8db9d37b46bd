//! For tests of programs that are told of many units at once.

use std::time::{Duration, Instant};

use proto::value::to_json;

use crate::{
    Function, OutputLimits, Unit,
    concurrent::{Finished, Slot, Waker},
    testing::pack,
};

/// What came of each unit: the JSON of its outputs, or its failure.
type Outcome = (Slot, Result<String, String>);

/// Has all of these open at once; what came of them, in the order in which they finished.
pub(crate) fn all(function: &mut dyn Function, inputs: &[&str]) -> Vec<Outcome> {
    function.set_up().unwrap();
    let concurrent = function.concurrent().unwrap();
    let waker = Waker::default();
    concurrent.begin(inputs.len() as u32, OutputLimits::default(), waker.clone()).unwrap();
    for (slot, input) in (0..).zip(inputs) {
        let unit = Unit { id: slot.into(), path: &[], attempt: 1, stage: "test" };
        concurrent.start(slot, &unit, &pack(input));
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut outcomes = Vec::new();
    while outcomes.len() < inputs.len() {
        assert!(Instant::now() < deadline, "only {outcomes:?}");
        let mut finished = Finished::new(OutputLimits::default());
        concurrent.poll(&mut finished);
        for (slot, outcome) in finished.take_all() {
            outcomes.push((slot, outcome.map(json).map_err(|failure| failure.into_text())));
        }
        if outcomes.len() < inputs.len() {
            let soon = Instant::now() + Duration::from_secs(1);
            waker.wait(Some(concurrent.due().unwrap_or(soon).min(soon)));
        }
    }
    function.tear_down();
    outcomes
}

fn json(values: Vec<Vec<u8>>) -> String {
    let each = values.iter().map(|value| {
        let mut json = Vec::new();
        to_json(value, &mut json).unwrap();
        String::from_utf8(json).unwrap()
    });
    each.collect::<Vec<_>>().join(" ")
}

/// The same in the order of the units.
pub(crate) fn outcomes(mut all: Vec<Outcome>) -> Vec<Result<String, String>> {
    all.sort();
    all.into_iter().map(|(_, outcome)| outcome).collect()
}
