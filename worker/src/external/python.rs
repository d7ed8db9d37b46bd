//! Python source as a function.
//!
//! Owns the harness (`harness.py`) that runs the source in one long-lived interpreter, and the
//! private protocol with it; refuses packages and environments: which `python3` it is, unless the stage
//! names another interpreter, and what it can import, the worker's or the stage's `PATH` and `PYTHONPATH` say.
//!
//! - The source is run once, then its `work(value)` is called for each unit. What it returns is
//!   the output; `None` is none, and a generator or any other iterator gives many. A list is one
//!   output, a list.
//! - An exception is the unit's failure, with the traceback. So is a result without a JSON form, or one
//!   that stands for it (`forms.py`): NaN, a whole number beyond 64 bits, an object of the user's own; the
//!   failure says what it is, and where in the result.
//! - The source is a module, `stage`, so that what looks a module up by its name (dataclasses,
//!   pickle, pools of processes) finds it. An `async def work` is refused at the start: it is for
//!   stages with a `concurrency` (`python_many.rs`).
//! - `PIPELINE_UNIT` (a string, the unit's name) and `PIPELINE_ATTEMPT` (a number from 1) are
//!   global names of the source, to guard side effects with; `pipeline_unit()` gives both. `sys.argv[1:]` are the stage's
//!   arguments, `PIPELINE_STAGE` is in `os.environ`.
//! - What the source prints goes to stderr as whole lines, marked with the unit (`words.py`); its last is told
//!   with a failure.
//!
//! The protocol: lines of JSON. First `{"source", "path", "outputs_max"}`, then for each unit
//! `{"unit", "attempt", "value"}`; each is answered with an array of outputs or with a string,
//! the traceback.

use proto::value::value_len;

use super::answer::{AnswerError, append_json, decode};
use super::dialogue::{Dialogue, Opening};
use super::{EmptyCommand, Script, Surroundings};
use crate::{Failure, Function, OutputLimits, Outputs, Unit};

/// What the harness answered, against the protocol.
#[derive(Debug, thiserror::Error)]
#[error("neither outputs nor an error")]
struct NotAnAnswer;

