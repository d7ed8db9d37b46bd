//! The machine that was measured: figures say nothing without it.

use std::{fs, thread};

use serde::Serialize;

/// The size of a machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// What they are.
    pub processor: String,
    /// Main memory in MiB.
    pub memory_mib: u64,
    /// The kernel.
    pub kernel: String,
    /// Processes that wanted a core in the last minute, before anything was measured.
    pub load: f64,
}

/// This machine.
pub fn describe() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, rest)| rest.trim().to_owned())
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let kib = memory.split(' ').next().and_then(|digits| digits.parse::<u64>().ok());
    let load = read("/proc/loadavg");
    Machine {
        cores: thread::available_parallelism().map_or(1, usize::from),
        processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
        memory_mib: kib.unwrap_or(0) >> 10,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        load: load.split(' ').next().and_then(|digits| digits.parse().ok()).unwrap_or(0.0),
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cores, processor, memory_mib, kernel, load } = self;
        let plural = if *cores == 1 { "" } else { "s" };
        let gib = *memory_mib as f64 / 1024.0;
        write!(f, "{cores} core{plural}")?;
        if !processor.is_empty() {
            write!(f, " ({processor})")?;
        }
        write!(f, ", {gib:.0} GiB, Linux {kernel}, load average {load} before")
    }
}
