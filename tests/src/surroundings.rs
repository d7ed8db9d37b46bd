//! What a process is started with besides its arguments: limits, streams, signals, a folder.
//!
//! Owns the way there, a shell that sets it all up and becomes the program; refuses to know what
//! should come of it.

use std::path::Path;
use std::process::Command;

use crate::place::Place;

/// A command in `place` that first does what the shell is told in `setting`, as in `ulimit -n 128`,
/// and then is the program, with its arguments and what `setting` has made of its streams.
pub fn command(place: &Place, setting: &str, program: &Path, args: &[&str]) -> Command {
    let mut command = place.command("sh");
    let script = format!("{setting}\nexec \"$0\" \"$@\"");
    command.args(["-c", &script]).arg(program).args(args);
    command
}
