//! Interpreters of Python, asked about the source and the modules that a topology names.
//!
//! Owns how one is asked, in a process that imports nothing of the user's, and the mistakes that
//! its answer comes down to; refuses to run what it is asked about.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::channel,
    thread,
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    check::beside,
    diagnose::{Fault, Problem, nearest},
    inquiry::{Inquiry, Subject},
    location::{Located, Location, Origin},
    texts::Texts,
};

const ASK: &str = include_str!("ask.py");
/// What a stage's source has to define.
const WORK: &str = "work";
/// How long an answer may take; a folder over a network is slow at first.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What an interpreter says of source or of a module.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    /// What is defined at the top level.
    names: Vec<String>,
    /// Whether nothing else can be.
    known: bool,
    /// Why the source cannot be compiled, and between which lines and columns, from 1.
    mistake: Option<String>,
    from: (Option<usize>, Option<usize>),
    to: (Option<usize>, Option<usize>),
    /// The module, or what is around it, that is not there.
    missing: Option<String>,
    /// The file of a module, and what it says if that is of interest.
    file: Option<String>,
    text: Option<String>,
    /// Whether the interpreter has the package of workers in Python.
    package: bool,
}

/// Has a question answered; all that is wrong.
pub(super) fn ask(inquiry: &Inquiry, texts: &mut Texts) -> Vec<Problem> {
    match &inquiry.subject {
        Subject::Source(source) => ask_source(inquiry, source, texts),
        Subject::File { named, shown, text } => ask_file(inquiry, named, shown, text, texts),
        Subject::Call(call) => ask_call(inquiry, call, texts),
    }
}

fn ask_source(inquiry: &Inquiry, source: &Located<String>, texts: &Texts) -> Vec<Problem> {
    // An interpreter that is not there, or does not answer, is told by the worker that needs it.
    let Ok(answer) = question(inquiry, &json!({"source": source.value})) else { return Vec::new() };
    match answer.fault(inquiry) {
        Some(fault) => {
            let (start, end) = answer.stretch(&source.value);
            vec![Problem::at(texts.within(source, start..end), fault)]
        }
        None => no_work(&answer, "`python`", &source.place).into_iter().collect(),
    }
}

fn ask_file(
    inquiry: &Inquiry,
    named: &Located<String>,
    shown: &str,
    text: &str,
    texts: &mut Texts,
) -> Vec<Problem> {
    let Ok(answer) = question(inquiry, &json!({"source": text})) else { return Vec::new() };
    match answer.fault(inquiry) {
        Some(fault) => vec![answer.in_file(fault, shown, text, &named.place, texts)],
        None => no_work(&answer, &format!("`{shown}`"), &named.place).into_iter().collect(),
    }
}

fn no_work(answer: &Answer, what: &str, place: &Location) -> Option<Problem> {
    if !answer.known || answer.names.iter().any(|name| name == WORK) {
        return None;
    }
    let similar = nearest(WORK, answer.names.iter().map(String::as_str)).map(str::to_owned);
    Some(Problem::at(place.clone(), Fault::NoWork { what: what.to_owned(), similar }))
}

fn ask_call(inquiry: &Inquiry, call: &Located<String>, texts: &mut Texts) -> Vec<Problem> {
    let Some((module, function)) = call.value.split_once(':') else { return Vec::new() };
    let asked = json!({"module": module, "folder": inquiry.files.directory()});
    let interpreter = inquiry.interpreter.clone();
    let answer = match question(inquiry, &asked) {
        Ok(answer) => answer,
        Err(reason) => {
            let fault = Fault::NoAnswer { interpreter, reason };
            return vec![Problem::at(call.place.clone(), fault)];
        }
    };
    if let Some(missing) = &answer.missing {
        let similar = beside(inquiry.files.directory(), missing);
        let folder = inquiry.files.directory().display().to_string();
        let fault = Fault::NoModule { module: missing.clone(), interpreter, folder, similar };
        return vec![Problem::at(texts.within(call, 0..missing.len()), fault)];
    }
    if let Some(fault) = answer.fault(inquiry) {
        let file = answer.file.clone().unwrap_or_default();
        let shown = inquiry.files.named(Path::new(&file));
        let text = answer.text.clone().unwrap_or_default();
        return vec![answer.in_file(fault, &shown, &text, &call.place, texts)];
    }
    if answer.known && !answer.names.iter().any(|name| name == function) {
        let names = answer.names.iter().map(String::as_str);
        let fault = Fault::NoCallee {
            module: module.to_owned(),
            function: function.to_owned(),
            similar: nearest(function, names).map(str::to_owned),
            // What is not the user's own is not for them to change.
            file: answer
                .file
                .as_deref()
                .map(Path::new)
                .filter(|file| inquiry.files.holds(file))
                .map(|file| inquiry.files.named(file)),
        };
        let place = texts.within(call, module.len() + 1..call.value.len());
        return vec![Problem::at(place, fault)];
    }
    if !answer.package {
        let fault = Fault::NoPackage { interpreter };
        return vec![Problem::at(call.place.clone(), fault)];
    }
    Vec::new()
}

