//! `[[stage]]`: its name, its one function, its workers and its rules for failures.
//!
//! Owns what makes a stage complete; refuses to build the function.

use std::{collections::BTreeMap, env, path::PathBuf, thread};

use proto::plan::{Function, Stage};

use super::{
    files::{Files, is_executable, is_program},
    python::{self, Elsewhere, KEYS, interpreter},
    reader::Reader,
};
use worker::external::template::unknown_place;

use crate::topology::{
    StageSpec,
    diagnose::{Expected, Fault, Problem, Unfit, Vocabulary},
    inquiry::{Inquiry, Subject},
    keys::ANSWERS,
    location::{Located, Location},
    section::FUNCTION_KEYS,
};

/// The names of stages so far, and where they were given.
#[derive(Default)]
pub(super) struct Taken(BTreeMap<String, Location>);

/// Who works in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Staff {
    /// Only workers that are started with the run.
    Own,
    /// Those that come from elsewhere, too.
    Open,
}

/// Where it is among the stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The last one of a service: its outputs are for clients.
    LastOfService,
    /// Any other.
    Other,
}

/// What was found of a stage.
pub(super) struct Found {
    /// None where too much is wrong with it.
    pub spec: Option<StageSpec>,
    /// What only Python can tell of it.
    pub inquiry: Option<Inquiry>,
}

/// A function, the program that brings it when it is the user's own, and what to ask Python about it.
#[derive(Debug)]
struct Means {
    function: Function,
    binary: Option<PathBuf>,
    subject: Option<Subject>,
}

impl Means {
    fn of(function: Function) -> Self {
        Self { function, binary: None, subject: None }
    }

    fn python((function, subject): python::Found) -> Self {
        Self { function, binary: None, subject: Some(subject) }
    }
}

/// Reads a stage; none where not even the number of its workers can be told.
pub(super) fn stage(
    mut reader: Reader<'_>,
    files: &Files,
    (staff, place): (Staff, Place),
    taken: &mut Taken,
) -> Option<Found> {
    reader.require("name", "name = \"NAME\"; it shows in the progress and the summary");
    let name = name(&mut reader, taken);
    let function = function(&mut reader, files);
    let mut stage = Stage::new(name.unwrap_or_default(), Function::Own);
    failures(&mut reader, &mut stage);
    answers(&mut reader);
    concurrency(&mut reader, &mut stage);
    stream(&mut reader, &mut stage, place);
    surroundings(&mut reader, &mut stage);
    stage.directory = Some(files.directory().to_string_lossy().into_owned());
    let least = if staff == Staff::Open { 0 } else { 1 };
    let workers = match reader.integer_in("workers", least..=u32::MAX.into()) {
        Some(workers) => u32::try_from(workers.value).ok()?,
        None => cores(),
    };
    let elsewhere = if workers == 0 { Elsewhere::Yes } else { Elsewhere::No };
    let interpreter = interpreter(&mut reader, files, elsewhere);
    stage.interpreter = interpreter.named;
    let Some(Means { function, binary, subject }) = function else {
        return Some(Found { spec: None, inquiry: None });
    };
    stage.function = function;
    refuse_arguments(&mut reader, &stage);
    let can_ask = interpreter.is_here && elsewhere == Elsewhere::No;
    let inquiry = subject.filter(|_| can_ask).map(|subject| Inquiry {
        interpreter: stage.interpreter().to_owned(),
        env: stage.env.clone(),
        files: files.clone(),
        subject,
    });
    Some(Found { spec: Some(StageSpec { stage, workers, binary }), inquiry })
}

/// One worker a core, unless the topology says otherwise.
fn cores() -> u32 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(u32::MAX)
}

fn name(reader: &mut Reader<'_>, taken: &mut Taken) -> Option<String> {
    let name = super::name(reader)?;
    match taken.0.get(&name.value) {
        Some(first) => {
            let fault = Fault::DuplicateStage { name: name.value.clone() };
            reader.report(
                Problem::at(name.place, fault).with_context(first.clone(), "the first one"),
            );
        }
        None => {
            taken.0.insert(name.value.clone(), name.place);
        }
    }
    Some(name.value)
}

