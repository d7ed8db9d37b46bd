//! A program started once a unit.
//!
//! Owns the contract with such programs; refuses shells: there is no word splitting and no
//! quoting, an argument is an argument.
//!
//! - The value takes the place of every `{}` in the arguments: a string as it is, and so are bytes
//!   (a file's name that is no UTF-8); any other value as JSON. `{.}`, `{/}`, `{1}` and so on are parts of it: see
//!   [`template`](super::template). Where no argument has a place for it, it is given on stdin instead, followed by a
//!   line end. A value can start with a dash: put `--` before a `{}` that is to be a file's name.
//! - What the program prints is its output: the JSON value if it is exactly one, else the
//!   text without its last line end. A number that JSON would write in another way (`1.10`, `12e5`,
//!   21 digits) is text, and so is an array or an object with a number that would lose digits. A program that
//!   prints nothing has filtered the unit.
//! - An exit status other than 0, a signal, a timeout and too much output are the unit's failure,
//!   with the last of what the program wrote to stderr. A timeout kills the whole process group.
//! - What it writes to stderr is passed on line by line, with the unit in front.
//! - When the program ends, what it started in the background is ended too.
//! - `PIPELINE_UNIT` (the unit's name), `PIPELINE_ATTEMPT` (from 1) and `PIPELINE_STAGE` are in
//!   the environment, to guard side effects with: the same unit can be worked on more than once.

use std::{os::unix::ffi::OsStrExt, time::Instant};

use super::answer::{argument, push_printed};
use super::halt::{Bounds, Halt, cannot_start, halted};
use super::program::Program;
use super::slots::Slots;
use super::template::Values;
use super::{CommandLine, Surroundings};
use crate::concurrent::{Alone, Threads};
use crate::{Failure, Function, OutputLimits, Outputs, Unit};

/// Starts a program for each unit.
#[derive(Debug)]
pub struct Exec {
    command: CommandLine,
    surroundings: Surroundings,
    printed_bytes_max: usize,
    slots: Slots,
}

impl Exec {
    /// Nothing is started before the first unit.
    pub fn new(command: CommandLine, surroundings: Surroundings, limits: OutputLimits) -> Self {
        let printed_bytes_max = limits.value_bytes_max;
        Self { command, surroundings, printed_bytes_max, slots: Slots::default() }
    }

    fn start(&self, unit: &Unit<'_>, input: &[u8], slot: u32) -> Result<Program, Failure> {
        let in_argument = self.command.has_placeholder();
        let value = [argument(input)?];
        let places = Values { values: &value, number: unit.id + 1, slot };
        let mut command = self.command.command_with(places, &self.surroundings);
        command
            .env("PIPELINE_UNIT", unit.to_string())
            .env("PIPELINE_ATTEMPT", unit.attempt.to_string());
        let mut program = Program::start(&mut command)
            .map_err(|error| cannot_start(&self.command, &self.surroundings, &error))?;
        program.is_at(unit);
        if !in_argument {
            value.iter().for_each(|value| program.send(value.as_bytes()));
            program.send(b"\n");
        }
        program.end_input();
        Ok(program)
    }
}

impl Exec {
    /// The same with up to so many programs at a time.
    pub fn at_once(self, open: u32) -> Alone<Threads> {
        Alone::new(Threads::new(open, move |unit, input, out| self.work(unit, input, out)))
    }

    fn work(&self, unit: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        let limit = self.surroundings.timeout;
        let bounds = Bounds {
            deadline: limit.map(|limit| Instant::now() + limit),
            bytes_max: self.printed_bytes_max,
        };
        let slot = self.slots.take();
        let mut program = self.start(unit, input, slot.number())?;
        let name = self.command.program();
        let halt = match program.read_to_end(bounds) {
            Ok(status) if status.success() => return push_printed(name, program.answer(), out),
            Ok(status) => Halt::Ended(status),
            Err(halt) => halt,
        };
        Err(halted(name, &mut program, halt, bounds, limit))
    }
}

