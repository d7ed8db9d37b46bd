//! One long-lived program, asked in lines and answering in lines.
//!
//! Owns its lifetime: it is started before the first question and again after every trouble.
//! Refuses to know what a line means, beyond that one question has one answer.

use std::time::{Duration, Instant};

use super::halt::{Bounds, Halt, cannot_start, halted};
use super::hint::Hint;
use super::program::Program;
use super::{CommandLine, Surroundings};
use crate::function::start_of;
use crate::{Failure, Unit};

/// How long a program may take to leave after its input has ended.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);
/// The least time that a program has for its opening, when there is a timeout for units.
const OPENING_LIMIT: Duration = Duration::from_secs(60);

/// What is said to a program right after its start, before any question.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) line: Vec<u8>,
}

/// A conversation with one program.
#[derive(Debug)]
pub(super) struct Dialogue {
    command: CommandLine,
    surroundings: Surroundings,
    /// The longest answer.
    line_bytes_max: usize,
    opening: Option<Opening>,
    program: Option<Program>,
    hint: Hint,
}

impl Dialogue {
    pub(super) fn new(
        command: CommandLine,
        surroundings: Surroundings,
        line_bytes_max: usize,
    ) -> Self {
        Self {
            command,
            surroundings,
            line_bytes_max,
            opening: None,
            program: None,
            hint: Hint::default(),
        }
    }

    /// Has every start begin with this line, which is answered with one line too.
    pub(super) fn with_opening(mut self, opening: Opening) -> Self {
        self.opening = Some(opening);
        // It may load for long, and flushes what it says.
        self.hint = Hint::needless();
        self
    }

    /// The program's name.
    pub(super) fn name(&self) -> &str {
        self.command.program()
    }

    /// Starts the program, unless it runs; gives its answer to the opening, if it was asked.
    pub(super) fn start(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        if self.program.is_some() {
            return Ok(None);
        }
        let mut command = self.command.command(&self.surroundings);
        let program = Program::start(&mut command)
            .map_err(|error| cannot_start(&self.command, &self.surroundings, &error))?;
        self.program = Some(program);
        let Some(opening) = &self.opening else {
            return Ok(None);
        };
        let line = opening.line.clone();
        let limit = self.surroundings.timeout.map(|time| time.max(OPENING_LIMIT));
        self.exchange(&line, limit).map(Some)
    }

    /// What the program writes to stderr from now on is about this unit.
    pub(super) fn is_at(&mut self, unit: &Unit<'_>) {
        self.program.iter_mut().for_each(|program| program.is_at(unit));
    }

    /// How many lines the program has written to stderr, if it runs.
    pub(super) fn lines_said(&self) -> u64 {
        self.program.as_ref().map_or(0, Program::lines_said)
    }

    /// Asks a question (with its line end) of the program, which has to run; waits for its
    /// answer.
    ///
    /// After a failure the program is gone, and has to be started again.
    pub(super) fn ask(&mut self, question: &[u8]) -> Result<Vec<u8>, Failure> {
        self.exchange(question, self.surroundings.timeout)
    }

    /// The same, where the answer may have parts before its last line: `part` says whether a line is one,
    /// and has done with it what is to be done.
    pub(super) fn ask_in_parts(
        &mut self,
        question: &[u8],
        part: impl FnMut(&[u8]) -> Result<bool, Failure>,
    ) -> Result<Vec<u8>, Failure> {
        self.exchange_in_parts(question, self.surroundings.timeout, part)
    }

