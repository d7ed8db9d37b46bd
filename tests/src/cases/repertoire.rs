//! The list of cases.
//!
//! Owns one of each kind that could go wrong in a way of its own. `scale` is how many units a cheap one
//! has; each has as many as it takes to last for some seconds, since who is done can't be hit.

use super::{Case, Order, SUMMARY, Script, Stdin, Way, inputs};
use crate::place::Transport;

/// Numbers that take a while to factor.
const FIRST: u64 = 100_000_000_000;
/// So often may a unit be there when its worker is killed: here it is never the unit's fault.
const CRASHES: &str = "crash_limit = 100000";

/// Every case, with `scale` units where a unit costs next to nothing.
pub fn repertoire(scale: u64) -> Vec<Case> {
    let mut all = ranges(scale);
    all.extend(files(scale));
    all.extend(streams(scale));
    all.extend(functions(scale));
    all.extend(by_hand(scale));
    all
}

/// A topology's parts, with the stages' names and workers added.
fn up(name: &'static str, source: &str, stages: &[&str], sink: &str) -> Case {
    let mut text = format!("name = \"course\"\n\n[source]\n{source}\n");
    for (index, stage) in stages.iter().enumerate() {
        text += &format!(
            "\n[[stage]]\nname = \"s{index}\"\nworkers = 2\nbackoff = \"1ms\"\n{CRASHES}\n{stage}\n"
        );
    }
    text += &format!("\n[sink]\n{sink}\n\n[limits]\nliveness = \"1s\"\nheartbeat = \"200ms\"\n");
    let output = sink.lines().find_map(|line| line.strip_prefix("output = "));
    let output = output.map(|name| -> &'static str { known_output(name.trim_matches('"')) });
    Case {
        name,
        code: 0,
        way: Way::Up,
        script: Script::Topology(text),
        files: Vec::new(),
        stdin: Stdin::Nothing,
        output,
        order: if sink.contains("completion") { Order::Any } else { Order::Same },
    }
}

fn known_output(name: &str) -> &'static str {
    const KNOWN: [&str; 3] = ["out.jsonl", "out.csv", "out.sqlite"];
    KNOWN.into_iter().find(|known| *known == name).expect("a case has one of the known outputs")
}

impl Case {
    fn with(mut self, name: impl Into<String>, content: Vec<u8>) -> Self {
        self.files.push((name.into(), content));
        self
    }

    fn reads(mut self, stdin: Stdin, content: Vec<u8>) -> Self {
        self.stdin = stdin;
        self.with(super::INPUT, content)
    }

    /// Adds to the topology's last table, which is that of the limits.
    fn limited(mut self, more: &str) -> Self {
        if let Script::Topology(text) = &mut self.script {
            text.push_str(more);
        }
        self
    }

    fn some_are_dead(mut self) -> Self {
        self.code = 1;
        self
    }
}

fn range(units: u64) -> String {
    format!("kind = \"range\"\nfrom = {FIRST}\nto = {}", FIRST + units - 1)
}

const FACTOR: &str = "run = \"factor-sum\"";
const ECHO: &str = "run = \"echo\"";
const LOWER: &str = "run = \"lower\"";
const JSONL: &str = "output = \"out.jsonl\"";
const CSV: &str = "output = \"out.csv\"";
const SQLITE: &str = "output = \"out.sqlite\"";
const ANY_ORDER: &str = "order = \"completion\"";
const LINES: &str = "kind = \"lines\"\npath = \"source.txt\"";
const OBJECTS: &str = "kind = \"jsonl\"\npath = \"source.jsonl\"";
const TABLE: &str = "kind = \"csv\"\npath = \"source.csv\"";
const STDIN: &str = "kind = \"stdin\"";

fn ranges(scale: u64) -> Vec<Case> {
    let range = range(scale);
    let sums = "aggregate = [\"count\", \"sum\", \"min\", \"max\", \"p99\"]";
    let small = up("small-limits", &self::range(scale / 10), &[FACTOR, ECHO], JSONL);
    vec![
        up("range", &range, &[FACTOR], JSONL),
        up("two-stages", &range, &[FACTOR, ECHO], &format!("{JSONL}\n{sums}")),
        up("csv-output", &range, &[FACTOR], CSV),
        up("sqlite-output", &range, &[FACTOR], SQLITE),
        up("completion", &range, &[FACTOR], &format!("{JSONL}\n{ANY_ORDER}")),
        up("csv-completion", &range, &[FACTOR], &format!("{CSV}\n{ANY_ORDER}")),
        up("sqlite-completion", &range, &[FACTOR], &format!("{SQLITE}\n{ANY_ORDER}")),
        up("aggregates", &range, &[FACTOR], sums),
        up(
            "fields",
            &range,
            &[FACTOR],
            &format!("{JSONL}\nfields = [\"id\", \"input\", \"value\"]"),
        ),
        small.limited("window_units_max = 64\nparcel_units_max = 4\nintake_units_max = 8"),
    ]
}

fn files(scale: u64) -> Vec<Case> {
    let groups = "aggregate = [\"count\", \"sum\"]\ngroup_by = \"group\"\non = \"n\"";
    vec![
        up("lines", LINES, &[LOWER], JSONL).with("source.txt", inputs::lines(scale)),
        up("jsonl", OBJECTS, &[ECHO], JSONL).with("source.jsonl", inputs::objects(scale)),
        up("groups", OBJECTS, &[ECHO], groups).with("source.jsonl", inputs::objects(scale * 3)),
        up("csv", TABLE, &[ECHO], CSV).with("source.csv", inputs::table(scale)),
        up("dead", OBJECTS, &[LOWER], JSONL)
            .with("source.jsonl", inputs::mixed_json(scale / 2))
            .some_are_dead(),
        up("dead-completion", OBJECTS, &[ECHO, LOWER], &format!("{CSV}\n{ANY_ORDER}"))
            .with("source.jsonl", inputs::mixed_json(scale / 10))
            .some_are_dead(),
        up("large-lines", LINES, &[LOWER], JSONL)
            .with("source.txt", inputs::large_lines(scale / 20)),
        up("large-sqlite", LINES, &[LOWER], SQLITE)
            .with("source.txt", inputs::large_lines(scale / 20)),
        many_files(scale),
    ]
}

