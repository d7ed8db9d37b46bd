//! Words for whoever waits for a program that keeps its answers back.
//!
//! Owns when they are due and what they advise; refuses to end the program, which may only be slow.

use std::path::Path;
use std::time::{Duration, Instant};

use super::halt::{Bounds, Halt};
use super::program::Program;

/// How long a program's first answer is waited for in silence.
const SILENCE: Duration = Duration::from_secs(10);

/// Whether a program was ever heard, or its user told that it was not.
#[derive(Debug)]
pub(super) struct Hint {
    silence: Duration,
    settled: bool,
}

impl Default for Hint {
    fn default() -> Self {
        Self { silence: SILENCE, settled: false }
    }
}

impl Hint {
    /// For a program that is known not to keep anything back.
    pub(super) fn needless() -> Self {
        Self { settled: true, ..Self::default() }
    }

    /// Reads with `read` until the time is up; says once that nothing has come for long.
    pub(super) fn while_reading(
        &mut self,
        name: &str,
        program: &mut Program,
        bounds: Bounds,
        read: impl Fn(&mut Program, Bounds) -> Result<Vec<u8>, Halt>,
    ) -> Result<Vec<u8>, Halt> {
        if self.settled {
            return read(program, bounds);
        }
        let silent = Instant::now() + self.silence;
        let soon = Bounds {
            deadline: bounds.deadline.map_or(Some(silent), |end| Some(end.min(silent))),
            ..bounds
        };
        let first = read(program, soon);
        self.settled = true;
        match first {
            Err(Halt::TimedOut) if !bounds.is_over() => {
                let seconds = self.silence.as_secs();
                let advice = advice(name);
                tracing::warn!(
                    program = name,
                    seconds,
                    "no answer yet; if it is not just slow, it keeps its output back: {advice}"
                );
                read(program, bounds)
            }
            other => other,
        }
    }
}

/// How a program is made to print each line at once.
fn advice(name: &str) -> String {
    let base = Path::new(name).file_name().unwrap_or_default().to_string_lossy().into_owned();
    match base.as_str() {
        "jq" | "sed" | "gsed" => format!("start it as `{name} --unbuffered`"),
        "grep" | "egrep" | "fgrep" => format!("start it as `{name} --line-buffered`"),
        "mawk" => format!("start it as `{name} -W interactive`"),
        "awk" | "gawk" | "nawk" => {
            format!("call fflush() after each line, or start it as `stdbuf -oL {name}`")
        }
        "perl" => "set $| = 1 in it".into(),
        "ruby" => "set $stdout.sync = true in it".into(),
        _ if base.starts_with("python") => {
            format!("start it as `{name} -u`, or flush after each line")
        }
        _ => format!("have it flush after each line, or start it as `stdbuf -oL {name}`"),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn shell(script: &str) -> Program {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut program = Program::start(&mut command).unwrap();
        program.send(b"1\n");
        program
    }

    /// A `pipe` to a program that buffers waits no longer in silence, and goes on to wait.
    #[test]
    fn a_program_that_keeps_its_answer_back_is_told_of_once_and_still_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        let mut program =
            shell(&format!("read n; while [ ! -e {} ]; do :; done; echo $n", go.display()));
        let mut hint = Hint { silence: Duration::from_millis(20), settled: false };
        let bounds = Bounds { deadline: None, bytes_max: 100 };
        let reads = std::cell::Cell::new(0);
        let line = hint.while_reading("sed", &mut program, bounds, |program, bounds| {
            reads.set(reads.get() + 1);
            if reads.get() == 2 {
                std::fs::write(&go, "").unwrap();
            }
            program.read_line(bounds)
        });
        assert_eq!((line.unwrap(), reads.get(), hint.settled), (b"1".to_vec(), 2, true));
    }

    #[test]
    fn a_time_limit_that_comes_first_is_kept() {
        let mut program = shell("read n; read more");
        let deadline = Some(Instant::now() + Duration::from_millis(20));
        let bounds = Bounds { deadline, bytes_max: 100 };
        let read = Hint::default().while_reading("sed", &mut program, bounds, Program::read_line);
        assert!(matches!(read, Err(Halt::TimedOut)));
    }

    #[test]
    fn the_advice_is_the_programs_own_where_it_has_one() {
        assert!(advice("/usr/bin/jq").contains("`/usr/bin/jq --unbuffered`"));
        assert!(advice("python3.12").contains("-u"));
        assert!(advice("awk").contains("fflush()"));
        assert!(advice("./mine").contains("stdbuf -oL ./mine"));
    }
}
