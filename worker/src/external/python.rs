//! Python source as a function.
//!
//! Owns the harness (`harness.py`) that runs the source in one long-lived `python3`, and the
//! private protocol with it; refuses packages and environments: which `python3` it is, and what
//! it can import, the worker's or the stage's `PATH` and `PYTHONPATH` say.
//!
//! - The source is run once, then its `work(value)` is called for each unit. What it returns is
//!   the output; `None` is none, and a generator or any other iterator gives many. A list is one
//!   output, a list.
//! - An exception is the unit's failure, with the traceback. So is a result without a JSON form:
//!   NaN, a set, a whole number beyond 64 bits.
//! - The source is a module, `stage`, so that what looks a module up by its name (dataclasses,
//!   pickle, pools of processes) finds it. An `async def work` is refused at the start: it is for
//!   stages with a `concurrency` (`python_many.rs`).
//! - `PIPELINE_UNIT` (a string, the unit's name) and `PIPELINE_ATTEMPT` (a number from 1) are
//!   global names of the source, to guard side effects with; `pipeline_unit()` gives both. `sys.argv[1:]` are the stage's
//!   arguments, `PIPELINE_STAGE` is in `os.environ`.
//! - What the source prints goes to stderr.
//!
//! The protocol: lines of JSON. First `{"source", "outputs_max"}`, then for each unit
//! `{"unit", "attempt", "value"}`; each is answered with an array of outputs or with a string,
//! the traceback.

use proto::value::value_len;

use super::answer::{AnswerError, append_json, decode};
use super::dialogue::{Dialogue, Opening};
use super::{CommandLine, Surroundings};
use crate::{Failure, Function, OutputLimits, Outputs, Unit};

/// What both harnesses need, and the one for a unit at a time.
pub(super) const HARNESS: &str = include_str!("harness.py");

/// What the harness answered, against the protocol.
#[derive(Debug, thiserror::Error)]
#[error("neither outputs nor an error")]
struct NotAnAnswer;

/// Calls `work(value)` of Python source for each unit.
#[derive(Debug)]
pub struct Python {
    dialogue: Dialogue,
    /// Reused from unit to unit.
    question: Vec<u8>,
    answer: Vec<u8>,
}

impl Python {
    /// Nothing is started before [`Function::set_up`] or the first unit.
    pub fn new(
        source: &str,
        args: &[String],
        surroundings: Surroundings,
        limits: OutputLimits,
    ) -> Self {
        let harness = format!("{HARNESS}\nmain()\n");
        let interpreter = ["python3", "-u", "-c", &harness].map(String::from);
        let command = CommandLine::new(&interpreter, args).expect("python3 is a program");
        let opening = serde_json::json!({"source": source, "outputs_max": limits.units_max});
        let opening = Opening { line: format!("{opening}\n").into_bytes() };
        let dialogue = Dialogue::new(command, surroundings, limits.unit_bytes_max);
        Self { dialogue: dialogue.with_opening(opening), question: Vec::new(), answer: Vec::new() }
    }

    /// Has the harness run, with the source loaded.
    fn start(&mut self) -> Result<(), Failure> {
        let Some(line) = self.dialogue.start()? else {
            return Ok(());
        };
        let loaded = self.read(&line, &mut Outputs::default());
        if loaded.is_err() {
            // It would answer nothing from here on.
            self.dialogue.stop();
        }
        loaded
    }

    /// Pushes the outputs that an answer holds, or gives the error that it is.
    fn read(&mut self, line: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        self.answer.clear();
        match decode(line, &mut self.answer) {
            Ok(()) => {}
            // The harness is not at fault, and goes on.
            Err(error @ AnswerError::NumberTooLarge(_)) => {
                return Err(Failure::new(error.to_string()));
            }
            Err(error) => return Err(self.dialogue.reject(line, &error)),
        }
        if let Ok(traceback) = rmp_serde::from_slice::<&str>(&self.answer) {
            return Err(Failure::new(traceback));
        }
        let Some((count, mut rest)) = array(&self.answer) else {
            return Err(self.dialogue.reject(line, &NotAnAnswer));
        };
        for _ in 0..count {
            let len = value_len(rest)
                .map_err(|error| Failure::new(format!("an output cannot be sent: {error}")))?;
            let (value, behind) = rest.split_at(len);
            out.push_bytes(value)?;
            rest = behind;
        }
        Ok(())
    }

    fn ask(&mut self, unit: &Unit<'_>, input: &[u8]) -> Result<Vec<u8>, Failure> {
        self.question.clear();
        let head = format!(r#"{{"unit":"{unit}","attempt":{},"value":"#, unit.attempt);
        self.question.extend_from_slice(head.as_bytes());
        append_json(input, &mut self.question)?;
        self.question.extend_from_slice(b"}\n");
        self.dialogue.check()?;
        self.start()?;
        self.dialogue.ask(&self.question)
    }
}

impl Function for Python {
    /// # Errors
    /// When `python3` cannot be started, or the source fails or defines no `work`; with the
    /// traceback.
    fn set_up(&mut self) -> Result<(), Failure> {
        self.start()
    }

