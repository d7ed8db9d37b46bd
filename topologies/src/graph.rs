//! A topology as a picture: in the languages of Graphviz and of Mermaid.
//!
//! Owns the words in the boxes and their quoting; refuses to lay anything out.

use proto::plan::Function;
use sink::config::Named;

use crate::topology::{StageSpec, Topology};

/// The longest line in a box, in characters; a longer one is cut.
const LINE_CHARS_MAX: usize = 48;

/// The topology as a Graphviz digraph: `pipeline graph … | dot -Tsvg`.
pub fn dot(topology: &Topology) -> String {
    let mut out = format!(
        "digraph {} {{\n    rankdir = LR;\n    node [shape = box];\n",
        dot_quoted(&topology.name)
    );
    let boxes = boxes(topology);
    for Node { id, lines, .. } in &boxes {
        let lines: Vec<_> = lines.iter().map(|line| dot_escaped(line)).collect();
        out += &format!("    {id} [label = \"{}\"];\n", lines.join("\\n"));
    }
    for pair in boxes.windows(2) {
        out += &format!("    {} -> {};\n", pair[0].id, pair[1].id);
    }
    out + "}\n"
}

/// The topology as a Mermaid flowchart, which many sites show within Markdown.
pub fn mermaid(topology: &Topology) -> String {
    let mut out = String::from("flowchart LR\n");
    let boxes = boxes(topology);
    for Node { id, lines } in &boxes {
        let lines: Vec<_> = lines.iter().map(|line| mermaid_escaped(line)).collect();
        out += &format!("    {id}[\"{}\"]\n", lines.join("<br>"));
    }
    for pair in boxes.windows(2) {
        out += &format!("    {} --> {}\n", pair[0].id, pair[1].id);
    }
    out
}

/// One box, before it is quoted for a language.
struct Node {
    id: String,
    lines: Vec<String>,
}

/// The source, the stages and the sink, in the order in which units pass them.
fn boxes(topology: &Topology) -> Vec<Node> {
    let node = |id: String, lines: Vec<String>| Node {
        id,
        lines: lines.iter().map(|line| cut(line)).collect(),
    };
    let mut boxes =
        vec![node("source".into(), vec![topology.source.describe(|path| topology.shorten(path))])];
    boxes.extend(topology.stages.iter().enumerate().map(|(index, spec)| {
        let title = format!("{} ×{}", spec.stage.name, spec.workers);
        node(format!("stage{index}"), vec![title, function(topology, spec)])
    }));
    boxes.push(node("sink".into(), sink(topology)));
    boxes
}

/// What a stage runs, in a line.
pub(crate) fn function(topology: &Topology, spec: &StageSpec) -> String {
    let line = |words: &[String]| {
        let words: Vec<_> = words.iter().map(|word| topology.shorten(word.as_ref())).collect();
        words.join(" ")
    };
    match (&spec.stage.function, &spec.binary) {
        (Function::Own, Some(binary)) => topology.shorten(binary),
        (Function::Own, None) => "own function".into(),
        (Function::Run(name), _) => name.clone(),
        (Function::Exec(words), _) => format!("exec {}", line(words)),
        (Function::Pipe(words) | Function::PipeAnyOrder(words), _) => {
            format!("pipe {}", line(words))
        }
        (Function::Python(_), _) => "python".into(),
        (Function::PythonFile { path, .. }, _) => topology.shorten(path.as_ref()),
        (Function::Call(name), _) => format!("call {name}"),
    }
}

fn sink(topology: &Topology) -> Vec<String> {
    let mut lines = vec![match &topology.sink.output {
        None => "sink".into(),
        Some(output) => match output.path() {
            Some(path) => topology.shorten(path),
            None => "standard output".into(),
        },
    }];
    let aggregate: Vec<_> = topology.sink.aggregate.iter().map(|one| one.name()).collect();
    if !aggregate.is_empty() {
        let by = topology.sink.group_by.as_ref();
        let by = by.map_or(String::new(), |by| format!(" by {by}"));
        lines.push(aggregate.join(", ") + &by);
    }
    lines
}

fn cut(line: &str) -> String {
    if line.chars().count() <= LINE_CHARS_MAX {
        return line.to_owned();
    }
    let kept: String = line.chars().take(LINE_CHARS_MAX - 1).collect();
    kept + "…"
}

fn dot_quoted(text: &str) -> String {
    format!("\"{}\"", dot_escaped(text))
}

fn dot_escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ")
}

/// Mermaid reads HTML in its labels, and has an entity syntax of its own.
fn mermaid_escaped(text: &str) -> String {
    text.replace('#', "#35;")
        .replace('&', "#amp;")
        .replace('"', "#quot;")
        .replace('<', "#lt;")
        .replace('>', "#gt;")
        .replace('\n', " ")
}
