//! Somebody who looks at a run that goes on, and learns how it ends.
//!
//! Owns the words for an end: the launcher tells its exit code, or has died. Refuses to show anything else, and to
//! take a launcher that answers nobody just now for one that has ended.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::Duration,
};

use sink::names::MANIFEST;

use crate::{
    runs::{
        call::{self, CallError, PATIENCE},
        entry::Entry,
        wire::{Ask, Details, Reply},
    },
    up::exit,
};

/// How long a launcher that listens no more has to tell how it ended.
const LAST_WORD: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Onlooker<'a> {
    run: &'a Entry,
    // Nothing comes from a launcher that has died.
    end: Receiver<i32>,
}

/// What there was to be seen.
pub(super) enum Seen {
    /// How the run does.
    Details(Box<Details>),
    /// The launcher does not answer now.
    Nothing(CallError),
    /// The run is over: how that came, in words.
    Over(String),
}

impl<'a> Onlooker<'a> {
    /// Of a run that is listed.
    pub fn of(run: &'a Entry) -> Self {
        let (tell, end) = sync_channel(1);
        let asked = run.clone();
        let wait = move || {
            if let Ok(Reply::Over(code)) = call::call(&asked, Ask::Wait, None) {
                // Whoever looked on has seen enough.
                let _ = tell.send(code);
            }
        };
        // Without a thread an end is seen all the same, but not how it came.
        let _ = thread::Builder::new().name("end".into()).spawn(wait);
        Self { run, end }
    }

    /// One look.
    pub fn look(&self) -> Seen {
        match ask(self.run) {
            Ok(details) => Seen::Details(Box::new(details)),
            Err(CallError::Gone { .. }) if !call::is_there(self.run) => Seen::Over(self.end()),
            Err(error) => Seen::Nothing(error),
        }
    }

    /// How it came, of a run that is over.
    pub fn end(&self) -> String {
        match self.end.recv_timeout(LAST_WORD) {
            Ok(code) => ended(self.run, code),
            Err(_) => died(self.run),
        }
    }
}

/// How a run does.
pub(super) fn ask(run: &Entry) -> Result<Details, CallError> {
    match call::call(run, Ask::Details, Some(PATIENCE))? {
        Reply::Details(details) => Ok(*details),
        _ => Err(CallError::Foreign { name: run.name.clone(), pid: run.pid }),
    }
}

/// A run has ended, and its launcher has left with this code.
pub(super) fn ended(run: &Entry, code: i32) -> String {
    let name = &run.name;
    match code {
        exit::DRAINED | exit::INTERRUPTED => format!("{name} has ended{}", and_then(run)),
        exit::COMPLETE => format!("{name} is complete"),
        exit::DEAD => format!("{name} is complete, with units that failed for good"),
        code => format!("{name} has failed, with exit code {code}"),
    }
}

fn died(run: &Entry) -> String {
    let Entry { name, pid, .. } = run;
    // It may have ended in the moment in which it was first asked.
    if run.run_dir.as_ref().is_some_and(|run_dir| run_dir.join(MANIFEST).is_file()) {
        return format!("{name} is over; `pipeline summary` tells how it went");
    }
    format!("the launcher of {name}, process {pid}, has died, and the run with it{}", and_then(run))
}

/// What can be done about it.
fn and_then(run: &Entry) -> String {
    let again = || format!("; `pipeline up {}` goes on with it", run.topology.display());
    run.run_dir.as_ref().map_or_else(String::new, |_| again())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(run_dir: Option<&str>) -> Entry {
        serde_json::from_value(serde_json::json!({
            "version": 1, "id": "0a1b2c3d", "pid": 7, "name": "pages", "topology": "/t.toml",
            "run_dir": run_dir, "since": 0, "socket": "/no/such/socket",
        }))
        .unwrap()
    }

    #[test]
    fn an_end_is_told_with_what_can_be_done_about_it() {
        let (kept, ephemeral) = (run(Some("/r")), run(None));
        for (run, code, told) in [
            (&kept, 75, "pages has ended; `pipeline up /t.toml` goes on with it"),
            (&ephemeral, 130, "pages has ended"),
            (&kept, 0, "pages is complete"),
            (&kept, 1, "pages is complete, with units that failed for good"),
            (&kept, 74, "pages has failed, with exit code 74"),
        ] {
            assert_eq!(ended(run, code), told);
        }
    }

    #[test]
    fn a_launcher_that_is_gone_without_a_word_has_died() {
        let run = run(Some("/r"));
        let Seen::Over(told) = Onlooker::of(&run).look() else { panic!("nobody is there") };
        assert_eq!(
            told,
            "the launcher of pages, process 7, has died, and the run with it; \
             `pipeline up /t.toml` goes on with it"
        );
    }
}
