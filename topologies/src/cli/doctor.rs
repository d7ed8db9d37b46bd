//! `pipeline doctor`: what would go wrong here, and how to mend it.
//!
//! Owns its flags and the form of its answers; what is looked at is [`crate::doctor`]'s.

use std::process::ExitCode;

use clap::Args;
use proto::process::exit_code;
use serde_json::json;

use super::{Format, print};
use crate::doctor::{self, Health};

/// Something would go wrong.
const ILL: i32 = 1;

/// Looks for what would go wrong on this machine, and says how to mend it.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// text: a line each; json: one object, for scripts
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl DoctorArgs {
    pub(super) fn run(self) -> ExitCode {
        let findings = doctor::look();
        let ill = findings.iter().any(|finding| finding.health == Health::Fail);
        let printed = print(&match self.output {
            Format::Json => format!("{:#}\n", json!({ "ok": !ill, "findings": findings })),
            Format::Text => findings.iter().map(|finding| format!("{finding}\n")).collect(),
        });
        exit_code(if ill { ILL } else { printed })
    }
}
