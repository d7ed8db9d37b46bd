//! One long-lived program a worker, talking in JSON lines.
//!
//! Owns the contract with such programs, in any language:
//!
//! - for each unit the program reads one line from stdin, the value as compact JSON, and writes
//!   one line to stdout, its output as JSON. Exactly one line is exactly one output; `null` is a
//!   value like any other. (For none or many outputs, use `python`, or a worker of your own.) It
//!   has to flush after each line.
//! - When its stdin ends it leaves; that is also how it learns that its worker was killed.
//! - Its death, a line that is not JSON, a line too many, a line that is too long, and a timeout
//!   are the failure of the unit at hand, with the last of its stderr. It is started again for
//!   the next one. The time it takes to start counts for the unit that it is started for.
//! - What it writes to stderr is passed on line by line, with the unit in front.
//! - A surplus line is noticed when it has come before the next unit is sent.
//! - Several lines may be written before the first answer is read, so that a quick program is not
//!   waited for at each. If anything then goes wrong, the program is started again and each of
//!   these units is asked for by itself: so one may be asked for twice in one attempt.
//! - `PIPELINE_STAGE` is in its environment. It is not told which unit and attempt a value
//!   belongs to: where side effects need such a guard, put it into the value.

use std::time::Duration;

use super::answer::{append_json, decode};
use super::dialogue::Dialogue;
use super::{CommandLine, Surroundings};
use crate::function::{Batch, Outcomes, work_through};
use crate::{Failure, Function, OutputLimits, Outputs, Unit};

/// So many units are asked for one by one after trouble.
const ONE_BY_ONE: usize = 1_000;
/// Bytes of questions that are asked at once, at most.
const QUESTIONS_BYTES_MAX: usize = 256 << 10;

/// Asks one program about each unit.
#[derive(Debug)]
pub struct Pipe {
    dialogue: Dialogue,
    /// Reused from unit to unit.
    question: Vec<u8>,
    value: Vec<u8>,
    /// So many units are not asked for together: after trouble, after a word on stderr, which belongs to one
    /// of them, and at first, when it is not known yet whether there will be any.
    one_by_one: usize,
}

impl Pipe {
    /// The program is started by [`Function::set_up`], or by the first unit.
    pub fn new(command: CommandLine, surroundings: Surroundings, limits: OutputLimits) -> Self {
        Self {
            dialogue: Dialogue::new(command, surroundings, limits.value_bytes_max),
            question: Vec::new(),
            value: Vec::new(),
            one_by_one: 1,
        }
    }

    /// The outputs of the next units, as many as are asked for together; none after any trouble.
    fn ask_all(&mut self, batch: &Batch<'_>) -> Option<Vec<Vec<u8>>> {
        let count = batch.values().len();
        if count < 2 || self.one_by_one > 0 {
            self.one_by_one = self.one_by_one.saturating_sub(count);
            return None;
        }
        self.question.clear();
        let mut ends = Vec::with_capacity(count);
        for value in batch.values() {
            // What has no form as a question fails when it is asked by itself.
            append_json(value, &mut self.question).ok()?;
            self.question.push(b'\n');
            ends.push(self.question.len());
            if self.question.len() > QUESTIONS_BYTES_MAX {
                break;
            }
        }
        self.one_by_one = ONE_BY_ONE;
        // Neither is hidden by this: who asks one by one meets it again.
        if !self.dialogue.is_ready() {
            return None;
        }
        let said = self.dialogue.lines_said();
        let mut answers = self.dialogue.ask_all(&self.question, &ends)?;
        for answer in &mut answers {
            self.value.clear();
            if let Err(error) = decode(answer, &mut self.value) {
                self.dialogue.reject(answer, &error);
                return None;
            }
            answer.clone_from(&self.value);
        }
        if self.dialogue.lines_said() == said {
            self.one_by_one = 0;
        }
        Some(answers)
    }
}

