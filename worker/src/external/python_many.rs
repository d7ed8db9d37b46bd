//! Python source as a function that has many units open at once.
//!
//! Owns the second harness (`harness_many.py`, behind the parts of `harness.py`) and the private
//! protocol with it. What the source is, and what its results mean, is as in `python.rs`, but:
//!
//! - an `async def work` runs in one event loop on the main thread. As many coroutines as there may be units open
//!   work through one queue; an `async def` with `yield` gives many outputs.
//! - A plain `def work` runs in threads, 64 at most, or as many as `PIPELINE_THREADS_MAX = …` in the source says.
//! - `pipeline_unit()` gives the name and the attempt of the unit that the caller is working on; there are no
//!   global names for that, since many units are open.
//! - A unit whose time is up is cancelled, and its failure is told at once. What goes on all the same, as a thread
//!   does, is left behind: the interpreter gets no further units, and ends once the others in it are done.
//! - A loop that has not turned for a second is told of, with the unit and the stack.
//!
//! The protocol: lines of JSON. First `{"source", "path", "outputs_max", "concurrency"}`, answered by the number of
//! units that can be open or by a traceback. Then `[[id, unit, attempt, value], …]`, answered by
//! `[[id, outputs], …]` in any order, where outputs are an array or a traceback; `{"cancel": id}`, which is
//! answered as the unit is when it ends; and, from the harness, `{"blocked": seconds, "unit", "stack"}`.

use serde_json::Value;

use super::answer::{append_json, decode, elements};
use super::many::{Answer, Form, Id, Many};
use super::python::array;
use super::{EmptyCommand, Script, Surroundings};
use crate::concurrent::Alone;
use crate::{Failure, Function, OutputLimits, Unit};

const MANY: &str = include_str!("harness_many.py");
/// What a line of answers holds beside the largest.
const LINE_SLACK_BYTES: usize = 8 << 20;

/// Calls `work(value)` of Python source for many units at once.
#[derive(Debug)]
pub struct PythonMany {
    script: Script,
    outputs_max: u32,
    answer: Vec<u8>,
}

impl PythonMany {
    /// Has up to `open` units open at once in one interpreter.
    ///
    /// # Errors
    /// [`EmptyCommand`] when the script's interpreter is.
    pub fn at_once(
        script: Script,
        args: &[String],
        surroundings: Surroundings,
        limits: OutputLimits,
        open: u32,
    ) -> Result<impl Function + use<>, EmptyCommand> {
        let command = script.command(&format!("{MANY}\nmany()\n"), args)?;
        let form = Self { script, outputs_max: limits.units_max, answer: Vec::new() };
        let line = limits.unit_bytes_max.saturating_add(LINE_SLACK_BYTES);
        Ok(Alone::new(Many::new(form, command, surroundings, line, open)))
    }

    /// One answer: the unit's number, and its outputs or its traceback.
    fn hear(
        &mut self,
        element: &[u8],
        hear: &mut dyn FnMut(Id, Result<Answer<'_>, Failure>) -> bool,
    ) -> Result<(), String> {
        const NEITHER: &str = "neither outputs nor an error";
        let mut parts = elements(element).ok_or(NEITHER)?;
        let (Some(id), Some(said), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NEITHER.into());
        };
        let id: Id = str::from_utf8(id).ok().and_then(|id| id.parse().ok()).ok_or(NEITHER)?;
        self.answer.clear();
        let answer = match decode(said, &mut self.answer) {
            Err(error) => Err(Failure::new(error.to_string())),
            Ok(()) => match rmp_serde::from_slice::<&str>(&self.answer) {
                Ok(traceback) => Err(Failure::new(traceback)),
                Err(_) => {
                    let (count, values) = array(&self.answer).ok_or(NEITHER)?;
                    Ok(Answer { count, values })
                }
            },
        };
        // One that nobody waits for any more has been cancelled.
        let _ = hear(id, answer);
        Ok(())
    }
}

impl Form for PythonMany {
    fn opening(&self, open: u32) -> Option<Vec<u8>> {
        let mut opening = self.script.opening(self.outputs_max, false);
        opening["concurrency"] = open.into();
        Some(format!("{opening}\n").into_bytes())
    }

    fn opened(&mut self, line: &[u8]) -> Result<u32, Failure> {
        match serde_json::from_slice(line) {
            Ok(Value::Number(open)) => {
                Ok(open.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(1))
            }
            Ok(Value::String(traceback)) => Err(Failure::new(traceback)),
            _ => {
                let interpreter = &self.script.interpreter;
                Err(Failure::new(format!("`{interpreter}` did not start as it should")))
            }
        }
    }

