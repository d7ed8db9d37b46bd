//! `pipeline keygen` and `pipeline key`: makes keys, and shows which one is used.
//!
//! Owns the flags and the words; the file and its search are [`proto::net::key`]'s. Never prints
//! a secret.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use proto::{
    net::key::{self, Key, KeyError, fingerprint},
    process::exit_code,
};
use serde_json::json;

use super::{Format, complain, print};
use crate::up::exit;

/// Makes a key file of its own.
#[derive(Debug, Args)]
pub(super) struct KeygenArgs {
    /// The new file; one that is there is not touched
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Shows the key that processes use to recognise each other.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Where the key is, its public half, and which others it accepts
    Show(WhichArgs),
    /// What to compare with the other side's
    Fingerprint(WhichArgs),
}

#[derive(Debug, Args)]
struct WhichArgs {
    /// The key file [env: PIPELINE_KEY] [default: the user's own]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// text: for people; json: one object, for scripts
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl KeygenArgs {
    pub(super) fn run(self) -> ExitCode {
        exit_code(match Key::make(&self.file) {
            Ok(key) => print(&format!("{}  {}\n", key.fingerprint(), self.file.display())),
            Err(error) => {
                complain(&error);
                exit::INPUT_OUTPUT
            }
        })
    }
}

impl KeyArgs {
    pub(super) fn run(self) -> ExitCode {
        let (KeyCommand::Show(which) | KeyCommand::Fingerprint(which)) = &self.command;
        let found = key::told_file(which.key.as_deref())
            .map_or_else(key::own_file, Ok)
            .and_then(|path| Ok((Key::read(&path)?, path)));
        let (key, path) = match found {
            Ok(found) => found,
            Err(error) => return exit_code(explain(&error)),
        };
        let text = match (&self.command, which.output) {
            (KeyCommand::Fingerprint(_), Format::Text) => format!("{}\n", key.fingerprint()),
            (KeyCommand::Show(_), Format::Text) => show(&key, &path.display().to_string()),
            (_, Format::Json) => {
                let accepted: Vec<_> = key
                    .accepted
                    .iter()
                    .map(|public| json!({"public": public, "fingerprint": fingerprint(public)}))
                    .collect();
                let facts = json!({
                    "file": path,
                    "public": key.public,
                    "fingerprint": key.fingerprint(),
                    "accepted": accepted,
                });
                format!("{facts}\n")
            }
        };
        exit_code(print(&text))
    }
}

fn show(key: &Key, path: &str) -> String {
    let mut text = format!(
        "file         {path}\nfingerprint  {}\npublic       {}\n",
        key.fingerprint(),
        key.public
    );
    for public in &key.accepted {
        text += &format!("accepts      {}  {public}\n", fingerprint(public));
    }
    text
}

fn explain(error: &KeyError) -> i32 {
    match error {
        KeyError::Io { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
            complain(&format_args!(
                "there is no key at {} yet; the user's own is made at first use over tcp, any other by: pipeline keygen {}",
                path.display(),
                path.display()
            ));
            exit::NO_INPUT
        }
        error => {
            complain(error);
            exit::TOPOLOGY
        }
    }
}