impl Function for Pipe {
    /// # Errors
    /// When the program cannot be started.
    fn set_up(&mut self) -> Result<(), Failure> {
        self.dialogue.start().map(|_| ())
    }

    fn call(&mut self, unit: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        self.question.clear();
        append_json(input, &mut self.question)?;
        self.question.push(b'\n');

        self.dialogue.check()?;
        self.dialogue.start()?;
        self.dialogue.is_at(unit);
        let said = self.dialogue.lines_said();
        let answer = self.dialogue.ask(&self.question)?;
        if self.dialogue.lines_said() != said {
            self.one_by_one = ONE_BY_ONE;
        }

        self.value.clear();
        decode(&answer, &mut self.value).map_err(|error| self.dialogue.reject(&answer, &error))?;
        out.push_bytes(&self.value)
    }

    /// To ask together is worth it only for some.
    fn together(&self) -> Duration {
        Duration::from_millis(2)
    }

    fn call_all(&mut self, batch: &mut Batch<'_>, out: &mut Outputs, outcomes: &mut Outcomes) {
        let mut answers = self.ask_all(batch).unwrap_or_default().into_iter();
        batch.insist_on(answers.len());
        work_through(batch, out, outcomes, |unit, input, out| match answers.next() {
            Some(answer) => out.push_bytes(&answer),
            None => self.call(unit, input, out),
        });
    }

