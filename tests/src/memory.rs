//! How much memory processes take at most.
//!
//! Owns the watching: the system knows each process's peak as long as it runs, and forgets it when
//! it ends, so it is read often.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The limit that every process of a pipeline keeps.
pub const PEAK_BYTES_MAX: u64 = 64 << 20;

/// Watches some processes until it is asked.
#[derive(Debug)]
pub struct PeakWatch {
    enough: Arc<AtomicBool>,
    watcher: JoinHandle<BTreeMap<String, u64>>,
}

impl PeakWatch {
    /// Begins to watch processes, each by a name and its id.
    pub fn over(processes: Vec<(String, u32)>) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&enough);
        let watcher = thread::spawn(move || {
            let mut peaks = BTreeMap::new();
            while !seen.load(Ordering::Relaxed) {
                for (name, pid) in &processes {
                    if let Some(bytes) = peak_bytes(*pid) {
                        peaks.insert(name.clone(), bytes);
                    }
                }
                thread::sleep(LOOK_INTERVAL);
            }
            peaks
        });
        PeakWatch { enough, watcher }
    }

    /// The peak of each process in bytes.
    ///
    /// # Panics
    /// When the watching has failed.
    pub fn peaks(self) -> BTreeMap<String, u64> {
        self.enough.store(true, Ordering::Relaxed);
        self.watcher.join().expect("the watcher does not panic")
    }
}

/// The most memory that a running process has had so far, in bytes.
pub fn peak_bytes(pid: u32) -> Option<u64> {
    status_bytes(pid, "VmHWM:")
}

/// The memory that a running process has now, in bytes.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    status_bytes(pid, "VmRSS:")
}

fn status_bytes(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
