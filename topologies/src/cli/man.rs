//! `pipeline man`: the flags as manual pages.
//!
//! Owns the pages' names and where they go; what they say is made from the flags themselves.
//! Refuses to write over a file that is no page of this program.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use proto::process::exit_code;

use super::{Cli, PROGRAM, complain, print};
use crate::up::exit;

const HOW: &str = "\
Examples:
  pipeline man up | man -l -
  pipeline man --dir ~/.local/share/man/man1";

/// Prints a manual page, or writes all of them.
#[derive(Debug, Args)]
#[command(after_help = HOW)]
pub(super) struct ManArgs {
    /// The command that the page is about, as in `man dead show` [default: the program itself]
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write the pages of all commands into this folder, which is made if it isn't there
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

impl ManArgs {
    pub(super) fn run(self) -> ExitCode {
        let done = match &self.dir {
            Some(dir) => write_all(dir).map_err(|problem| (exit::INPUT_OUTPUT, problem)),
            None => find(&self.command)
                .ok_or_else(|| {
                    (
                        exit::USAGE,
                        format!(
                            "there is no command `{}`; `pipeline help` lists them",
                            self.command.join(" ")
                        ),
                    )
                })
                .map(|command| print(&page(&command))),
        };
        exit_code(done.unwrap_or_else(|(code, problem)| {
            complain(&problem);
            code
        }))
    }
}

/// The command line with the full name of each command.
fn built() -> Command {
    // A page about the command that shows pages tells nothing.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

fn find(names: &[String]) -> Option<Command> {
    let whole = built();
    let found = names.iter().try_fold(&whole, |command, name| command.find_subcommand(name));
    found.cloned()
}

fn page(command: &Command) -> String {
    let mut page = Vec::new();
    // A vector takes everything.
    let _ = Man::new(command.clone()).render(&mut page);
    String::from_utf8_lossy(&page).into_owned()
}

/// Every page with its file's name.
fn pages(command: &Command) -> Vec<(String, String)> {
    let own = (Man::new(command.clone()).get_filename(), page(command));
    let shown = command.get_subcommands().filter(|below| !below.is_hide_set());
    let below = shown.flat_map(pages);
    std::iter::once(own).chain(below).collect()
}

fn write_all(dir: &Path) -> Result<i32, String> {
    let pages = pages(&built());
    fs::create_dir_all(dir).map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
    // All are looked at before the first is written.
    for (name, _) in &pages {
        refuse_other(&dir.join(name))?;
    }
    for (name, text) in &pages {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|error| cannot_write(&path, &error))?;
    }
    let count = pages.len();
    Ok(print(&format!(
        "{count} pages in {}; try: man -l {}\n",
        dir.display(),
        dir.join("pipeline.1").display()
    )))
}

/// A page of an older version may go; nothing else.
fn refuse_other(path: &Path) -> Result<(), String> {
    match fs::read_to_string(path) {
        Ok(text) if text.contains(&format!("\n.TH {PROGRAM}")) => Ok(()),
        Ok(_) => Err(format!("{} is there already, and no page of this program", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot_write(path, &error)),
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_that_names_its_flags() {
        let pages = pages(&built());
        let text = |name: &str| &pages.iter().find(|(file, _)| file == name).unwrap().1;
        assert!(text("pipeline.1").contains(".SH SUBCOMMANDS"));
        assert!(text("pipeline-up.1").contains("\\-\\-drain\\-limit"));
        assert!(text("pipeline-dead-show.1").contains("All that is known of one"));
        assert!(!pages.iter().any(|(name, _)| name.contains("bare") || name.contains("help")));
    }

    #[test]
    fn pages_are_renewed_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new/man1");
        assert_eq!(write_all(&dir), Ok(0));
        assert_eq!(write_all(&dir), Ok(0));
        fs::write(dir.join("pipeline-up.1"), "a diary").unwrap();
        fs::remove_file(dir.join("pipeline.1")).unwrap();
        assert!(write_all(&dir).unwrap_err().contains("is there already"));
        assert_eq!(fs::read_to_string(dir.join("pipeline-up.1")).unwrap(), "a diary");
        assert!(!dir.join("pipeline.1").exists(), "nothing is written before all were looked at");
    }
}