    fn tear_down(&mut self) {
        self.dialogue.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::external::words::tests::passed_on;
    use crate::testing::{call, lines};

    fn pipe_in(script: &str, surroundings: Surroundings) -> Pipe {
        let parts = ["/bin/sh", "-c", script].map(String::from);
        let command = CommandLine::new(&parts, &[]).unwrap();
        Pipe::new(command, surroundings, OutputLimits::default())
    }

    fn pipe(script: &str) -> Pipe {
        pipe_in(script, Surroundings::default())
    }

    #[test]
    fn one_program_answers_every_unit_in_turn() {
        let mut count = pipe("n=0; while read line; do n=$((n + 1)); echo [$n,$line]; done");
        count.set_up().unwrap();
        for n in 1..=100 {
            let value = format!(r#"{{"v":{n}}}"#);
            assert_eq!(call(&mut count, &value), Ok(vec![format!("[{n},{value}]")]));
        }
        count.tear_down();
    }

    #[test]
    fn null_is_a_value_and_line_ends_in_strings_stay_inside_the_line() {
        let mut cat = pipe("exec cat");
        assert_eq!(call(&mut cat, "null"), lines("null"));
        assert_eq!(call(&mut cat, r#""a\nb""#), lines(r#""a\nb""#));
    }

    #[test]
    fn a_value_larger_than_a_pipe_goes_there_and_back() {
        let json = format!("\"{}\"", "x".repeat(1 << 20));
        assert_eq!(call(&mut pipe("exec cat"), &json), Ok(vec![json.clone()]));
    }

    #[test]
    fn a_program_that_dies_fails_its_unit_and_is_started_again_for_the_next() {
        let script = r#"while read line; do
            [ "$line" = 13 ] && { echo unlucky >&2; exit 3; }; echo $line; done"#;
        let mut program = pipe(script);
        assert_eq!(call(&mut program, "1"), lines("1"));
        assert_eq!(
            call(&mut program, "13"),
            Err("`/bin/sh` ended with exit status: 3; on stderr: unlucky".into())
        );
        assert_eq!(call(&mut program, "2"), lines("2"));
    }

    #[test]
    fn a_program_that_leaves_after_its_answer_costs_no_unit() {
        let mut program = pipe("read line; echo $line; exit 1");
        assert_eq!(call(&mut program, "1"), lines("1"));
        await_end(&mut program);
        assert_eq!(call(&mut program, "2"), lines("2"));
    }

    /// Waits until the program has ended, or said something unasked.
    fn await_end(pipe: &mut Pipe) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let program = pipe.dialogue.program_for_test();
        while program.is_live() && program.answer().is_empty() {
            assert!(Instant::now() < deadline);
            program.look().unwrap();
        }
    }

    #[test]
    fn a_line_that_is_not_json_fails_its_unit_and_the_program_starts_anew() {
        let mut program = pipe("read line; echo what; read line; echo 2");
        assert_eq!(
            call(&mut program, "1"),
            Err("`/bin/sh` gave a wrong answer (expected value at line 1 column 1): what".into())
        );
        let text = call(&mut program, "1").unwrap_err();
        assert!(text.ends_with(": what"), "{text}");
    }

    #[test]
    fn a_number_that_would_lose_digits_fails_its_unit() {
        let text = call(&mut pipe("read line; echo 100000000000000000001"), "1").unwrap_err();
        assert!(text.contains("does not fit 64 bits"), "{text}");
    }

    #[test]
    fn a_second_line_with_the_answer_fails_the_unit() {
        // One write, so that both lines are there at once.
        let mut program = pipe(r"while read line; do printf '1\n2\n'; done");
        assert_eq!(
            call(&mut program, "1"),
            Err("`/bin/sh` printed more than one line for a unit: 2".into())
        );
    }

    #[test]
    fn a_second_line_that_comes_late_fails_the_next_unit_instead_of_being_its_answer() {
        let folder = tempfile::tempdir().unwrap();
        let surroundings = Surroundings {
            directory: Some(folder.path().display().to_string()),
            ..Surroundings::default()
        };
        // The first program says a second line once it is allowed to; those after it behave.
        let script = "[ -e go ] && exec cat; read line; echo 1
            while [ ! -e go ]; do :; done; echo oh no; exec cat";
        let mut program = pipe_in(script, surroundings);
        assert_eq!(call(&mut program, "1"), lines("1"));
        std::fs::write(folder.path().join("go"), "").unwrap();
        await_end(&mut program);
        assert_eq!(
            call(&mut program, "2"),
            Err("`/bin/sh` printed more than one line for a unit: oh no".into())
        );
        assert_eq!(call(&mut program, "3"), lines("3"));
    }

    #[test]
    fn a_timeout_fails_the_unit_and_the_program_starts_anew() {
        let surroundings =
            Surroundings { timeout: Some(Duration::from_millis(300)), ..Surroundings::default() };
        let script = r#"while read line; do
            [ "$line" = 13 ] && sleep 1000; echo $line; done"#;
        let mut program = pipe_in(script, surroundings);
        assert_eq!(
            call(&mut program, "13"),
            Err("`/bin/sh` took longer than 300ms and was killed".into())
        );
        assert_eq!(call(&mut program, "2"), lines("2"));
    }

    #[test]
    fn much_on_stderr_does_not_stop_the_program() {
        let script = "while read line; do yes | head -c 300000 >&2; echo $line; done";
        let mut loud = pipe(script);
        for n in ["1", "2", "3"] {
            assert_eq!(call(&mut loud, n), lines(n));
        }
    }

    #[test]
    fn tearing_down_lets_the_program_leave_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let surroundings = Surroundings {
            directory: Some(folder.path().display().to_string()),
            ..Surroundings::default()
        };
        let mut program = pipe_in("cat; echo bye > farewell", surroundings);
        assert_eq!(call(&mut program, "1"), lines("1"));
        program.tear_down();
        let farewell = std::fs::read_to_string(folder.path().join("farewell")).unwrap();
        assert_eq!(farewell, "bye\n");
    }

    /// Works on these values together; what each gave, or why it failed.
    fn together(pipe: &mut Pipe, values: &[u8]) -> Vec<Result<u64, String>> {
        let ends = (1..=values.len() as u32).collect();
        let units = proto::units::Units::from_source(0, values.to_vec(), ends);
        let mut batch = Batch::new(&units, 0, units.spans().to_vec(), 1, "s");
        let (mut out, mut outcomes) = (Outputs::default(), Outcomes::default());
        pipe.call_all(&mut batch, &mut out, &mut outcomes);
        let mut numbers = out.iter().map(|value| rmp_serde::from_slice(value).unwrap());
        let mut given = Vec::new();
        for outcome in outcomes.iter() {
            match outcome {
                crate::function::Executed::Outputs { units, each: 1 } => {
                    given.extend(numbers.by_ref().take(*units as usize).map(Ok));
                }
                crate::function::Executed::Failed(failure) => {
                    given.push(Err(failure.text().to_owned()));
                }
                other => panic!("{other:?}"),
            }
        }
        given
    }

    #[test]
    fn quick_units_are_asked_for_together() {
        // It would wait for ever if each line were sent only after the answer to the one before.
        let script = "read a; read b; echo $((a * a)); echo $((b * b))
            while read n; do echo $((n * n)); done";
        let mut program = pipe(script);
        program.set_up().unwrap();
        program.one_by_one = 0;
        let values: Vec<u8> = (0..100).collect();
        let squares: Vec<_> = (0..100).map(|n| Ok(n * n)).collect();
        assert_eq!(together(&mut program, &values), squares);
        assert_eq!(together(&mut program, &values), squares);
    }

    #[test]
    fn an_answer_too_many_among_units_asked_for_together_fails_its_unit_alone() {
        let script = r#"while read n; do [ "$n" = 5 ] && printf '7\n7\n' || echo $n; done"#;
        let mut program = pipe(script);
        program.set_up().unwrap();
        for last in [6, 7, 9] {
            program.one_by_one = 0;
            let given = together(&mut program, &(0..last).collect::<Vec<u8>>());
            for (n, given) in given.into_iter().enumerate() {
                match n {
                    5 => assert!(given.unwrap_err().contains("more than one line")),
                    n => assert_eq!(given, Ok(n as u64), "of {last}"),
                }
            }
        }
    }

    #[test]
    fn a_program_that_dies_among_units_asked_for_together_fails_one_alone() {
        let script = r#"while read n; do [ "$n" = 5 ] && exit 3; echo $n; done"#;
        let mut program = pipe(script);
        program.set_up().unwrap();
        program.one_by_one = 0;
        let given = together(&mut program, &[1, 5, 3]);
        assert_eq!((&given[0], &given[2]), (&Ok(1), &Ok(3)));
        assert_eq!(given[1], Err("`/bin/sh` ended with exit status: 3".into()));
        assert_eq!(program.one_by_one, ONE_BY_ONE);
    }

    #[test]
    fn a_timeout_among_units_asked_for_together_fails_one_alone() {
        let surroundings =
            Surroundings { timeout: Some(Duration::from_millis(300)), ..Surroundings::default() };
        let script = r#"while read n; do [ "$n" = 5 ] && sleep 1000; echo $n; done"#;
        let mut program = pipe_in(script, surroundings);
        program.set_up().unwrap();
        program.one_by_one = 0;
        let given = together(&mut program, &[1, 5, 3]);
        assert_eq!((&given[0], &given[2]), (&Ok(1), &Ok(3)));
        assert_eq!(given[1], Err("`/bin/sh` took longer than 300ms and was killed".into()));
    }

    #[test]
    fn words_of_units_that_come_together_bear_the_unit() {
        let script = "while read n; do echo at $n >&2; echo $n; done";
        let mut program = pipe(script);
        program.set_up().unwrap();
        for _ in 0..2 {
            together(&mut program, &[0, 1, 2]);
            let said: Vec<String> = (0..3).map(|n| format!("[unit {n}]: at {n}\n")).collect();
            assert_eq!(passed_on(), said.concat());
        }
    }

    #[test]
    fn a_program_that_cannot_be_started_fails_the_set_up() {
        let command = CommandLine::new(&["no-such-program".into()], &[]).unwrap();
        let mut program = Pipe::new(command, Surroundings::default(), OutputLimits::default());
        let failure = program.set_up().unwrap_err();
        assert!(failure.text().starts_with("cannot start `no-such-program`"), "{failure}");
    }
}
