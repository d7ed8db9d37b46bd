//! What is read from files: topologies, the commit log, keys.

use std::path::Path;

use pipeline::topology::{Colour, Topology};
use sink::log::header::LogFault;

use super::script::about;

/// A topology: understood, or explained without an end in panic.
pub fn topology(data: &[u8]) -> u64 {
    let Ok(text) = std::str::from_utf8(data) else { return 0 };
    // Behind a line of this form are changes by flags.
    let (text, flags) = text.split_once("\n#!\n").unwrap_or((text, ""));
    let sets: Vec<String> = flags.lines().map(str::to_owned).collect();
    match Topology::from_text(text, Path::new("no-such-folder/fuzz.toml"), &sets) {
        Ok(topology) => 1 | (topology.stages.len() as u64) << 8,
        // To render what is wrong takes far longer than to find it.
        Err(_)
            if !data.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).is_multiple_of(32) =>
        {
            2
        }
        Err(diagnostics) => {
            let told = diagnostics.render(Colour::Plain);
            assert!(!told.is_empty(), "a topology is refused without a word");
            2 | about(told.len() as u64) << 8 | (told.lines().count() as u64) << 16
        }
    }
}

/// A commit log: its whole records, up to the first that is not.
pub fn log(data: &[u8]) -> u64 {
    let mut records = 0;
    let mut bytes = 0;
    let read = sink::log::read_log(sink::log::COMMIT_LOG, &mut &*data, |record| {
        records += 1;
        bytes += record.len();
        if let Ok(entries) = rmp_serde::from_slice::<Vec<sink::entry::Entry>>(record) {
            records += entries.iter().filter(|entry| entry.bytes() > 0).count();
        }
    });
    let end = match read {
        Ok(end) => end as usize,
        Err(LogFault::Format(format)) => return 1 << 24 | u64::from(format),
        Err(LogFault::Foreign) => return 1 << 25,
        Err(LogFault::Io(error)) => panic!("memory can be read: {error}"),
    };
    assert!(end <= data.len() && bytes <= end, "no more than there was");
    records as u64 | about(end as u64) << 32
}

/// A key file: a pair, or refused.
pub fn key(data: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(data);
    let Some(key) = proto::net::key::Key::from_text(&text) else { return about(data.len() as u64) };
    assert!(key.public.len() == 40 && key.secret.len() == 40);
    assert!(!format!("{key:?}").contains(&key.secret), "a key is told");
    1 << 8
}
