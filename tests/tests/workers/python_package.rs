//! Stages in Python with the package `pipeline_zmq`: what they give is what they give without it, also
//! when their workers are killed.
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

use std::fs;

use serde_json::Value;
use tests::mark::{Bearer, Mark};
use tests::outcome::{assert_same_lines, json_lines, lines};
use tests::place::Place;
use tests::{programs, wait};

/// What a run gave: its lines, and of each dead letter its unit and the last line of its error.
#[derive(Debug, PartialEq)]
struct Given {
    code: Option<i32>,
    lines: Vec<String>,
    dead: Vec<(u64, String)>,
}

fn topology(place: &Place, to: usize, stage: &str) -> String {
    let text = format!(
        "[source]\nkind = 'range'\nfrom = 1\nto = {to}\n[[stage]]\nname = 'work'\nworkers = 2\nretries = 1\nbackoff = '1ms'\n{stage}\n[sink]\noutput = 'out.jsonl'\ndead = 'dead.jsonl'\n"
    );
    place.write("t.toml", text).display().to_string()
}

/// The environment of a stage whose interpreter has the package.
fn env() -> String {
    format!("env = {{ PYTHONPATH = '{}' }}", programs::python_package().display())
}

fn given(stage: &str) -> Given {
    let place = Place::new();
    place.write("work.py", FILE);
    let file = topology(&place, 300, stage);
    let ended = place.run("pipeline", &["up", &file]);
    let letters = match place.path("dead.jsonl") {
        path if path.exists() => json_lines(&path),
        _ => Vec::new(),
    };
    let last = |letter: &Value| {
        let error = letter["error"].as_str().unwrap();
        error.lines().last().unwrap_or_default().to_owned()
    };
    let dead = letters.iter().map(|letter| (letter["id"].as_u64().unwrap(), last(letter)));
    let mut dead: Vec<_> = dead.collect();
    dead.sort();
    assert!(matches!(ended.code, Some(0 | 1)), "{stage}: {}", ended.stderr);
    Given { code: ended.code, lines: lines(&place.path("out.jsonl")), dead }
}

const FILE: &str =
    "import pathlib\n\ndef work(n):\n    return [n, pathlib.Path(__file__).name, __name__]\n";

/// Kinds of source, each with what a function can give.
const SOURCES: [&str; 8] = [
    "python = '''\ndef work(n):\n    return n * n\n'''",
    "python = '''\ndef work(n):\n    if n % 3 == 0:\n        return None\n    if n % 3 == 1:\n        return [n, (n, {n})]\n    return (n + i for i in range(n % 5))\n'''",
    "python = '''\ndef work(n):\n    if n % 10 == 0:\n        raise ValueError(f\"{n} is round\")\n    if n % 10 == 1:\n        return {\"n\": [1, 1j]}\n    if n % 10 == 2:\n        return 1 << 70\n    return n\n'''",
    "python = '''\ndef work(n):\n    if PIPELINE_ATTEMPT == 1 and n % 7 == 0:\n        raise KeyError(n)\n    return [PIPELINE_UNIT, PIPELINE_ATTEMPT, list(pipeline_unit())]\n'''",
    "args = ['a', 'b']\npython = '''\nimport os, sys\nprint(\"to stderr\")\ndef work(n):\n    return [sys.argv[1:], os.environ[\"PIPELINE_STAGE\"], os.path.basename(os.getcwd())[:3]]\n'''",
    "python = '''\nimport dataclasses, datetime, pickle\n@dataclasses.dataclass\nclass Point:\n    x: int\n    at: datetime.date\ndef work(n):\n    return pickle.loads(pickle.dumps(Point(n, datetime.date(2024, 2, 29))))\n'''",
    "concurrency = 20\npython = '''\nimport asyncio\nasync def work(n):\n    await asyncio.sleep(0.001)\n    if n % 50 == 0:\n        raise ValueError(n)\n    return {\"n\": n}\n'''",
    "python_file = 'work.py'",
];

