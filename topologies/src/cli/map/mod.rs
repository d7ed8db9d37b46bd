//! `pipeline map`: its flags, and the run of one.
//!
//! Owns the way from flags to units, from results to standard output, and the exit code; the parts are
//! [`crate::map`]'s.

mod functions;
mod jobs;
mod reading;
mod written;

use std::{
    ffi::OsString,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, ValueEnum};
use proto::{kin, plan::Function, process::exit_code, streams};
use regex_lite::Regex;
use worker::external::template::{Values, unknown_place};

use super::complain;
use crate::{
    Order,
    halt::Halt,
    map::{
        arguments::{self, Cuts, Joint, Rows, Source},
        jobs::{Limit, Line},
        places::Places,
        printer::{Audience, audience},
        tally::Shown,
    },
    up::exit,
};

/// Why there was no run, or no whole one: the code to leave with, and what is told.
type Refusal = (i32, String);

const EXAMPLES: &str = "\
Places in a command, as in GNU parallel:
  {}  the value      {.}  without its ending    {/}   without its folders
  {//}  its folder   {/.}  neither of the two   {#}   the unit's number
  {%}  the place where it runs                  {1} {2.}  of several values
Others are text. Without any place the value comes last.

Examples:
  pipeline map 'convert {} -resize 128x128 out/{/.}.png' ::: in/*.jpg
  find . -name '*.log' -print0 | pipeline map -0 gzip -9
  pipeline map -j 8 --joblog log --resume curl -sO {} :::: urls.txt
  seq 1000000 | pipeline map --python 'value * value'";

/// Run a command or a function for each line, or each argument behind `:::`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct MapArgs {
    /// One argument is a line for `sh -c`, in which values are quoted; several are a program and its
    /// arguments. Then `::: VALUE...`, `:::: FILE...`; without them the values are the lines of
    /// standard input
    #[arg(trailing_var_arg = true, value_name = "CMD")]
    words: Vec<OsString>,
    /// How many at once: 4, 200%, +1, -1, or 0 for as many as possible [default: one a core]
    #[arg(short, long, value_name = "N", allow_hyphen_values = true)]
    jobs: Option<Places>,
    /// Results in the order of the values; `no`: as they come
    #[arg(short, long, value_name = "YES|NO", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "yes", default_missing_value = "yes")]
    keep_order: YesNo,
    /// Tries after the first
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,
    /// The longest that one may take: 5s, or 200% of the median of those that are done
    #[arg(long, value_name = "TIME", value_parser = limit)]
    timeout: Option<Limit>,
    /// Each line of output behind its value and a tab
    #[arg(long)]
    tag: bool,
    /// Each line of output behind this text, with places, and a tab
    #[arg(long, value_name = "TEXT", conflicts_with = "tag")]
    tagstring: Option<OsString>,
    /// Write how each ended, a line each
    #[arg(long, value_name = "FILE")]
    joblog: Option<PathBuf>,
    /// Leave out those that the job log has
    #[arg(long, requires = "joblog")]
    resume: bool,
    /// Leave out those that the job log has as good
    #[arg(long, requires = "joblog")]
    resume_failed: bool,
    /// When to stop: never, or as in now,fail=1, soon,fail=10%, now,success=1, soon,hopeless=20
    #[arg(long, value_name = "WHEN,WHAT", default_value = "never", hide_default_value = true)]
    halt: Halt,
    /// Show what would be run
    #[arg(long)]
    dry_run: bool,
    /// Show how far it is, from the start
    #[arg(long, visible_aliases = ["eta", "progress"])]
    bar: bool,
    /// Keep each one's stdout and stderr below this folder
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Values end with a NUL, not with a line end
    #[arg(short = '0', long)]
    null: bool,
    /// What separates the columns of a line: a regular expression
    #[arg(short = 'C', long, value_name = "REGEX", value_parser = separator)]
    colsep: Option<Regex>,
    /// So many values for one command
    #[arg(short = 'n', short_alias = 'N', long, value_name = "N")]
    max_args: Option<usize>,
    /// Another word for `{}`
    #[arg(short = 'I', long, value_name = "WORD", default_value = "{}", hide_default_value = true)]
    replace: OsString,
    /// Leave empty lines out
    #[arg(short = 'r', long)]
    no_run_if_empty: bool,
    /// Values are the lines of this file; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    arg_file: Vec<PathBuf>,
    /// Values are the files that match, sorted; `**` is any folders
    #[arg(long, value_name = "GLOB")]
    files: Option<String>,
    /// Instead of a command: a Python expression of `value`; json, math, os, re and sys are there
    #[arg(long, value_name = "EXPR", group = "function")]
    python: Option<String>,
    /// Instead of a command: a Python function
    #[arg(long, value_name = "MODULE:FUNCTION", group = "function")]
    call: Option<String>,
    /// Instead of a command: a program that answers each JSON line with one
    #[arg(long, value_name = "CMD", group = "function")]
    pipe: Option<String>,
    /// Instead of a command: a built-in function
    #[arg(long, value_name = "NAME", group = "function", value_parser = worker::cli::builtins())]
    run: Option<String>,
    /// For a function, what looks like a number is text too
    #[arg(long, requires = "function")]
    text: bool,
    /// Print a topology that does the same, and run nothing
    #[arg(long)]
    print_topology: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum YesNo {
    Yes,
    No,
}

fn limit(text: &str) -> Result<Limit, String> {
    match text.strip_suffix('%') {
        Some(percent) => match percent.parse::<f64>() {
            Ok(percent) if percent > 0.0 && percent.is_finite() => {
                Ok(Limit::OfMedian(percent / 100.0))
            }
            _ => Err(format!("`{text}` is no percentage")),
        },
        // Seconds, as in GNU parallel, unless there is a unit.
        None => match text.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds)
                .map(Limit::Time)
                .map_err(|error| error.to_string()),
            Err(_) => {
                proto::cli::duration(text).map(Limit::Time).map_err(|error| error.to_string())
            }
        },
    }
}

fn separator(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| error.to_string())
}

impl MapArgs {
    pub(super) fn run(mut self) -> ExitCode {
        exit_code(self.go().unwrap_or_else(|(code, problem)| {
            complain(&problem);
            code
        }))
    }

    fn go(&mut self) -> Result<i32, Refusal> {
        let usage = |problem: String| (exit::USAGE, problem);
        let words = std::mem::take(&mut self.words);
        let (command, sources) = arguments::split_words(words).map_err(usage)?;
        let sources = self.sources(sources).map_err(usage)?;
        streams::has_output().map_err(|error| (exit::INPUT_OUTPUT, error.to_string()))?;
        let line = match self.function() {
            None => Some(self.line(&command).map_err(usage)?),
            Some(_) if !command.is_empty() => {
                return Err(usage("there is a command and a function; use one of them".into()));
            }
            Some(_) => {
                self.refuse_for_functions().map_err(usage)?;
                None
            }
        };
        if self.print_topology {
            return Ok(super::print(&self.topology(&command, &sources)));
        }
        let total = total(&sources);
        let cuts = Cuts {
            null: self.null,
            columns: self.colsep.clone(),
            together: self.max_args,
            skip_empty: self.no_run_if_empty,
        };
        let rows = arguments::rows(sources, &cuts)
            .map_err(|error| (exit::INPUT_OUTPUT, error.to_string()))?;
        kin::adopt();
        kin::be_guarded();
        match line {
            Some(line) if self.dry_run => show(&line, rows),
            Some(line) => self.run_jobs(line, rows, total),
            None => self.run_function(rows, total),
        }
    }

    /// Where values come from, of what was said in several ways.
    fn sources(&self, behind: Vec<(Joint, Source)>) -> Result<Vec<(Joint, Source)>, String> {
        let files = self.arg_file.iter().map(|path| (Joint::Cross, Source::File(path.clone())));
        let mut sources: Vec<_> = files.chain(behind).collect();
        if let Some(pattern) = &self.files {
            if !sources.is_empty() {
                return Err("--files names all values; leave the others out".into());
            }
            let found =
                ventilator::source::Files::find(pattern, Path::new(""), &[], &std::env::temp_dir());
            let found = found.map_err(|error| error.to_string())?;
            let paths = found.paths().map(PathBuf::into_os_string);
            sources.push((Joint::Cross, Source::Listed(paths.collect())));
        }
        Ok(sources)
    }

    fn line(&self, command: &[OsString]) -> Result<Line, String> {
        for word in command.iter().filter_map(|word| word.to_str()) {
            if let Some(place) = unknown_place(word) {
                return Err(format!("`{place}` stands for nothing; see --help for what does"));
            }
        }
        Ok(Line::of(command, &self.replace))
    }

    /// Flags that are a command's.
    fn refuse_for_functions(&self) -> Result<(), String> {
        let given = [
            ("--tag", self.tag),
            ("--tagstring", self.tagstring.is_some()),
            ("--joblog", self.joblog.is_some()),
            ("--results", self.results.is_some()),
            ("--dry-run", self.dry_run),
            ("--timeout in percent", matches!(self.timeout, Some(Limit::OfMedian(_)))),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(format!("{flag} goes with a command, not with a function")),
            None => Ok(()),
        }
    }

    /// The function, and the arguments of its stage.
    fn function(&self) -> Option<Function> {
        let python = |text: String| Function::Python(text);
        let expression = self.python.as_ref().map(|expression| {
            python(format!(
                "import json, math, os, re, sys\ndef work(value):\n    return (\n{expression}\n)\n"
            ))
        });
        let call = || {
            self.call.as_ref().map(|path| {
                let (module, function) = path.split_once(':').unwrap_or((path, "work"));
                python(format!(
                    "import functools, importlib, os, sys\nsys.path.insert(0, os.getcwd())\n\
                     work = functools.reduce(getattr, {function:?}.split('.'), \
                     importlib.import_module({module:?}))\n"
                ))
            })
        };
        let shell = |line: &String| Function::Pipe(vec!["sh".into(), "-c".into(), line.clone()]);
        expression
            .or_else(call)
            .or_else(|| self.pipe.as_ref().map(shell))
            .or_else(|| self.run.clone().map(Function::Run))
    }

    fn order(&self) -> Order {
        match self.keep_order {
            YesNo::Yes => Order::Input,
            YesNo::No => Order::Completion,
        }
    }

    fn shown(&self) -> Shown {
        if self.bar { Shown::Bar } else { Shown::WhenLong }
    }
}

/// How many units there will be, where that is known before.
fn total(sources: &[(Joint, Source)]) -> Option<u64> {
    match sources {
        [(_, Source::Listed(values))] => Some(values.len() as u64),
        _ => None,
    }
}

/// Prints what would be started.
fn show(line: &Line, rows: Rows) -> Result<i32, Refusal> {
    let failed = |error: io::Error| (exit::INPUT_OUTPUT, error.to_string());
    let mut out = BufWriter::new(io::stdout());
    for (number, row) in (1..).zip(rows) {
        let values = row.map_err(failed)?;
        let shown = line.shown(Values { values: &values, number, slot: 1 });
        let mut bytes = shown.into_encoded_bytes();
        bytes.push(b'\n');
        if audience(out.write_all(&bytes)).map_err(failed)? == Audience::Left {
            return Ok(exit::COMPLETE);
        }
    }
    audience(out.flush()).map_err(failed)?;
    Ok(exit::COMPLETE)
}