fn failures(reader: &mut Reader<'_>, stage: &mut Stage) {
    let times = |number: Located<i128>| u32::try_from(number.value).ok();
    if let Some(retries) = reader.integer("retries").and_then(times) {
        stage.retries = retries;
    }
    if let Some(limit) = reader.integer("crash_limit").and_then(times) {
        stage.crash_limit = limit;
    }
    if let Some(backoff) = reader.milliseconds("backoff") {
        stage.backoff_ms = backoff.value;
    }
    stage.timeout_ms = reader.milliseconds("timeout").map(|timeout| timeout.value);
}

/// How many units a worker has open at once; most functions work on one after the other.
fn concurrency(reader: &mut Reader<'_>, stage: &mut Stage) {
    let units = reader.integer("concurrency");
    stage.concurrency = units.and_then(|units| u32::try_from(units.value).ok());
    let several = stage.concurrency.is_some_and(|units| units > 1);
    let has = |key| reader.entry(key).is_some();
    let builtin = reader.entry("run").and_then(|entry| entry.item.as_text());
    let sleeps = builtin.is_some_and(|name| worker::builtin::concurrent(name).is_some());
    let pipe = has("pipe");
    let can = has("exec") || KEYS.into_iter().any(has) || has("binary") || sleeps;
    if several && pipe && !answers_in_any_order(reader) {
        const REMEDY: &str = "have the program give each answer the `id` of its line, \
             and say `answers = \"any-order\"`";
        reader.idle("concurrency", "`answers = \"any-order\"`", REMEDY);
    } else if several && !pipe && !can {
        const REMEDY: &str = "use `exec`, `python`, `pipe` with `answers = \"any-order\"`, \
             a `binary` of your own, or `run = \"sleep\"`";
        reader.idle("concurrency", "a function that can have several units open", REMEDY);
    }
    if !pipe {
        reader.idle("answers", "`pipe`", "use `pipe`");
    }
}

/// Whether outputs are shown as they come; programs of others tell theirs at the end.
fn stream(reader: &mut Reader<'_>, stage: &mut Stage, place: Place) {
    stage.stream = reader.boolean("stream").unwrap_or_default();
    if place == Place::Other {
        reader.idle("stream", "clients that follow it", "use it in the last stage of a service");
    } else if ["exec", "pipe"].into_iter().any(|key| reader.entry(key).is_some()) {
        reader.idle(
            "stream",
            "a function that gives outputs one by one",
            "use Python, or a `binary` of your own",
        );
    } else if stage.concurrency.is_some_and(|units| units > 1) {
        reader.idle(
            "stream",
            "one unit at a time",
            "leave `concurrency` out, and have more workers",
        );
    }
}

fn answers_in_any_order(reader: &Reader<'_>) -> bool {
    reader.entry("answers").and_then(|entry| entry.item.as_text()) == Some(ANSWERS[1])
}

/// Complains of an order of answers that there is not.
fn answers(reader: &mut Reader<'_>) {
    let Some(written) = reader.text("answers") else { return };
    if !ANSWERS.contains(&written.value.as_str()) {
        let known = ANSWERS.map(str::to_owned).into();
        let fault = Fault::UnknownName { what: Vocabulary::Answers, name: written.value, known };
        reader.refuse(&written.place, fault);
    }
}

/// What an external program is started with; a function inside the worker would never see it.
fn surroundings(reader: &mut Reader<'_>, stage: &mut Stage) {
    if let Some(args) = reader.texts("args", Expected::Texts) {
        stage.args = args.value.into_iter().map(|arg| arg.value).collect();
    }
    if let Some(env) = reader.map("env") {
        stage.env = env.into_iter().collect();
    }
    let has = |key| reader.entry(key).is_some();
    let (inside, own) = (has("run"), has("binary"));
    let external = has("exec") || has("pipe") || KEYS.into_iter().any(has);
    if inside && !external && !own {
        reader.idle("env", "an external program", "use `exec`, `pipe`, `python` or `binary`");
    }
    if (inside || own) && !external {
        reader.idle("timeout", "`exec`, `pipe` or `python`", "use one of these");
    }
}