impl Function for Exec {
    fn call(&mut self, unit: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        self.work(unit, input, out)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::external::words::tests::passed_on;
    use crate::testing::{await_death, call, lines};

    fn exec_in(parts: &[&str], surroundings: Surroundings) -> Exec {
        let parts: Vec<String> = parts.iter().map(|part| String::from(*part)).collect();
        let command = CommandLine::new(&parts, &[]).unwrap();
        Exec::new(command, surroundings, OutputLimits::default())
    }

    fn exec(parts: &[&str]) -> Exec {
        exec_in(parts, Surroundings::default())
    }

    #[test]
    fn the_value_is_an_argument_where_one_has_a_placeholder() {
        let mut echo = exec(&["printf", "[\"%s\", \"%s\"]", "<{}>", "x"]);
        assert_eq!(call(&mut echo, r#""a b'c""#), lines_of(&[r#"["<a b'c>","x"]"#]));
        let mut json = exec(&["printf", "%s", "{}"]);
        assert_eq!(call(&mut json, r#"{"a":[1,"x"]}"#), lines(r#"{"a":[1,"x"]}"#));
    }

    fn lines_of(values: &[&str]) -> Result<Vec<String>, String> {
        Ok(values.iter().map(|value| String::from(*value)).collect())
    }

    #[test]
    fn parts_of_the_value_and_numbers_stand_in_their_places() {
        let mut parts = exec(&["printf", "%s|", "{/.}", "{//}", "{#}", "{%}", "{print $1}"]);
        let first = call(&mut parts, r#""a/b.tar.gz""#);
        assert_eq!(first, lines_of(&[r#""b.tar|a|8|1|{print $1}|""#]));
    }

    #[test]
    fn the_value_is_on_stdin_where_no_argument_has_a_placeholder() {
        let mut cat = exec(&["cat"]);
        assert_eq!(call(&mut cat, r#"{"a":1}"#), lines(r#"{"a":1}"#));
        assert_eq!(call(&mut cat, r#""one line""#), lines_of(&[r#""one line""#]));
        assert_eq!(call(&mut exec(&["wc", "-l"]), r#""x""#), lines("1"));
    }

    #[test]
    fn stdin_is_empty_when_the_value_is_an_argument() {
        let mut both = exec(&["sh", "-c", "cat; echo $1", "sh", "{}"]);
        assert_eq!(call(&mut both, "5"), lines("5"));
    }

    #[test]
    fn a_program_that_prints_nothing_filters_the_unit() {
        assert_eq!(call(&mut exec(&["true"]), "1"), lines(""));
    }

    #[test]
    fn a_large_value_goes_through_a_program_that_answers_before_it_has_read_all() {
        let json = format!("\"{}\"", "x".repeat(300_000));
        assert_eq!(call(&mut exec(&["cat"]), &json), Ok(vec![json]));
    }

    #[test]
    fn an_exit_status_or_a_signal_is_a_failure_with_the_words_on_stderr() {
        let mut status = exec(&["sh", "-c", "echo lost; echo no such color >&2; exit 3"]);
        assert_eq!(
            call(&mut status, "1"),
            Err("`sh` ended with exit status: 3; on stderr: no such color".into())
        );
        let mut signal = exec(&["sh", "-c", "kill -SEGV $$"]);
        let text = call(&mut signal, "1").unwrap_err();
        assert!(text.starts_with("`sh` ended with signal: 11 (SIGSEGV)"), "{text}");
    }

    #[test]
    fn what_a_program_writes_to_stderr_is_passed_on_also_when_it_succeeds() {
        let mut loud = exec(&["sh", "-c", "echo a note >&2; echo 1"]);
        assert_eq!(call(&mut loud, "1"), lines("1"));
        assert_eq!(passed_on(), "[unit 7]: a note\n");
    }

    #[test]
    fn endless_words_on_stderr_are_kept_only_in_part() {
        let mut loud = exec(&["sh", "-c", "yes | head -c 1000000 >&2; echo end >&2; exit 1"]);
        let text = call(&mut loud, "1").unwrap_err();
        assert!(text.len() < 5_000 && text.ends_with("y\nend"), "{}", text.len());
    }

    #[test]
    fn a_timeout_kills_what_the_program_started_too() {
        let folder = tempfile::tempdir().unwrap();
        let surroundings = Surroundings {
            timeout: Some(Duration::from_millis(200)),
            directory: Some(folder.path().display().to_string()),
            ..Surroundings::default()
        };
        let mut slow = exec_in(&["sh", "-c", "sleep 1000 & echo $! > pid; wait"], surroundings);
        let start = Instant::now();
        assert_eq!(call(&mut slow, "1"), Err("`sh` took longer than 200ms and was killed".into()));
        assert!(start.elapsed() < Duration::from_secs(100));
        let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
        await_death(pid.trim());
    }

    #[test]
    fn too_much_output_is_a_failure() {
        let mut yes = exec(&["yes"]);
        yes.printed_bytes_max = 1_000;
        assert_eq!(
            call(&mut yes, "1"),
            Err("`yes` printed more than 1000 bytes and was killed".into())
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_a_failure_that_names_it() {
        let text = call(&mut exec(&["no-such-program"]), "1").unwrap_err();
        assert!(text.starts_with("cannot start `no-such-program`: No such file"), "{text}");
        // No argument can hold a NUL; that must not bring the worker down.
        let text = call(&mut exec(&["echo", "{}"]), r#""a\u0000b""#).unwrap_err();
        assert!(text.contains("nul byte"), "{text}");
    }

    #[test]
    fn the_environment_tells_the_unit_the_attempt_the_stage_and_what_the_stage_adds() {
        let surroundings = Surroundings {
            stage: "paint".into(),
            env: [("COLOR".to_owned(), "red".to_owned())].into(),
            ..Surroundings::default()
        };
        let script = "echo $PIPELINE_UNIT $PIPELINE_ATTEMPT $PIPELINE_STAGE $COLOR";
        let mut tell = exec_in(&["sh", "-c", script], surroundings);
        assert_eq!(call(&mut tell, "0"), lines_of(&[r#""7 1 paint red""#]));
    }
}
