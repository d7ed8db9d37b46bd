//! `pipeline completions`: what a shell needs to complete the command line.
//!
//! Owns where it is put, which is told in the help; what it says is made from the flags themselves.
//! Refuses to write into anybody's shell.

use std::process::ExitCode;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use proto::process::exit_code;

use super::{Cli, PROGRAM, print};

const WHERE: &str = "\
Where it goes:
  bash        pipeline completions bash > \\
                ~/.local/share/bash-completion/completions/pipeline
  zsh         a file _pipeline in a folder of $fpath
  fish        pipeline completions fish > \\
                ~/.config/fish/completions/pipeline.fish
  elvish      eval (pipeline completions elvish | slurp)
  powershell  pipeline completions powershell |
                Out-String | Invoke-Expression";

/// Prints a shell's completions of this command line.
#[derive(Debug, Args)]
#[command(after_help = WHERE)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(self) -> ExitCode {
        exit_code(print(&self.script()))
    }

    fn script(&self) -> String {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut shown(), PROGRAM, &mut script);
        String::from_utf8_lossy(&script).into_owned()
    }
}

/// The command line without the commands that are hidden: shells would be told of them.
fn shown() -> Command {
    let whole = Cli::command();
    let below = whole.get_subcommands().filter(|below| !below.is_hide_set());
    Command::new(PROGRAM)
        .version(env!("CARGO_PKG_VERSION"))
        .args(whole.get_arguments().cloned())
        .subcommands(below.cloned())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_is_told_every_command_that_is_not_hidden() {
        let whole = Cli::command();
        assert!(shown().find_subcommand("bare").is_none());
        for &shell in Shell::value_variants() {
            let script = CompletionsArgs { shell }.script();
            for command in whole.get_subcommands().filter(|command| !command.is_hide_set()) {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
