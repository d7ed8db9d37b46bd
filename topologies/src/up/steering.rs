//! What others ask of a run that goes on: from their words to the rules, and back.
//!
//! Owns the words; whether it can be had is [`super::supervise`]'s to decide. Waits for nobody.

use super::{
    Run,
    control::Asker,
    exit,
    supervise::{Effect, Granted, Hold, Unwilling, Wish},
};
use crate::runs::wire::{Ask, Details, Reply};

impl Run {
    /// Someone asks; the answer is left where it is looked for, or given at the end of the run.
    pub(super) fn asked(&mut self, ask: Ask, asker: Asker, effects: &mut Vec<Effect>) {
        let reply = match ask {
            Ask::Status => {
                let state = self.supervisor.state();
                Reply::Status(self.standing.status(state, &self.progress))
            }
            Ask::Details => Reply::Details(Box::new(self.details())),
            Ask::Wait => return self.presence.wait(asker),
            Ask::Down { now } => {
                let _ = self.wish(if now { Wish::Stop } else { Wish::Drain }, effects);
                return self.presence.wait(asker);
            }
            Ask::Pause => self.reply(Wish::Pause, "", effects),
            Ask::Resume => self.reply(Wish::Resume, "", effects),
            Ask::Scale { stage, workers } => match self.stage(&stage, Some(workers)) {
                Ok(index) => self.reply(Wish::Scale { stage: index, workers }, &stage, effects),
                Err(problem) => Reply::Refused { code: exit::USAGE, problem },
            },
            Ask::Restart { stage } => match self.stage(&stage, None) {
                Ok(index) => self.reply(Wish::Restart { stage: index }, &stage, effects),
                Err(problem) => Reply::Refused { code: exit::USAGE, problem },
            },
        };
        // It has room for one; who asked may be gone.
        let _ = asker.try_send(reply);
    }

    /// How the run does, for all who look on: `top`, the page, the history.
    pub(super) fn details(&self) -> Details {
        let posts = self.workplace.posts();
        let names = (0..posts.stages()).map(|stage| posts.stage(stage));
        let (stages, workers) = self.crew.told(names);
        Details {
            status: self.standing.status(self.supervisor.state(), &self.progress),
            read: self.crew.read(),
            awaited: self.progress.awaited.map(|(unit, _)| unit),
            stages,
            workers,
            oldest: self.crew.oldest().to_vec(),
            passed: self.crew.passed(|stage| posts.stage(stage)),
        }
    }

    fn wish(&mut self, wish: Wish, effects: &mut Vec<Effect>) -> Result<Granted, Unwilling> {
        self.supervisor.wish(self.now(), wish, effects)
    }

    fn reply(&mut self, wish: Wish, stage: &str, effects: &mut Vec<Effect>) -> Reply {
        match self.wish(wish, effects) {
            Ok(granted) => Reply::Done(done(granted, stage)),
            Err(unwilling) => refused(unwilling, stage),
        }
    }

    /// The number of a stage, in which so many workers can be.
    fn stage(&self, name: &str, workers: Option<u32>) -> Result<usize, String> {
        let posts = self.workplace.posts();
        let names = || (0..posts.stages()).map(|stage| posts.stage(stage));
        let Some(stage) = names().position(|stage| stage == name) else {
            let names: Vec<_> = names().collect();
            return Err(format!("there is no stage `{name}`; there are {}", names.join(", ")));
        };
        let max = self.workplace.peers_max();
        match workers {
            Some(workers) if workers > max => Err(format!(
                "{workers} workers are more than this run can have: `peers_max` is {max}"
            )),
            _ => Ok(stage),
        }
    }
}

fn done(granted: Granted, stage: &str) -> String {
    match granted {
        Granted::Ends => "the run ends".into(),
        Granted::Held(Hold::On) => {
            "paused: what workers have they finish; `pipeline resume` goes on".into()
        }
        Granted::Held(Hold::Off) => "goes on".into(),
        Granted::Scaled { more: 0, fewer: 0 } => format!("`{stage}` has as many already"),
        Granted::Scaled { more, fewer: 0 } => format!("`{stage}`: {more} more started"),
        Granted::Scaled { fewer, .. } => {
            format!("`{stage}`: {fewer} asked to leave, when they have finished what they work on")
        }
        Granted::Restarts(count) => {
            format!("`{stage}`: {count} are started anew, one after the other")
        }
    }
}

fn refused(unwilling: Unwilling, stage: &str) -> Reply {
    let (code, problem) = match unwilling {
        Unwilling::Ending => (exit::DRAINED, "the run is about to end".into()),
        Unwilling::Busy => {
            (exit::DRAINED, "workers are being started anew already; wait for their end".into())
        }
        Unwilling::Nobody => {
            (exit::USAGE, format!("`{stage}` has no worker that this run has started"))
        }
    };
    Reply::Refused { code, problem }
}
