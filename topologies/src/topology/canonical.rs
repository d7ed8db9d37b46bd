//! What decides a run's results, and nothing else.
//!
//! Owns the choice: the source, the functions and what the sink writes count; the number of
//! workers, the limits and the rules for failures do not, so a run may go on with other ones.

use std::path::Path;

use serde_json::{Value, json};

use super::{StageSpec, Topology};
use proto::plan::Function;

impl Topology {
    /// Everything that decides the results, in a form that is the same for the same topology:
    /// the source, the stages' names, functions, arguments and environments, and what the sink
    /// writes and computes. Paths below the topology's folder are relative to it, so that a
    /// folder can be moved. Meant to be digested and compared, not to be read back.
    pub fn canonical(&self) -> Value {
        json!({
            "source": self.source.canonical(|path| self.shorten(path)),
            "stages": self.stages.iter().map(|stage| self.canonical_stage(stage)).collect::<Vec<_>>(),
            "sink": {
                "output": self.sink.output.as_ref().map(|output| output.canonical(|path| self.shorten(path))),
                "order": self.sink.order,
                "fields": self.sink.fields,
                "aggregate": self.sink.aggregate,
                "group_by": self.sink.group_by,
                "on": self.sink.on,
                "top": self.sink.top,
                "groups_max": self.sink.groups_max,
            },
        })
    }

    fn canonical_stage(&self, spec: &StageSpec) -> Value {
        let short = |line: &[String]| -> Vec<String> {
            line.iter().map(|word| self.shorten(Path::new(word))).collect()
        };
        let function = match (&spec.stage.function, &spec.binary) {
            (Function::Own, binary) => {
                json!({"binary": binary.as_ref().map(|path| self.shorten(path))})
            }
            (Function::Run(name), _) => json!({"run": name}),
            (Function::Exec(line), _) => json!({"exec": short(line)}),
            // In which order it answers is no part of what comes out.
            (Function::Pipe(line) | Function::PipeAnyOrder(line), _) => {
                json!({"pipe": short(line)})
            }
            // Where the source stands is no part of it.
            (Function::Python(source) | Function::PythonFile { source, .. }, _) => {
                json!({"python": source})
            }
            (Function::Call(name), _) => json!({"call": name}),
        };
        let mut canonical = json!({
            "name": spec.stage.name,
            "function": function,
            "args": spec.stage.args,
            "env": spec.stage.env,
        });
        if let Some(interpreter) = &spec.stage.interpreter {
            canonical["interpreter"] = json!(self.shorten(Path::new(interpreter)));
        }
        canonical
    }

    /// A path as it would be written in the topology.
    pub(crate) fn shorten(&self, path: &Path) -> String {
        let short = path.strip_prefix(&self.directory).unwrap_or(path);
        short.to_string_lossy().into_owned()
    }
}