    fn question(
        &self,
        id: Id,
        unit: &Unit<'_>,
        input: &[u8],
        to: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        to.extend_from_slice(format!(r#"[{id},"{unit}",{},"#, unit.attempt).as_bytes());
        append_json(input, to)?;
        to.push(b']');
        Ok(())
    }

    fn join(&self, questions: &[&[u8]], to: &mut Vec<u8>) {
        for (index, question) in questions.iter().enumerate() {
            to.push(if index == 0 { b'[' } else { b',' });
            to.extend_from_slice(question);
        }
        to.extend_from_slice(b"]\n");
    }

    fn keeps_waiting(&self) -> bool {
        true
    }

    fn let_go(&self, id: Id) -> Option<Vec<u8>> {
        Some(format!("{{\"cancel\":{id}}}\n").into_bytes())
    }

    fn read(
        &mut self,
        line: &[u8],
        hear: &mut dyn FnMut(Id, Result<Answer<'_>, Failure>) -> bool,
    ) -> Result<(), String> {
        if line.first() == Some(&b'{') {
            return notice(line);
        }
        let answers = elements(line).ok_or("no array")?;
        for element in answers {
            self.hear(element, hear)?;
        }
        Ok(())
    }
}

/// Passes on what the harness has to tell.
fn notice(line: &[u8]) -> Result<(), String> {
    let told: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let text = |key: &str| told.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (unit, stack) = (text("unit"), text("stack"));
    let seconds = told.get("blocked").and_then(Value::as_f64).unwrap_or_default();
    tracing::warn!(
        %unit,
        "the event loop of `work` has not turned for {seconds:.1} s, so all units wait for one that does not `await`:\n{stack}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::external::many_tests::{all, outcomes};
    use crate::testing::{call, lines};

    fn python(source: &str) -> impl Function {
        python_in(source, Surroundings::default())
    }

    fn python_in(source: &str, surroundings: Surroundings) -> impl Function {
        PythonMany::at_once(Script::new(source), &[], surroundings, OutputLimits::default(), 64)
            .unwrap()
    }

    /// Every unit waits until all are there: so all are open at once.
    #[test]
    fn async_units_are_open_at_once_and_finish_in_any_order() {
        let source = "import asyncio\nthere = 0\nall_there = asyncio.Event()\nasync def work(n):\n  global there\n  there += 1\n  if there == 40: all_there.set()\n  await all_there.wait()\n  await asyncio.sleep((40 - n) / 500)\n  return {'n': n}";
        let inputs: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let said = all(&mut python(source), &inputs);
        assert!(!said.is_sorted_by_key(|(slot, _)| *slot), "the last one is the quickest");
        let said = outcomes(said);
        assert!((0..40).all(|n| said[n] == Ok(format!(r#"{{"n":{n}}}"#))), "{said:?}");
    }

    #[test]
    fn plain_functions_are_called_in_threads() {
        let source = "import threading\ntogether = threading.Barrier(8)\ndef work(n):\n  together.wait()\n  yield n\n  yield n + 1";
        let inputs: Vec<String> = (0..8).map(|n| n.to_string()).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let said = outcomes(all(&mut python(source), &inputs));
        assert!((0..8).all(|n| said[n] == Ok(format!("{n} {}", n + 1))), "{said:?}");
    }

    #[test]
    fn each_unit_has_its_own_outcome() {
        let source = "import asyncio\nasync def work(n):\n  await asyncio.sleep(0)\n  if n == 0: return None\n  if n == 1: raise ValueError('one')\n  if n == 2: return {'a': 1j}\n  if n == 3: return [2**64]\n  if n == 4: raise SystemExit('enough')\n  if n == 5: return '\\ud800'\n  if n == 7: return {2, 1}\n  return list(pipeline_unit())";
        let said = outcomes(all(&mut python(source), &["0", "1", "2", "3", "4", "5", "6", "7"]));
        assert_eq!(said[0], Ok(String::new()));
        let error = |n: usize| said[n].as_ref().unwrap_err().lines().last().unwrap().to_owned();
        assert_eq!(error(1), "ValueError: one");
        assert!(said[1].as_ref().unwrap_err().contains("in work\n    if n == 1"), "{said:?}");
        assert!(error(2).contains("result['a'] is a complex, which has no form"), "{said:?}");
        assert!(error(3).contains("result[0] is an int, and 18446744073709551616"), "{said:?}");
        assert_eq!(error(4), "SystemExit: enough");
        assert!(error(5).contains("surrogate"), "{said:?}");
        assert_eq!(said[6], Ok(r#"["6",1]"#.into()));
        assert_eq!(said[7], Ok("[1,2]".into()));
    }

    #[test]
    fn an_async_generator_gives_many_outputs_within_the_limit() {
        let source = "async def work(n):\n  for i in range(n): yield i";
        assert_eq!(call(&mut python(source), "3"), lines("0 1 2"));
        let limits = OutputLimits { units_max: 2, ..OutputLimits::default() };
        let script = Script::new(source);
        let mut few = PythonMany::at_once(script, &[], Surroundings::default(), limits, 4).unwrap();
        assert!(call(&mut few, "3").unwrap_err().contains("expansion_units_max"));
    }

    #[test]
    fn a_unit_that_ends_the_interpreter_fails_alone() {
        let source = "import asyncio, os\nasync def work(n):\n  await asyncio.sleep(0.01)\n  if n == 5: os._exit(3)\n  await asyncio.sleep(0.2)\n  return n";
        let inputs: Vec<String> = (0..9).map(|n| n.to_string()).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let said = outcomes(all(&mut python(source), &inputs));
        for (n, outcome) in said.iter().enumerate() {
            match n {
                5 => assert_eq!(*outcome, Err("`python3` ended with exit status: 3".into())),
                n => assert_eq!(*outcome, Ok(n.to_string())),
            }
        }
    }

    #[test]
    fn a_timeout_is_a_units_own() {
        let timeout = Some(Duration::from_millis(600));
        let surroundings = Surroundings { timeout, ..Surroundings::default() };
        let source = "import asyncio, os\nasync def work(n):\n  await asyncio.sleep(n)\n  return os.getpid()";
        let mut python = python_in(source, surroundings);
        let said = outcomes(all(&mut python, &["0", "1000", "0"]));
        let told = "`python3` took longer than 600ms and was cancelled";
        assert_eq!(said[1], Err(told.into()));
        assert_eq!(said[0], said[2], "the same interpreter goes on");
    }

    /// The interpreter with a thread that goes on is left behind, one that lets go is not.
    #[test]
    fn what_does_not_let_go_of_a_unit_is_replaced() {
        let timeout = Some(Duration::from_millis(800));
        for (source, replaced) in [
            ("import time, os\ndef work(n):\n  time.sleep(n)\n  return os.getpid()", true),
            (
                "import asyncio, os, time\nasync def work(n):\n  until = time.monotonic() + n\n  while time.monotonic() < until:\n    try: await asyncio.sleep(0.01)\n    except asyncio.CancelledError: pass\n  return os.getpid()",
                true,
            ),
            (
                "import asyncio, os\nasync def work(n):\n  await asyncio.sleep(n)\n  return os.getpid()",
                false,
            ),
        ] {
            let surroundings = Surroundings { timeout, ..Surroundings::default() };
            let mut python = python_in(source, surroundings);
            let before = call(&mut python, "0").unwrap();
            assert!(call(&mut python, "1000").unwrap_err().contains("was cancelled"));
            let mut after = call(&mut python, "0").unwrap();
            let deadline = std::time::Instant::now() + Duration::from_secs(30);
            while replaced && before == after && std::time::Instant::now() < deadline {
                after = call(&mut python, "0").unwrap();
            }
            assert_eq!(before != after, replaced, "{source}");
            python.tear_down();
        }
    }

    #[test]
    fn a_source_that_is_wrong_or_uses_global_names_of_one_unit_fails_the_start() {
        let reason = |source: &str| {
            let mut python = python(source);
            let concurrent = python.concurrent().unwrap();
            let begun = concurrent.begin(4, OutputLimits::default(), Default::default());
            begun.unwrap_err().into_text()
        };
        assert!(reason("x = 1").ends_with("the source defines no function `work(value)`"));
        assert!(reason("async def work(:").contains("SyntaxError"));
        let text = reason("async def work(n): return PIPELINE_UNIT");
        assert!(text.contains("pipeline_unit()"), "{text}");
    }

    #[test]
    fn threads_are_few_unless_the_source_says_otherwise() {
        for (source, open) in [
            ("def work(n): return n", 64),
            ("PIPELINE_THREADS_MAX = 100\ndef work(n): return n", 100),
            ("async def work(n): return n", 500),
        ] {
            let mut python = python(source);
            let concurrent = python.concurrent().unwrap();
            let begun = concurrent.begin(500, OutputLimits::default(), Default::default());
            assert_eq!(begun.unwrap(), open, "{source}");
            concurrent.end();
        }
    }
}