#[test]
fn source_gives_the_same_with_the_package_and_without_it() {
    let env = env();
    let which =
        "python = '''\nimport sys\ndef work(n):\n    return \"pipeline_zmq\" in sys.modules\n'''";
    assert!(given(&format!("{env}\n{which}")).lines.iter().all(|line| line == "true"));
    assert!(given(which).lines.iter().all(|line| line == "false"));
    for source in SOURCES {
        let (with, without) = (given(&format!("{env}\n{source}")), given(source));
        assert_eq!(with, without, "{source}");
    }
}

/// The workers of a run whose program is an interpreter with the package.
fn workers(mark: &Mark) -> Vec<Bearer> {
    let bearers = mark.bearers().into_iter();
    bearers.filter(|bearer| bearer.command.contains("pipeline_zmq.worker")).collect()
}

#[test]
fn a_called_functions_workers_are_killed_and_every_result_comes_once() {
    const UNITS: usize = 8_000;
    let (place, mark) = (Place::new(), Mark::new());
    fs::create_dir(place.path("shop")).unwrap();
    let source = "import time\n\ndef total(n):\n    time.sleep(0.001)\n    return n * 2\n";
    place.write("shop/prices.py", source);
    let file = topology(&place, UNITS, &format!("{}\ncall = 'shop.prices:total'", env()));
    let mut command = place.command(programs::program("pipeline"));
    command.args(["up", &file]);
    mark.put_on(&mut command);
    let mut up = place.start_command("up", command);
    for _ in 0..3 {
        let known = wait::until("two workers in Python", || {
            Some(workers(&mark)).filter(|workers| workers.len() == 2)
        });
        known[0].signal(rustix::process::Signal::KILL);
        wait::until("another one in its place", || {
            let now = workers(&mark);
            (now.len() == 2 && now.iter().all(|worker| worker.pid != known[0].pid)).then_some(())
        });
    }
    let ended = up.ends();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let doubled: Vec<String> = (1..=UNITS).map(|n| (n * 2).to_string()).collect();
    assert_same_lines(&lines(&place.path("out.jsonl")), &doubled);
    wait::until("nothing is left", || mark.bearers().is_empty().then_some(()));
}

/// A call that asks for several open units, for attempts and for arguments.
#[test]
fn a_called_function_is_asynchronous_fails_and_has_arguments() {
    let place = Place::new();
    let source = "import asyncio, sys\n\nasync def total(n):\n    await asyncio.sleep(0.01)\n    if n == 5:\n        raise LookupError(n)\n    return [n, sys.argv[1:]]\n";
    place.write("prices.py", source);
    let stage = format!("{}\ncall = 'prices:total'\nconcurrency = 50\nargs = ['x']", env());
    let file = topology(&place, 200, &stage);
    let ended = place.run("pipeline", &["up", &file]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let expected: Vec<String> =
        (1..=200).filter(|n| *n != 5).map(|n| format!("[{n},[\"x\"]]")).collect();
    assert_same_lines(&lines(&place.path("out.jsonl")), &expected);
    let letters = json_lines(&place.path("dead.jsonl"));
    assert_eq!((letters.len(), &letters[0]["attempts"]), (1, &2.into()));
    assert!(letters[0]["error"].as_str().unwrap().ends_with("LookupError: 5"), "{letters:?}");
}

/// The topology that comes with the package, as it stands.
#[test]
fn the_example_with_a_module_beside_it_runs() {
    let place = Place::new();
    let package = programs::repository().join("topologies/python/examples");
    let folder = place.path("topologies/python/examples");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(place.path("topologies/data")).unwrap();
    for name in ["letters.toml", "letters.py"] {
        fs::copy(package.join(name), folder.join(name)).unwrap();
    }
    let text = programs::repository().join("topologies/data/harbour.txt");
    fs::copy(&text, place.path("topologies/data/harbour.txt")).unwrap();
    let mut command = place.command(programs::program("pipeline"));
    command.args(["up", "topologies/python/examples/letters.toml"]);
    command.env("PYTHONPATH", programs::python_package());
    let ended = place.start_command("up", command).ends();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let text = fs::read_to_string(text).unwrap();
    let told: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let lines = json_lines(&folder.join("letters.jsonl"));
    assert_eq!(lines.len(), told.len());
    for (line, told) in lines.iter().zip(told) {
        assert_eq!(line["words"], told.split_whitespace().count(), "{told}");
        assert!(line["vowels"].is_array() && line["most_common"].is_array(), "{line}");
    }
}