    /// Asks several questions (each with its line end, which is at one of `ends`) before the first
    /// answer is read; the answers, or none if anything was not as it has to be.
    ///
    /// Answers are told apart by their order alone, so one too many would shift all that follow.
    /// The last question is asked when the program is known to be done with those before it: then
    /// a line too many is here. After trouble the program is gone, and nothing is known of any of
    /// the questions: they have to be asked one by one.
    pub(super) fn ask_all(&mut self, questions: &[u8], ends: &[usize]) -> Option<Vec<Vec<u8>>> {
        let [before @ .., _] = ends else { return None };
        let (before_last, last) = questions.split_at(*before.last()?);
        let (first, rest) = last.split_first()?;
        let limit = self.surroundings.timeout;
        let bytes_max = self.line_bytes_max;
        let bounds = || Bounds { deadline: limit.map(|limit| Instant::now() + limit), bytes_max };
        let name = self.command.program();
        let (program, hint) = (self.program.as_mut()?, &mut self.hint);
        let mut ask = || {
            program.send(before_last);
            let mut answers = Vec::with_capacity(ends.len());
            for left in (0..before.len()).rev() {
                let read = |program: &mut Program, bounds| program.read_line_of_many(left, bounds);
                answers.push(hint.while_reading(name, program, bounds(), read)?);
            }
            program.lure(*first, bounds())?;
            if program.answer().is_empty() {
                program.send(rest);
                answers.push(program.read_line(bounds())?);
            }
            Ok::<_, Halt>(answers)
        };
        let answers = ask().ok().filter(|answers| answers.len() == ends.len());
        if answers.is_none() || !program.answer().is_empty() {
            tracing::debug!(program = self.name(), "asked one by one from here on");
            self.program = None;
            return None;
        }
        answers
    }

    /// Whether the program runs, and has said nothing that it was not asked for.
    pub(super) fn is_ready(&mut self) -> bool {
        self.program.as_mut().is_some_and(|program| {
            program.look().is_ok() && program.is_live() && program.answer().is_empty()
        })
    }

    /// Makes sure, before a question, that what is read next will be its answer.
    ///
    /// A program that has left since the last answer is forgotten: that is not the fault of the
    /// unit that comes next. One that has said more than it was asked for is ended, and the unit
    /// fails: an answer too many would otherwise be taken for the next unit's.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        let Some(program) = self.program.as_mut() else {
            return Ok(());
        };
        let looked = program.look();
        if !program.answer().is_empty() {
            return Err(self.surplus());
        }
        if looked.is_err() || !program.is_live() {
            tracing::debug!(program = self.command.program(), "a program left by itself");
            self.program = None;
        }
        Ok(())
    }

    /// Ends the program for an answer that cannot be understood.
    pub(super) fn reject(&mut self, answer: &[u8], reason: &dyn std::error::Error) -> Failure {
        self.program = None;
        let (name, answer) = (self.name(), start_of(answer));
        Failure::new(format!("`{name}` gave a wrong answer ({reason}): {answer}"))
    }

    /// Ends the program's input and gives it a moment to leave.
    pub(super) fn stop(&mut self) {
        if let Some(mut program) = self.program.take() {
            program.end_input();
            let bounds = Bounds {
                deadline: Some(Instant::now() + LEAVE_LIMIT),
                bytes_max: self.line_bytes_max,
            };
            if let Err(halt) = program.read_to_end(bounds) {
                tracing::debug!(program = self.name(), ?halt, "a program did not leave by itself");
            }
        }
    }

    /// The running program, for tests that wait for it.
    #[cfg(test)]
    pub(super) fn program_for_test(&mut self) -> &mut Program {
        self.program.as_mut().unwrap()
    }

    fn exchange(&mut self, line: &[u8], limit: Option<Duration>) -> Result<Vec<u8>, Failure> {
        self.exchange_in_parts(line, limit, |_| Ok(false))
    }

    fn exchange_in_parts(
        &mut self,
        line: &[u8],
        limit: Option<Duration>,
        mut part: impl FnMut(&[u8]) -> Result<bool, Failure>,
    ) -> Result<Vec<u8>, Failure> {
        let bounds = Bounds {
            deadline: limit.map(|limit| Instant::now() + limit),
            bytes_max: self.line_bytes_max,
        };
        let program =
            self.program.as_mut().ok_or_else(|| Failure::new("the program is not running"))?;
        program.send(line);
        let name = self.command.program();
        let failure = loop {
            match self.hint.while_reading(name, program, bounds, Program::read_line) {
                Ok(answer) => match part(&answer) {
                    Ok(true) => {}
                    Ok(false) if !program.answer().is_empty() => return Err(self.surplus()),
                    Ok(false) => return Ok(answer),
                    Err(failure) => break failure,
                },
                Err(halt) => break halted(name, program, halt, bounds, limit),
            }
        };
        self.program = None;
        Err(failure)
    }

    fn surplus(&mut self) -> Failure {
        let answer = self.program.take();
        let answer = answer.map(|program| start_of(program.answer()));
        Failure::new(format!(
            "`{}` printed more than one line for a unit: {}",
            self.name(),
            answer.unwrap_or_default().trim_end()
        ))
    }
}
