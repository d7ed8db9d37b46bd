//! One program from its start to its end, for whoever wants to know how it ended rather than what a
//! unit's result is.
//!
//! Owns the same care for programs as stages have: whatever happens, neither a program nor what it
//! started outlives the call, nor this process.

use std::{
    io,
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use super::halt::{Bounds, Halt};
use super::program::Program;

/// How often a limit is asked for that is not known yet.
const LIMIT_INTERVAL: Duration = Duration::from_millis(200);

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status; of one that was ended here the signal.
    pub status: ExitStatus,
    /// What it has printed, all of it.
    pub printed: Vec<u8>,
    /// It was ended since it took longer than its limit.
    pub timed_out: bool,
}

/// Starts `command`, whose output is read, and waits for its end. Its input and its errors go
/// where the command says. `limit` is how long it may take from its start, asked again while none
/// is known.
///
/// # Errors
/// What the system says where the program cannot be started or waited for.
pub fn run(
    command: &mut Command,
    mut limit: impl FnMut() -> Option<Duration>,
) -> io::Result<Ended> {
    let start = Instant::now();
    let mut program = Program::start(command)?;
    loop {
        let known = limit();
        let deadline = known.map_or_else(|| Instant::now() + LIMIT_INTERVAL, |limit| start + limit);
        match program.read_to_end(Bounds { deadline: Some(deadline), bytes_max: usize::MAX }) {
            Ok(status) => {
                let printed = program.answer().to_vec();
                return Ok(Ended { status, printed, timed_out: false });
            }
            Err(Halt::TimedOut) if known.is_none() => {}
            Err(Halt::Ended(status)) => {
                let printed = program.answer().to_vec();
                return Ok(Ended { status, printed, timed_out: false });
            }
            Err(Halt::System(error)) => return Err(error),
            Err(Halt::TimedOut | Halt::TooMuch | Halt::Closed) => {
                let status = program.kill()?;
                let printed = program.answer().to_vec();
                return Ok(Ended { status, printed, timed_out: true });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Stdio;

    use super::*;

    fn shell(line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    #[test]
    fn what_a_program_that_fails_has_printed_is_there_with_its_status() {
        let ended = run(&mut shell("echo partly; exit 3"), || None).unwrap();
        assert_eq!((ended.status.code(), ended.timed_out), (Some(3), false));
        assert_eq!(ended.printed, b"partly\n");
    }

    #[test]
    fn a_limit_that_is_found_later_ends_the_program() {
        let mut asked = 0;
        let ended = run(&mut shell("echo first; exec sleep 60"), || {
            asked += 1;
            (asked > 1).then_some(Duration::ZERO)
        })
        .unwrap();
        assert!(ended.timed_out);
        assert_eq!(ended.status.signal(), Some(9));
        assert_eq!(ended.printed, b"first\n");
    }
}
