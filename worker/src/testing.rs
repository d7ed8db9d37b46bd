//! For this crate's unit tests: a function is called with JSON and answers with JSON.

use std::time::{Duration, Instant};

use proto::value::{from_json, to_json};

use crate::{Function, Outputs, Unit};

/// A unit to call functions for.
pub(crate) fn unit() -> Unit<'static> {
    Unit { id: 7, path: &[], attempt: 1, stage: "test" }
}

/// The MessagePack form of a JSON text.
pub(crate) fn pack(json: &str) -> Vec<u8> {
    let mut value = Vec::new();
    from_json(json.as_bytes(), &mut value).unwrap();
    value
}

/// Calls `function` with one JSON value; its outputs as JSON, or its failure's text.
pub(crate) fn call(
    function: &mut (impl Function + ?Sized),
    json: &str,
) -> Result<Vec<String>, String> {
    let mut out = Outputs::default();
    function.call(&unit(), &pack(json), &mut out).map_err(|failure| failure.into_text())?;
    Ok(out
        .iter()
        .map(|value| {
            let mut json = Vec::new();
            to_json(value, &mut json).unwrap();
            String::from_utf8(json).unwrap()
        })
        .collect())
}

/// The outputs that a white-space separated text of JSON values says.
pub(crate) fn lines(text: &str) -> Result<Vec<String>, String> {
    Ok(text.split_whitespace().map(String::from).collect())
}

/// Whether a process exists that is more than a zombie.
fn lives(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Waits until the process is gone.
pub(crate) fn await_death(pid: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while lives(pid) {
        assert!(Instant::now() < deadline, "process {pid} lives on");
        std::thread::yield_now();
    }
}
