//! Which service a command is for, and as what it is connected to.
//!
//! Owns the flags for that; refuses to know what is said then.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{
    connection::Connection,
    refusal::{Refusal, unfound, within},
};
use crate::runs::services::{self, Access};

/// Which service, and how it is reached.
#[derive(Debug, Args)]
pub(super) struct ServiceArgs {
    /// The key file [env: PIPELINE_KEY] [default: the user's own]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// No encryption and no authentication over tcp; needed on both sides
    #[arg(long)]
    insecure: bool,
}

impl ServiceArgs {
    pub fn access(&self) -> Access<'_> {
        Access { key: self.key.as_deref(), insecure: self.insecure }
    }

    /// Connects to the service of that name.
    pub fn connect(&self, name: &str, caller: Caller<'_>) -> Result<Connection, Refusal> {
        let (mut setup, run) = services::find_with_run(name, self.access()).map_err(unfound)?;
        setup.client = caller.client.unwrap_or_default().to_owned();
        setup.cancels = caller.cancels;
        setup.timeout = within(setup.timeout, caller.limit);
        Connection::open(setup, run)
    }
}

/// As what somebody connects.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Caller<'a> {
    /// The name by which it comes back.
    pub client: Option<&'a str>,
    /// How long an outcome is waited for.
    pub limit: Option<Duration>,
    /// What nobody has begun is cancelled once it is gone.
    pub cancels: bool,
}