/// Files that are read in a moment, and then waited over.
fn many_files(scale: u64) -> Case {
    let wait = "python = \"\"\"\nimport time\ndef work(value):\n    time.sleep(0.01)\n    return value\n\"\"\"";
    let source = "kind = \"files\"\nglob = \"*.txt\"";
    let mut case = up("files", source, &["run = \"sha256\"", wait], JSONL);
    for number in 0..scale / 50 {
        case = case.with(format!("{number}.txt"), inputs::lines(number));
    }
    case.with("large.txt", inputs::lines(scale))
}

fn streams(scale: u64) -> Vec<Case> {
    let words = ["run = \"split-words\"", LOWER, "run = \"stop-words\""];
    vec![
        up("stdin-pipe", STDIN, &[LOWER], JSONL).reads(Stdin::Pipe, inputs::lines(scale)),
        up("stdin-file", STDIN, &[LOWER], JSONL).reads(Stdin::File, inputs::lines(scale)),
        up("stdin-large", STDIN, &[LOWER, ECHO], JSONL)
            .reads(Stdin::Pipe, inputs::large_lines(scale / 20)),
        up("stdin-words", STDIN, &words, &format!("{CSV}\n{ANY_ORDER}"))
            .reads(Stdin::Pipe, inputs::prose(scale / 4)),
        up("stdin-sums", STDIN, &[ECHO], "aggregate = [\"count\", \"top\"]\ngroup_by = \"value\"")
            .reads(Stdin::Pipe, inputs::lines(scale / 10)),
    ]
}

fn functions(scale: u64) -> Vec<Case> {
    let words = ["run = \"split-words\"", LOWER, "run = \"stop-words\""];
    let python = "python = \"\"\"\ndef work(value):\n    if value[\"n\"] % 5 == 0:\n        return None\n    return [value[\"n\"], str(value[\"n\"])]\n\"\"\"";
    let flaky = "retries = 1000\npython = \"\"\"\ndef work(value):\n    if value[\"n\"] % 9 == 0 and PIPELINE_ATTEMPT == 1:\n        raise ValueError(\"not yet\")\n    for i in range(value[\"n\"] % 4):\n        yield value[\"n\"] + i\n\"\"\"";
    let sums = "aggregate = [\"count\", \"sum\"]";
    // Some are late, and the results of the others do not fit the memory.
    let late = "python = \"\"\"\nimport time\ndef work(value):\n    if value % 300 == 0:\n        time.sleep(0.3)\n    return str(value) * 20\n\"\"\"";
    vec![
        up("stragglers", &range(scale), &[late], JSONL).limited("window_bytes_max = \"64KiB\"\n"),
        up("words", LINES, &words, JSONL).with("source.txt", inputs::prose(scale / 4)),
        up("words-sqlite", LINES, &words, SQLITE).with("source.txt", inputs::prose(scale)),
        up("python", OBJECTS, &[python], JSONL).with("source.jsonl", inputs::objects(scale)),
        up("flaky", OBJECTS, &[flaky, ECHO], JSONL)
            .with("source.jsonl", inputs::objects(scale / 4)),
        up("exec", LINES, &["exec = [\"tr\", \"a-z\", \"A-Z\"]"], JSONL)
            .with("source.txt", inputs::lines(scale / 15)),
        up("pipe", OBJECTS, &["pipe = [\"sed\", \"--unbuffered\", \"s/group/team/\"]"], JSONL)
            .with("source.jsonl", inputs::objects(scale * 3)),
        up("sleep", OBJECTS, &["run = \"sleep\""], &format!("{JSONL}\n{sums}"))
            .with("source.jsonl", inputs::pauses(scale / 8)),
    ]
}

fn by_hand(scale: u64) -> Vec<Case> {
    let hand = |name, transport, more: [&[&str]; 3]| {
        let source = format!("range:{FIRST}..{}", FIRST + scale - 1);
        let flags: [&[&str]; 3] = [
            &["--output", "out.jsonl", "--run-dir", "run", "--summary", SUMMARY],
            &["--source", &source, "--run-dir", "diary"],
            &["--run", "factor-sum"],
        ];
        let join = |index: usize| -> Vec<String> {
            flags[index].iter().chain(more[index]).map(ToString::to_string).collect()
        };
        Case {
            name,
            code: 0,
            way: Way::Hand(transport),
            script: Script::Flags([join(0), join(1), join(2)]),
            files: Vec::new(),
            stdin: Stdin::Nothing,
            output: Some("out.jsonl"),
            order: Order::Same,
        }
    };
    let open: [&[&str]; 3] = [&["--insecure"]; 3];
    vec![
        hand("hand-ipc", Transport::Ipc, [&[]; 3]),
        hand("hand-curve", Transport::Tcp, [&[]; 3]),
        hand("hand-insecure", Transport::Tcp, open),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let cases = repertoire(100);
        for (index, case) in cases.iter().enumerate() {
            assert!(cases[..index].iter().all(|other| other.name != case.name), "{}", case.name);
        }
        assert!(cases.len() >= 22, "{}", cases.len());
    }
}
