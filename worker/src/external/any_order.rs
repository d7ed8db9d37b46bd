//! A long-lived program that is told of many units at once, and answers in any order.
//!
//! Owns the contract with such programs, in any language:
//!
//! - For each unit the program reads one line from stdin, `{"id": 7, "value": …}`, and writes one line to
//!   stdout: `{"id": 7, "value": …}` with its output, or `{"id": 7, "error": "…"}`, which fails the
//!   unit. It reads on before it has answered, and answers whenever it is done with one. It has to flush
//!   after each line, and ends when its stdin does.
//! - The numbers are the worker's; none comes twice while its unit is open.
//! - A line that is none of these, or has an `id` that is not open, ends the program. So does a unit whose
//!   time is up, which fails; the others are told again.
//! - When the program ends with several units open they are told again in smaller groups, until it ends over a
//!   single one, which fails with the last of its stderr. So a unit may be told twice in one attempt.

use serde_json::Value;

use super::answer::{append_json, decode};
use super::many::{Answer, Form, Id, Many};
use super::{CommandLine, Surroundings};
use crate::concurrent::Alone;
use crate::{Failure, Function, OutputLimits, Unit};

/// What a line holds beside its value.
const LINE_SLACK_BYTES: usize = 1 << 10;

/// A program of that contract.
#[derive(Debug, Default)]
pub struct AnyOrder {
    value: Vec<u8>,
}

impl AnyOrder {
    /// Tells one program of up to `open` units at once.
    pub fn at_once(
        command: CommandLine,
        surroundings: Surroundings,
        limits: OutputLimits,
        open: u32,
    ) -> impl Function {
        let line = limits.value_bytes_max.saturating_add(LINE_SLACK_BYTES);
        Alone::new(Many::new(Self::default(), command, surroundings, line, open))
    }
}

impl Form for AnyOrder {
    fn opening(&self, _: u32) -> Option<Vec<u8>> {
        None
    }

    fn opened(&mut self, _: &[u8]) -> Result<u32, Failure> {
        Ok(u32::MAX)
    }

    fn question(
        &self,
        id: Id,
        _: &Unit<'_>,
        input: &[u8],
        to: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        to.extend_from_slice(format!(r#"{{"id":{id},"value":"#).as_bytes());
        append_json(input, to)?;
        to.extend_from_slice(b"}\n");
        Ok(())
    }

    fn join(&self, questions: &[&[u8]], to: &mut Vec<u8>) {
        questions.iter().for_each(|question| to.extend_from_slice(question));
    }

    fn keeps_waiting(&self) -> bool {
        false
    }

    fn let_go(&self, _: Id) -> Option<Vec<u8>> {
        None
    }

    fn read(
        &mut self,
        line: &[u8],
        hear: &mut dyn FnMut(Id, Result<Answer<'_>, Failure>) -> bool,
    ) -> Result<(), String> {
        let said: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let Some(id) = said.get("id").and_then(Value::as_u64) else {
            return Err("it has no `id`".into());
        };
        let answer = match (said.get("value"), said.get("error")) {
            (Some(value), None) => {
                self.value.clear();
                match decode(value.to_string().as_bytes(), &mut self.value) {
                    Ok(()) => Ok(Answer { count: 1, values: &self.value }),
                    Err(error) => Err(Failure::new(error.to_string())),
                }
            }
            (None, Some(Value::String(text))) => Err(Failure::new(text)),
            (None, Some(error)) => Err(Failure::new(error.to_string())),
            _ => return Err("it has neither `value` nor `error`, or both".into()),
        };
        match hear(id, answer) {
            true => Ok(()),
            false => Err(format!("no unit has the `id` {id}, or it was answered before")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::external::many_tests::{all, outcomes};

    const ANSWERS: &str = r#"
import json, sys, threading
def answer(unit):
    value = unit["value"]
    if value == "die": import os; os._exit(3)
    if value == "wait": return
    said = {"id": unit["id"], "error": "bad"} if value == "bad" else {"id": unit["id"], "value": [value]}
    print(json.dumps(said), flush=True)
held = []
for line in sys.stdin:
    held.append(json.loads(line))
    if len(held) == 4 or held[-1]["value"] != "hold":
        for unit in reversed(held): answer(unit)
        held = []
"#;

    fn program(source: &str, surroundings: Surroundings) -> impl Function {
        let parts = ["python3", "-u", "-c", source].map(String::from);
        let command = CommandLine::new(&parts, &[]).unwrap();
        AnyOrder::at_once(command, surroundings, OutputLimits::default(), 8)
    }

    #[test]
    fn answers_in_any_order_find_their_units() {
        let mut program = program(ANSWERS, Surroundings::default());
        let inputs = [r#""hold""#, r#""hold""#, r#""bad""#, "4"];
        let said = outcomes(all(&mut program, &inputs));
        let hold = r#"["hold"]"#;
        assert_eq!(said, [Ok(hold.into()), Ok(hold.into()), Err("bad".into()), Ok("[4]".into())]);
    }

    #[test]
    fn a_program_that_ends_fails_the_one_unit_that_is_the_cause() {
        let mut program = program(ANSWERS, Surroundings::default());
        let inputs = ["1", "2", r#""die""#, "4", "5", "6", "7"];
        let said = outcomes(all(&mut program, &inputs));
        for (index, outcome) in said.iter().enumerate() {
            match index {
                2 => assert!(outcome.as_ref().unwrap_err().contains("exit status: 3")),
                _ => assert_eq!(*outcome, Ok(format!("[{}]", index + 1))),
            }
        }
    }

    #[test]
    fn a_unit_whose_time_is_up_fails_alone() {
        let timeout = Some(std::time::Duration::from_millis(700));
        let surroundings = Surroundings { timeout, ..Surroundings::default() };
        let mut program = program(ANSWERS, surroundings);
        let said = outcomes(all(&mut program, &["1", r#""wait""#, "3"]));
        assert_eq!(said[0], Ok("[1]".into()));
        assert_eq!(said[1], Err("`python3` took longer than 700ms and was killed".into()));
        assert_eq!(said[2], Ok("[3]".into()));
    }

    #[test]
    fn an_answer_that_nobody_has_asked_for_is_no_answer_of_another_unit() {
        let source =
            "import sys\nfor line in sys.stdin: print('{\"id\": 99, \"value\": 1}', flush=True)";
        let mut program = program(source, Surroundings::default());
        let said = outcomes(all(&mut program, &["1"]));
        let text = said[0].as_ref().unwrap_err();
        assert!(text.contains("no unit has the `id` 99"), "{text}");
    }
}
