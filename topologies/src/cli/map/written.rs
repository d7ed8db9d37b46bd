//! `pipeline map --print-topology`: a topology that does the same.

use std::ffi::OsString;

use proto::plan::Function;

use super::{MapArgs, YesNo};
use crate::map::{
    arguments::{Joint, Source},
    jobs::{Limit, Line},
};

impl MapArgs {
    /// A topology that does the same.
    pub(super) fn topology(&self, command: &[OsString], sources: &[(Joint, Source)]) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let function = match self.function() {
            None => {
                let (words, note) = match Line::of(command, &self.replace) {
                    Line::Given => (
                        vec![
                            "sh".into(),
                            "-c".into(),
                            "eval \"$1\"".into(),
                            "sh".into(),
                            "{}".into(),
                        ],
                        "",
                    ),
                    Line::Words(words) => (words.iter().map(|word| word.source()).collect(), ""),
                    Line::Shell(line) => {
                        (line.for_shell(), "# $1 and so on are what stands behind `sh`\n")
                    }
                };
                let words: Vec<String> = words.iter().map(|word: &String| text(word)).collect();
                format!("{note}exec = [{}]", words.join(", "))
            }
            Some(Function::Python(source)) => format!("python = {}", text(&source)),
            Some(Function::Pipe(words)) => {
                let words: Vec<String> = words.iter().map(|word| text(word)).collect();
                format!("pipe = [{}]", words.join(", "))
            }
            Some(Function::Run(name)) => format!("run = {}", text(&name)),
            Some(_) => String::new(),
        };
        let source = match (&self.files, sources) {
            (Some(pattern), _) => format!("kind = \"files\"\nglob = {}", text(pattern)),
            (None, [(_, Source::File(path))]) if path.as_os_str() != "-" => {
                format!("kind = \"lines\"\npath = {}", text(&path.to_string_lossy()))
            }
            _ => "# the values, a line each\nkind = \"stdin\"".to_owned(),
        };
        let places = self.jobs.unwrap_or_default().count();
        let retries = self.retries;
        let open = if self.function().is_none() { "concurrency" } else { "workers" };
        let one = if self.function().is_none() { "workers = 1\n" } else { "" };
        let timeout = match self.timeout {
            Some(Limit::Time(limit)) => format!("timeout = \"{}ms\"\n", limit.as_millis()),
            _ => String::new(),
        };
        let order = match self.keep_order {
            YesNo::Yes => "input",
            YesNo::No => "completion",
        };
        format!(
            "name = \"map\"\n\n[source]\n{source}\n\n[[stage]]\nname = \"map\"\n{function}\n{one}{open} = {places}\nretries = {retries}\n{timeout}\n[sink]\noutput = \"-\"\norder = \"{order}\"\n"
        )
    }
}