fn function(reader: &mut Reader<'_>, files: &Files) -> Option<Means> {
    let present: Vec<_> = reader
        .entries()
        .iter()
        .filter(|entry| FUNCTION_KEYS.contains(&entry.key.as_str()))
        .collect();
    let Some(first) = present.first() else {
        let header = reader.header.clone();
        reader.refuse(&header, Fault::NoFunction);
        return None;
    };
    for further in &present[1..] {
        let fault = Fault::TwoFunctions { first: first.key.clone(), second: further.key.clone() };
        let problem = Problem::at(further.key_place.clone(), fault);
        reader.report(problem.with_context(first.key_place.clone(), "the first one"));
    }
    // All are read, so that what is wrong inside of each is told at once.
    let mut read = present
        .iter()
        .map(|entry| match entry.key.as_str() {
            "run" => builtin(reader).map(|name| Means::of(Function::Run(name))),
            "exec" => command(reader, files, "exec").map(|line| Means::of(Function::Exec(line))),
            "pipe" => {
                let any_order = answers_in_any_order(reader);
                let pipe = if any_order { Function::PipeAnyOrder } else { Function::Pipe };
                command(reader, files, "pipe").map(|line| Means::of(pipe(line)))
            }
            "python" => python::source(reader).map(Means::python),
            "python_file" => python::file(reader, files).map(Means::python),
            "call" => python::call(reader).map(Means::python),
            _ => binary(reader, files)
                .map(|path| Means { binary: Some(path), ..Means::of(Function::Own) }),
        })
        .collect::<Vec<_>>();
    read.swap_remove(0)
}

fn builtin(reader: &mut Reader<'_>) -> Option<String> {
    let written = reader.text("run")?;
    let known = worker::builtin::names().iter().map(|(name, _)| *name);
    if known.clone().any(|name| name == written.value) {
        return Some(written.value);
    }
    let fault = Fault::UnknownName {
        what: Vocabulary::Builtin,
        name: written.value,
        known: known.map(str::to_owned).collect(),
    };
    reader.refuse(&written.place, fault);
    None
}

/// Refuses arguments that the built-in would refuse in every worker.
fn refuse_arguments(reader: &mut Reader<'_>, stage: &Stage) {
    let (Function::Run(name), Some(args)) = (&stage.function, reader.entry("args")) else {
        return;
    };
    if worker::builtin::by_name(name, &stage.args).is_err() {
        let fault = Fault::NoArguments { name: name.clone() };
        reader.refuse(&args.key_place, fault);
    }
}

fn command(reader: &mut Reader<'_>, files: &Files, key: &str) -> Option<Vec<String>> {
    let Located { value, place } = reader.texts(key, Expected::Command)?;
    let Some(program) = value.first().filter(|program| !program.value.is_empty()) else {
        reader.refuse(&place, Fault::Empty { key: key.into() });
        return None;
    };
    // A program's path is made absolute here: how a relative one meets a working directory
    // differs between systems.
    let mut line = vec![files.program(program).to_string_lossy().into_owned()];
    if key == "exec" {
        for argument in value.iter().skip(1) {
            if let Some(place) = unknown_place(&argument.value) {
                let fault = Fault::UnknownPlace { place: place.to_owned() };
                reader.refuse(&argument.place, fault);
            }
        }
    }
    line.extend(value.into_iter().skip(1).map(|arg| arg.value));
    Some(line)
}

fn binary(reader: &mut Reader<'_>, files: &Files) -> Option<PathBuf> {
    let written = reader.text("binary")?;
    let path = files.program(&written);
    let why = match is_program(&path) {
        true if is_executable(&path, env::var_os("PATH").as_deref()) => return Some(path),
        true => Unfit::NotExecutable,
        false => Unfit::Missing,
    };
    let shown = if written.value.contains('/') { files.shown(&written) } else { written.value };
    reader.refuse(&written.place, Fault::NoProgram { path: shown, why });
    None
}
