//! That a run can be found and spoken to, from its beginning to its very end.
//!
//! Owns its entry in the list of runs, its socket, its page, and who waits for its end; refuses to answer
//! anything else. A run that can't be listed goes on all the same, and says so.

use std::{io, path::Path, sync::mpsc::SyncSender};

use super::{
    control::{Asker, Control},
    http::{Bound, Page, service::Door, told::RunFacts},
    incident::Incident,
};
use crate::runs::{
    entry::{Facts, Listed},
    wire::Reply,
};

/// See the module.
#[derive(Debug, Default)]
pub struct Presence {
    listed: Option<Listed>,
    control: Option<Control>,
    waiting: Vec<Asker>,
    page: Option<Page>,
}

impl Presence {
    /// Listens at `socket` and lists the run.
    pub fn begin(facts: &Facts, socket: &Path, incidents: SyncSender<Incident>) -> Self {
        let control = match Control::listen(socket, incidents) {
            Ok(control) => control,
            Err(error) => {
                tracing::warn!(%error, "this run can't be seen by `pipeline ps` or steered");
                return Self::default();
            }
        };
        let listed = Listed::add(facts, socket);
        if let Err(error) = &listed {
            tracing::warn!(%error, "this run can't be seen by `pipeline ps` or steered");
        }
        Self { listed: listed.ok(), control: Some(control), ..Self::default() }
    }

    /// Serves the page of the run, too, and the run itself if it is a service.
    ///
    /// # Errors
    /// When there is no thread for it, or what the system says.
    pub fn serve(&mut self, bound: &Bound, run: RunFacts, door: Option<Door>) -> io::Result<()> {
        let id = self.listed.as_ref().and_then(Listed::id);
        self.page = Some(Page::serve(bound, RunFacts { id, ..run }, door)?);
        Ok(())
    }

    /// The page, if it has one.
    pub fn page(&self) -> Option<&Page> {
        self.page.as_ref()
    }

    /// Someone wants to be told when the run is over.
    pub fn wait(&mut self, asker: Asker) {
        self.waiting.push(asker);
    }

    /// The run is over, and nothing of it is held any more: it is listed no longer, and who waits
    /// is told the code that its launcher leaves with.
    pub fn over(mut self, code: i32) {
        drop(self.listed.take());
        if let Some(page) = self.page.take() {
            page.over(code);
        }
        for asker in self.waiting.drain(..) {
            // Each has room for its one answer.
            let _ = asker.try_send(Reply::Over(code));
        }
        if let Some(control) = &self.control {
            control.see_off();
        }
    }
}