/// With this a line begins that is one output of several; the rest is its value, and a brace.
const PART: &[u8] = br#"{"part":"#;

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
    ///
    /// If it `streams`, each output of an iterator comes by itself, before there is the next one.
    ///
    /// # Errors
    /// [`EmptyCommand`] when the script's interpreter is.
    pub fn new(
        script: &Script,
        args: &[String],
        surroundings: Surroundings,
        limits: OutputLimits,
        streams: bool,
    ) -> Result<Self, EmptyCommand> {
        let command = script.command("main()\n", args)?;
        let opening = script.opening(limits.units_max, streams);
        let opening = Opening { line: format!("{opening}\n").into_bytes() };
        let dialogue = Dialogue::new(command, surroundings, limits.unit_bytes_max);
        let dialogue = dialogue.with_opening(opening);
        Ok(Self { dialogue, question: Vec::new(), answer: Vec::new() })
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

    /// The last line of the answer; the parts before it are outputs by then.
    fn ask(
        &mut self,
        unit: &Unit<'_>,
        input: &[u8],
        out: &mut Outputs,
    ) -> Result<Vec<u8>, Failure> {
        self.question.clear();
        let head = format!(r#"{{"unit":"{unit}","attempt":{},"value":"#, unit.attempt);
        self.question.extend_from_slice(head.as_bytes());
        append_json(input, &mut self.question)?;
        self.question.extend_from_slice(b"}\n");
        self.dialogue.check()?;
        self.start()?;
        self.dialogue.is_at(unit);
        let value = &mut self.answer;
        self.dialogue.ask_in_parts(&self.question, |line| {
            let Some(part) = line.strip_prefix(PART).and_then(|rest| rest.strip_suffix(b"}"))
            else {
                return Ok(false);
            };
            value.clear();
            decode(part, value).map_err(|error| Failure::new(error.to_string()))?;
            out.push_bytes(value).map(|()| true)
        })
    }
}

impl Function for Python {
    /// # Errors
    /// When the interpreter cannot be started, or the source fails or defines no `work`; with the
    /// traceback.
    fn set_up(&mut self) -> Result<(), Failure> {
        self.start()
    }

    fn call(&mut self, unit: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        let before = out.len();
        let pushed = self.ask(unit, input, out).and_then(|line| self.read(&line, out));
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
    use crate::external::words::tests::passed_on;
    use crate::testing::{call, lines, pack, unit};

    fn python(source: &str) -> Python {
        python_in(source, Surroundings::default())
    }

    fn python_in(source: &str, surroundings: Surroundings) -> Python {
        let args = ["first".to_owned(), "second".to_owned()];
        Python::new(&Script::new(source), &args, surroundings, OutputLimits::default(), false)
            .unwrap()
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
            "units = []\nclass Own: pass\nring = []\nring.append(ring)\ndef work(n):\n  units.append(n)\n  if n == 8: return (value for value in [1, {'a': 1j}])\n  return [{'a': [1, 2, 3, float('nan')]}, Own(), (0, {'b': 2**64}), len(units), {'k': '\\ud800'}, {(1, 2): 3}, ring, -2**63 - 1][n]",
        );
        for (n, reason) in [
            ("0", "ValueError: result['a'][3] is nan (a float), which JSON does not have"),
            ("1", "TypeError: result is a stage.Own, which has no form in JSON"),
            ("2", "result[1]['b'] is an int, and 18446744073709551616 does not fit 64 bits"),
            ("4", "result['k'] is text with a lone surrogate"),
            ("5", "a key of result is a tuple, (1, 2), and JSON has text only"),
            ("6", "`result` is nested deeper than 127 levels, or holds itself"),
            ("7", "result is an int, and -9223372036854775809 does not fit 64 bits"),
            ("8", "results[1]['a'] is a complex, which has no form in JSON"),
        ] {
            let text = call(&mut program, n).unwrap_err();
            assert!(text.contains(reason) && text.lines().count() == 1, "{text}");
        }
        // The program has gone on all the while.
        assert_eq!(call(&mut program, "3"), lines("9"));
    }

    /// Numbers at the edges of 64 bits, and text that looks like a larger one, are what they are.
    #[test]
    fn whole_numbers_of_64_bits_and_long_digits_in_text_come_through() {
        let mut program = python(
            "def work(n): return [-2**63, 2**64 - 1, '123456789012345678901234', {2**70: 1}]",
        );
        let told = r#"[-9223372036854775808,18446744073709551615,"123456789012345678901234",{"1180591620717411303424":1}]"#;
        assert_eq!(call(&mut program, "0"), lines(told));
    }

    /// Values that JSON does not hold have the forms that the reference lists.
    #[test]
    fn values_that_json_does_not_hold_have_documented_forms() {
        for (expression, form) in [
            (
                "datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone.utc)",
                r#""2024-02-29T12:30:00+00:00""#,
            ),
            (
                "[datetime.date(2024, 2, 29), datetime.time(1, 2, 3)]",
                r#"["2024-02-29","01:02:03"]"#,
            ),
            ("datetime.timedelta(minutes=1, milliseconds=500)", "60.5"),
            ("pathlib.Path('a') / 'b'", r#""a/b""#),
            ("[b'foo', bytearray(b'fo'), memoryview(b'f')]", r#"["Zm9v","Zm8=","Zg=="]"#),
            ("decimal.Decimal('1.10')", r#""1.10""#),
            ("[Colour.RED, Level.LOW, {Colour.RED: 1}]", r#"["red",3,{"red":1}]"#),
            ("{3, 1, 2}", "[1,2,3]"),
            ("frozenset([b'b', 'a', 1])", r#"["Yg==",1,"a"]"#),
            ("Point(1, Point(2, None))", r#"{"x":1,"y":{"x":2,"y":null}}"#),
            ("(1, Pair(2, (3,)))", "[1,[2,[3]]]"),
            ("uuid.UUID(int=5)", r#""00000000-0000-0000-0000-000000000005""#),
            ("[Scalar(), array.array('d', [0.5, 1.5])]", "[7,[0.5,1.5]]"),
            ("{1: True, None: 1, True: 2, 0.5: 3}", r#"{"1":2,"null":1,"0.5":3}"#),
        ] {
            let source = format!(
                "import array, collections, dataclasses, datetime, decimal, enum, pathlib, uuid\n\
                 @dataclasses.dataclass\n\
                 class Point:\n  x: int\n  y: object\n\
                 class Colour(str, enum.Enum):\n  RED = 'red'\n\
                 class Level(enum.Enum):\n  LOW = 3\n\
                 Pair = collections.namedtuple('Pair', 'a b')\n\
                 class Scalar:\n  def tolist(self): return 7\n\
                 def work(n): return {expression}"
            );
            assert_eq!(call(&mut python(&source), "0"), lines(form), "{expression}");
        }
    }

    /// What stands for a value is subject to the same rules as what stands in it.
    #[test]
    fn a_form_that_does_not_fit_is_named_by_its_place() {
        let source = "import dataclasses\n@dataclasses.dataclass\nclass P:\n  xs: object\nclass Array:\n  def __init__(self, of): self.of = of\n  def tolist(self): return self.of\nclass Fails:\n  def tolist(self): raise RuntimeError('gone')\nclass Same:\n  def tolist(self): return self\ndef work(n): return P([Array([1.0, float('inf')]), Fails(), {1: Same()}][n])";
        let mut program = python(source);
        for (n, reason) in [
            ("0", "ValueError: result['xs'][1] is inf (a float), which JSON does not have"),
            (
                "1",
                "TypeError: result['xs'] is a stage.Fails that cannot be converted: RuntimeError('gone')",
            ),
            ("2", "TypeError: result['xs'][1] is a stage.Same, which has no form in JSON"),
        ] {
            let text = call(&mut program, n).unwrap_err();
            assert!(text.lines().last().unwrap().starts_with(reason), "{text}");
        }
    }

    /// Source of a file is called by its name, and finds what lies beside it.
    #[test]
    fn source_of_a_file_is_told_by_its_name_and_imports_from_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("beside_it.py"), "factor = 3").unwrap();
        let path = folder.path().join("work.py").display().to_string();
        let source = "import beside_it\ndef work(n):\n  if n == 0: raise ValueError(__file__)\n  return n * beside_it.factor";
        let script = Script { path: Some(path.clone()), ..Script::new(source) };
        let mut program =
            Python::new(&script, &[], Surroundings::default(), OutputLimits::default(), false)
                .unwrap();
        assert_eq!(call(&mut program, "2"), lines("6"));
        let text = call(&mut program, "0").unwrap_err();
        assert!(text.contains(&format!("File \"{path}\", line 3, in work\n    if n")), "{text}");
        assert!(text.ends_with(&format!("ValueError: {path}")), "{text}");
    }

    #[test]
    fn the_interpreter_is_the_stages_own() {
        let folder = tempfile::tempdir().unwrap();
        let interpreter = folder.path().join("snake");
        let script = "#!/bin/sh\nSNAKE=7 exec python3 \"$@\"\n";
        std::fs::write(&interpreter, script).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&interpreter, executable).unwrap();
        let script = Script {
            interpreter: interpreter.display().to_string(),
            ..Script::new("import os\ndef work(n): return os.environ['SNAKE']")
        };
        let mut program =
            Python::new(&script, &[], Surroundings::default(), OutputLimits::default(), false)
                .unwrap();
        assert_eq!(call(&mut program, "2"), lines(r#""7""#));
        let script = Script { interpreter: String::new(), ..script };
        assert!(
            Python::new(&script, &[], Surroundings::default(), OutputLimits::default(), false)
                .is_err()
        );
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

    #[test]
    fn an_endless_generator_is_a_failure() {
        let limits = OutputLimits { units_max: 10, ..OutputLimits::default() };
        let source = "import itertools\ndef work(v): return itertools.count()";
        let mut program =
            Python::new(&Script::new(source), &[], Surroundings::default(), limits, false).unwrap();
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
    fn what_is_printed_is_passed_on_with_the_unit_and_told_with_a_failure() {
        let source = "import sys, os\nprint('loaded')\ndef work(n):\n  print('at', n)\n  sys.stderr.write('no end')\n  sys.stdout.flush()\n  os.write(1, b'raw\\n')\n  if n == 2: raise ValueError('two')\n  return n";
        let mut program = python(source);
        assert_eq!(call(&mut program, "1"), lines("1"));
        let said = passed_on();
        assert!(said.contains("loaded\n") && said.contains("[unit 7]: no end\n"), "{said}");
        assert!(said.contains("[unit 7]: at 1\n[unit 7]: raw\n"), "{said}");
        let text = call(&mut program, "2").unwrap_err();
        assert!(text.ends_with("ValueError: two\n\nIt had written:\nat 2\nno end"), "{text}");
        assert_eq!(proto::gist::gist(&text), "ValueError: two");
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
