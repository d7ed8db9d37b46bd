//! A function is told which try it is, also where the tries before ended with the death of its worker:
//! of each kind that is told, in the first stage and in a later one.

use tests::outcome::lines;
use tests::place::Place;

/// Kill their worker twice, then tell which try they are.
const EXEC: &str = r#"exec = ["sh", "-c", "for n in 1 2; do mkdir mark$n && kill -9 $PPID && sleep 60; done; echo $PIPELINE_ATTEMPT"]"#;
/// Python source that does the same; what stands in front of its function, and what that gives.
macro_rules! python {
    ($head:literal, $definition:literal, $attempt:literal) => {
        concat!(
            $head,
            "python = '''
import os, signal, time
",
            $definition,
            " work(value):
    for n in (1, 2):
        try:
            os.mkdir(f\"mark{n}\")
        except FileExistsError:
            continue
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return ",
            $attempt,
            "
'''"
        )
    };
}
const PYTHON: &str = python!("", "def", "PIPELINE_ATTEMPT");
const MANY: &str = python!("concurrency = 4\n", "async def", "pipeline_unit()[1]");
const CALM: &str = "run = \"square\"";

fn third_try(stages: [&str; 2]) {
    let place = Place::new();
    let [first, second] = stages;
    let text = format!(
        "source = {{ kind = 'range', from = 1, to = 1 }}
[[stage]]
name = 'first'
workers = 1
{first}
[[stage]]
name = 'second'
workers = 1
{second}
[sink]
output = 'out.jsonl'
fields = ['value', 'attempt']
"
    );
    let file = place.write("t.toml", text).display().to_string();
    let ended = place.run("pipeline", &["up", &file]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let calm_at_last = second == CALM;
    let expected =
        if calm_at_last { r#"{"value":9,"attempt":1}"# } else { r#"{"value":3,"attempt":3}"# };
    assert_eq!(lines(&place.path("out.jsonl")), [expected]);
}

#[test]
fn a_program_a_unit_is_told() {
    third_try([EXEC, CALM]);
    third_try([CALM, EXEC]);
}

#[test]
fn python_source_is_told() {
    third_try([PYTHON, CALM]);
    third_try([CALM, PYTHON]);
}

#[test]
fn python_source_with_many_open_is_told() {
    third_try([MANY, CALM]);
    third_try([CALM, MANY]);
}
