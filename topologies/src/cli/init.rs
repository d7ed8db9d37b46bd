//! `pipeline init`: a topology to start from.
//!
//! Owns its text, which runs as it is, and the refusal to write over a file.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use proto::process::exit_code;

use super::complain;
use crate::{topology, up::exit};

/// What a topology is called that nobody has named.
const NAME: &str = "pipeline";

/// Writes a commented topology that runs as it is.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// What it is called; the file is NAME.toml
    #[arg(value_name = "NAME", default_value = NAME)]
    name: PathBuf,
}

impl InitArgs {
    pub(super) fn run(self) -> ExitCode {
        exit_code(match self.make() {
            Ok(file) => {
                let file = quoted(&file);
                // Data has no place here: whoever reads it is a person.
                let _ = writeln!(
                    io::stderr(),
                    "{file} is made; now:\n  pipeline up {file}\nand to look for mistakes once you have changed it:\n  pipeline check {file}"
                );
                exit::COMPLETE
            }
            Err((code, problem)) => {
                complain(&problem);
                code
            }
        })
    }

    fn make(&self) -> Result<PathBuf, (i32, String)> {
        let file = match self.name.extension() {
            Some(ending) if ending == "toml" => self.name.clone(),
            _ => {
                let mut name = self.name.clone().into_os_string();
                name.push(".toml");
                name.into()
            }
        };
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if !topology::is_name(stem) || self.name.to_string_lossy().ends_with('/') {
            return Err((
                exit::USAGE,
                format!("`{}` is no name: letters, digits, `-` and `_` are", self.name.display()),
            ));
        }
        let written = fs::File::create_new(&file)
            .and_then(|mut new| new.write_all(text(stem).as_bytes()).map(|()| file.clone()));
        written.map_err(|error| (exit::INPUT_OUTPUT, refused(&file, &error)))
    }
}

fn refused(file: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{} is there already; give another name: pipeline init NAME", file.display())
        }
        io::ErrorKind::NotFound if env::current_dir().is_ok() => {
            format!("cannot make {}: its folder is not there", file.display())
        }
        _ => format!("cannot make {}: {error}", file.display()),
    }
}

/// As it can be pasted into a shell.
fn quoted(file: &Path) -> String {
    let text = file.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    match text {
        text if text.chars().all(plain) => text,
        text => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// The topology. What is a comment in it is a line to go on with.
fn text(name: &str) -> String {
    format!(
        r#"# What is done to what, and where the results go. Run it, then change it:
#
#     pipeline up {name}.toml
#
# Editors complete keys and show mistakes if the first line is `#:schema ./schema.json`, and
# `pipeline schema > schema.json` has written that file.

name = "{name}"

[source]                          # where units of work come from
kind = "range"                    # range | lines | jsonl | csv | files | stdin
from = 1
to   = 1000                       # inclusive
# kind = "lines"                  # a unit a line
# path = "words.txt"              # relative to this file

[[stage]]                         # what is done with each; further [[stage]]s get what it gives
name = "work"
run  = "square"                   # a built-in function; or one of these instead:
# exec = ["sha256sum", "{{}}"]      # a program for each unit, the unit in place of {{}}
# pipe = ["python3", "work.py"]   # a program that stays: a JSON line in, a JSON line out
# python = """                    # Python in this file
# def work(value):
#     return value * value
# """
# workers = 4                     # processes; default: the number of cores
# retries = 2                     # tries after the first one, then the unit is a dead letter
# timeout = "10s"                 # the longest that a unit may take (exec, pipe, Python)
# concurrency = 100               # units at once in a worker, for functions that wait

[sink]                            # what becomes of the results
output    = "{name}.jsonl"        # jsonl, csv or sqlite by its ending; "-" for stdout
order     = "input"               # or "completion": as they come
aggregate = ["count", "sum"]      # shown at the end
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Topology;

    #[test]
    fn what_is_written_is_sound_and_named_as_was_asked() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["first", "second.toml"] {
            let file = InitArgs { name: folder.path().join(name) }.make().unwrap();
            let topology = Topology::load(&file, &[]).unwrap();
            assert_eq!(Some(topology.name.as_str()), file.file_stem().unwrap().to_str());
        }
        let text = fs::read_to_string(folder.path().join("first.toml")).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }

    /// Each commented line is a key that is known: what users uncomment works.
    #[test]
    fn what_is_commented_out_is_known_too() {
        let folder = tempfile::tempdir().unwrap();
        let function = ["exec = ", "pipe = "];
        for line in text("x").lines().filter(|line| line.starts_with("# ")) {
            let Some((key, _)) = line[2..].split_once(" = ") else { continue };
            if ["kind", "path", "python"].contains(&key) {
                continue; // These stand on more than one line.
            }
            let bare = &line[2..];
            let without_run = |of: &str| of.replace("run  = \"square\"", "");
            let own = function.iter().any(|start| bare.starts_with(start));
            let base = if own { without_run(&text("x")) } else { text("x") };
            // `timeout` and `concurrency` need a function that can have them.
            let needs = ["timeout", "concurrency"].contains(&key);
            let base = if needs { without_run(&base) + "" } else { base };
            let extra = if needs { "exec = [\"cat\"]\n" } else { "" };
            let text = base.replace(line, &format!("{extra}{bare}"));
            let path = folder.path().join("x.toml");
            fs::write(&path, &text).unwrap();
            Topology::load(&path, &[]).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn no_file_is_written_over_and_no_odd_name_taken() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("thesis.toml");
        fs::write(&name, "a thesis").unwrap();
        let (code, problem) = InitArgs { name: name.clone() }.make().unwrap_err();
        assert_eq!(code, exit::INPUT_OUTPUT);
        assert!(problem.contains("is there already"), "{problem}");
        assert_eq!(fs::read_to_string(&name).unwrap(), "a thesis");
        for odd in ["", "a b", "x/", ".toml", "-", "ü"] {
            let made = InitArgs { name: folder.path().join(odd) }.make();
            assert!(odd == "-" || made.is_err(), "{odd}");
        }
        let (_, problem) = InitArgs { name: folder.path().join("no/x") }.make().unwrap_err();
        assert!(problem.ends_with("its folder is not there"), "{problem}");
    }

    #[test]
    fn a_file_name_can_be_pasted() {
        assert_eq!(quoted(Path::new("a/b.toml")), "a/b.toml");
        assert_eq!(quoted(Path::new("it's/b.toml")), r"'it'\''s/b.toml'");
    }
}