    fn call(&mut self, unit: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        let before = out.len();
        let line = self.ask(unit, input)?;
        let pushed = self.read(&line, out);
        if pushed.is_err() {
            out.truncate(before);
        }
        pushed
    }

    fn tear_down(&mut self) {
        self.dialogue.stop();
    }
}

/// The number of elements of a MessagePack array, and the bytes that they start with.
pub(super) fn array(value: &[u8]) -> Option<(usize, &[u8])> {
    let (marker, rest) = value.split_first()?;
    match marker {
        0x90..=0x9f => Some((usize::from(marker & 0x0f), rest)),
        0xdc => {
            let (len, rest) = rest.split_first_chunk()?;
            Some((usize::from(u16::from_be_bytes(*len)), rest))
        }
        0xdd => {
            let (len, rest) = rest.split_first_chunk()?;
            Some((u32::from_be_bytes(*len) as usize, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{call, lines, pack, unit};

    fn python(source: &str) -> Python {
        python_in(source, Surroundings::default())
    }

    fn python_in(source: &str, surroundings: Surroundings) -> Python {
        let args = ["first".to_owned(), "second".to_owned()];
        Python::new(source, &args, surroundings, OutputLimits::default())
    }

    #[test]
    fn what_work_returns_is_the_output_and_state_lives_on() {
        let mut sum = python(
            "total = 0\ndef work(value):\n  global total\n  total += value\n  return {'total': total}",
        );
        sum.set_up().unwrap();
        assert_eq!(call(&mut sum, "40"), lines(r#"{"total":40}"#));
        assert_eq!(call(&mut sum, "2"), lines(r#"{"total":42}"#));
        sum.tear_down();
    }

    #[test]
    fn none_is_no_output_an_iterator_is_many_and_a_list_is_one() {
        let mut program = python(
            "def work(n):\n  if n == 0: return None\n  if n == 1: return [1, 2]\n  return (i for i in range(n))",
        );
        assert_eq!(call(&mut program, "0"), lines(""));
        assert_eq!(call(&mut program, "1"), lines("[1,2]"));
        assert_eq!(call(&mut program, "3"), lines("0 1 2"));
        for n in [20, 70_000] {
            assert_eq!(call(&mut program, &n.to_string()).unwrap().len(), n);
        }
    }

    #[test]
    fn an_exception_is_a_failure_with_the_traceback_and_the_program_goes_on() {
        let source = "state = []\ndef halve(n):\n  if n % 2: raise ValueError(f'{n} is odd \\ud800')\n  return n // 2\ndef work(n):\n  state.append(n)\n  yield len(state)\n  yield halve(n)";
        let mut program = python(source);
        let text = call(&mut program, "3").unwrap_err();
        assert!(text.starts_with("Traceback (most recent call last):"), "{text}");
        assert!(text.contains("line 8, in work\n    yield halve(n)"), "{text}");
        assert!(text.ends_with("ValueError: 3 is odd ?"), "{text}");
        assert_eq!(call(&mut program, "4"), lines("2 2"));
    }

    #[test]
    fn leaving_the_interpreter_from_work_is_a_failure_of_one_unit() {
        let mut program = python(
            "import os, sys\ndef work(n):\n  if n == 1: sys.exit('enough')\n  if n == 2: os._exit(3)\n  return n",
        );
        assert_eq!(call(&mut program, "1").unwrap_err().lines().last(), Some("SystemExit: enough"));
        assert_eq!(call(&mut program, "2"), Err("`python3` ended with exit status: 3".into()));
        assert_eq!(call(&mut program, "5"), lines("5"));
    }

    #[test]
    fn a_source_that_is_wrong_fails_the_set_up_with_the_reason() {
        let reason = |source| python(source).set_up().unwrap_err().into_text();
        assert!(reason("def work(:").contains("SyntaxError"));
        assert!(reason("import no_such_module\ndef work(v): pass").contains("line 1, in <module>"));
        assert!(reason("x = 1").ends_with("the source defines no function `work(value)`"));
        // The same without a set-up: each unit fails with it.
        let text = call(&mut python("x = 1"), "1").unwrap_err();
        assert!(text.ends_with("`work(value)`"), "{text}");
    }

    #[test]
    fn what_work_prints_and_reads_does_not_meet_the_protocol() {
        let mut program = python(
            "import os, subprocess, sys\nprint('loading')\ndef work(v):\n  print('[1]')\n  os.write(1, b'[2]\\n')\n  subprocess.run(['sh', '-c', 'echo [3]; cat'])\n  return sys.stdin.read()",
        );
        for _ in 0..3 {
            assert_eq!(call(&mut program, "1"), lines(r#""""#));
        }
    }

    #[test]
    fn a_result_without_a_json_form_is_a_failure_of_one_unit() {
        let mut program = python(
            "units = []\ndef work(n):\n  units.append(n)\n  return {1: float('nan'), 2: {1}, 3: 2**64, 4: len(units), 5: '\\ud800'}[n]",
        );
        for (n, reason) in [
            ("1", "not JSON compliant"),
            ("2", "not JSON serializable"),
            ("3", "18446744073709551616 does not fit 64 bits"),
            ("5", "surrogate"),
        ] {
            let text = call(&mut program, n).unwrap_err();
            assert!(text.contains(reason), "{text}");
        }
        // The program has gone on all the while.
        assert_eq!(call(&mut program, "4"), lines("5"));
    }

    /// Python source is a module like any other: dataclasses with postponed annotations, pickle and
    /// a pool of processes find it by its name.
    #[test]
    fn the_source_is_a_module_that_others_find_by_its_name() {
        for source in [
            "from __future__ import annotations\nimport dataclasses\n@dataclasses.dataclass\nclass P:\n  n: int\n  of: dataclasses.InitVar[int] = 0\ndef work(n): return dataclasses.asdict(P(n))['n']",
            "import pickle\nclass P:\n  def __init__(self, n): self.n = n\ndef work(n): return pickle.loads(pickle.dumps(P(n))).n",
            "import multiprocessing\ndef same(n): return n\ndef work(n):\n  with multiprocessing.Pool(2) as pool: return pool.map(same, [n])[0]",
            "from concurrent.futures import ProcessPoolExecutor\ndef same(n): return n\ndef work(n):\n  with ProcessPoolExecutor(2) as pool: return list(pool.map(same, [n]))[0]",
            "import typing, inspect\nclass T(typing.NamedTuple):\n  n: 'int'\ndef work(n):\n  typing.get_type_hints(T)\n  assert 'def work' in inspect.getsource(work)\n  return T(n).n",
            "import sys\ndef work(n): return n if sys.modules[__name__].work is work else None",
        ] {
            assert_eq!(call(&mut python(source), "5"), lines("5"), "{source}");
        }
    }

    /// `async def` is told at the start, in one sentence, and not by every unit.
    #[test]
    fn an_async_function_fails_the_set_up_and_says_what_to_do() {
        for source in ["async def work(n): return n", "async def work(n): yield n"] {
            let text = python(source).set_up().unwrap_err().into_text();
            assert!(text.ends_with("which may call asyncio.run(...)"), "{text}");
            assert!(text.contains("`work` is an `async def`"), "{text}");
        }
        let hidden = "async def job(n): return n\ndef work(n): return job(n)";
        let text = call(&mut python(hidden), "1").unwrap_err();
        assert!(text.contains("returned a coroutine, and nobody awaits it here"), "{text}");
    }

    /// A value such as numpy's fails its unit with its type and the way out.
    #[test]
    fn a_value_without_a_json_form_is_named_with_what_to_do() {
        let source = "class float32:\n  def tolist(self): return 1.0\ndef work(n): return [{'x': float32()}] if n else {1}";
        let mut program = python(source);
        let text = call(&mut program, "1").unwrap_err();
        let told = "TypeError: `work` returned a stage.float32, which is not JSON serializable: convert it with .item() or .tolist()";
        assert_eq!(text.lines().last(), Some(told));
        let text = call(&mut program, "0").unwrap_err();
        assert!(text.contains("returned a set"), "{text}");
    }

    #[test]
    fn an_endless_generator_is_a_failure() {
        let limits = OutputLimits { units_max: 10, ..OutputLimits::default() };
        let source = "import itertools\ndef work(v): return itertools.count()";
        let mut program = Python::new(source, &[], Surroundings::default(), limits);
        let text = call(&mut program, "1").unwrap_err();
        assert!(
            text.ends_with("more than 10 outputs of one unit (the limit expansion_units_max)"),
            "{text}"
        );
    }

    #[test]
    fn outputs_beyond_the_limits_leave_none_behind() {
        let mut out = Outputs::new(OutputLimits { value_bytes_max: 5, ..OutputLimits::default() });
        let mut program = python("def work(v): yield 1; yield 'too long'");
        program.call(&unit(), &pack("1"), &mut out).unwrap_err();
        assert!(out.is_empty());
    }

    #[test]
    fn a_timeout_fails_the_unit_but_does_not_count_while_the_source_is_loaded() {
        let surroundings =
            Surroundings { timeout: Some(Duration::from_millis(300)), ..Surroundings::default() };
        let source = "import time\ntime.sleep(0.5)\ndef work(n):\n  time.sleep(n)\n  return n";
        let mut program = python_in(source, surroundings);
        assert_eq!(call(&mut program, "0"), lines("0"));
        assert_eq!(
            call(&mut program, "1000"),
            Err("`python3` took longer than 300ms and was killed".into())
        );
        assert_eq!(call(&mut program, "0"), lines("0"));
    }

    #[test]
    fn the_source_knows_its_arguments_its_stage_its_unit_and_its_attempt() {
        let surroundings = Surroundings { stage: "paint".into(), ..Surroundings::default() };
        let mut program = python_in(
            "import os, sys\ndef work(v): return [sys.argv[1:], os.environ['PIPELINE_STAGE'], PIPELINE_UNIT, PIPELINE_ATTEMPT]",
            surroundings,
        );
        assert_eq!(call(&mut program, "1"), lines(r#"[["first","second"],"paint","7",1]"#));
    }
}