impl Answer {
    /// That the source cannot be compiled, if so.
    fn fault(&self, inquiry: &Inquiry) -> Option<Fault> {
        let reason = self.mistake.clone()?;
        Some(Fault::PythonSyntax { reason, interpreter: inquiry.interpreter.clone() })
    }

    /// The bytes of the source that a mistake is about.
    fn stretch(&self, source: &str) -> (usize, usize) {
        let start = offset(source, self.from).unwrap_or(0);
        let width = source[start..].chars().next().map_or(0, char::len_utf8);
        let end = offset(source, self.to).filter(|end| *end > start);
        (start, end.unwrap_or(start + width))
    }

    /// A mistake that is shown in a file of its own, with the place that names the file beside it.
    fn in_file(
        &self,
        fault: Fault,
        shown: &str,
        text: &str,
        named: &Location,
        texts: &mut Texts,
    ) -> Problem {
        let (start, end) = self.stretch(text);
        let origin = Origin::Python(texts.add(shown, text));
        Problem::at(Location::new(origin, start..end), fault)
            .with_context(named.clone(), "it is named here")
    }
}

/// The byte at a line and column, both from 1, the column in characters.
fn offset(source: &str, at: (Option<usize>, Option<usize>)) -> Option<usize> {
    let line = at.0?.checked_sub(1)?;
    let start = match line {
        0 => 0,
        line => source.match_indices('\n').nth(line - 1)?.0 + 1,
    };
    let rest = &source[start..];
    let text = rest.lines().next().unwrap_or("");
    let column = at.1.unwrap_or(1).saturating_sub(1);
    Some(start + text.char_indices().nth(column).map_or(text.len(), |(index, _)| index))
}

/// The answer of an interpreter, or why there is none.
fn question(inquiry: &Inquiry, asked: &Value) -> Result<Answer, String> {
    let mut command = Command::new(&inquiry.interpreter);
    if asked.get("source").is_some() {
        // What it is does not depend on its surroundings.
        command.arg("-I");
    }
    command
        .args(["-W", "ignore", "-c", ASK])
        .envs(&inquiry.env)
        .current_dir(inquiry.files.directory())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| format!("it cannot be started: {error}"))?;
    let (said, words) = hear(child, asked.to_string().into_bytes())?;
    let answer = said.lines().next_back().and_then(|line| serde_json::from_str(line).ok());
    answer.ok_or_else(|| match words.lines().rfind(|line| !line.trim().is_empty()) {
        Some(last) => last.trim().to_owned(),
        None => "it ended without an answer".into(),
    })
}

/// What a process prints, and says on stderr, once it was told everything; within the limit.
fn hear(mut child: Child, told: Vec<u8>) -> Result<(String, String), String> {
    let (sender, heard) = channel();
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let listen = |stream: Option<Box<dyn Read + Send>>, index: usize| {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stream.map(|mut stream| stream.read_to_end(&mut text));
            let _ = sender.send((index, String::from_utf8_lossy(&text).into_owned()));
        });
    };
    listen(stdout.map(|stream| Box::new(stream) as _), 0);
    listen(stderr.map(|stream| Box::new(stream) as _), 1);
    // What ends early reads no more of it, and says why.
    thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&told)));
    let mut said = [String::new(), String::new()];
    for _ in 0..said.len() {
        match heard.recv_timeout(ANSWER_LIMIT) {
            Ok((index, text)) => said[index] = text,
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no answer in {} s", ANSWER_LIMIT.as_secs()));
            }
        }
    }
    let _ = child.wait();
    let [printed, words] = said;
    Ok((printed, words))
}
