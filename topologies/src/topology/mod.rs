//! The topology language: TOML text in, a checked [`Topology`] out, or all that is wrong with it.
//!
//! The way is `raw` (text to a tree with places), `set` (flags change the tree), `check` (tree to
//! topology), and for Python `interpreter`, which asks one about source and modules. Each of them
//! notes problems as data, and `diagnose` renders them.
//! Refuses to connect or write anything, and to run what a topology names: interpreters only compile.

mod canonical;
mod check;
mod diagnose;
mod inquiry;
mod interpreter;
mod keys;
mod location;
mod quantity;
mod raw;
mod schema;
mod section;
mod set;
mod stage_spec;
mod texts;
mod written;

use std::{
    env, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use proto::{limits::Limits, net::endpoint::Endpoint, plan::Function};
use sink::{config::SinkConfig, outcomes::Retention};
use ventilator::source::{Files, SourceSpec};

use self::{check::Checked, inquiry::Inquiry, texts::Texts};
pub use self::{
    check::{is_name, public_endpoint},
    diagnose::{Colour, Diagnostics, Expected, Fault, Finding, Problem, Unfit, Vocabulary},
    keys::{Form, Key},
    location::{Location, Origin},
    schema::schema,
    section::Section,
    stage_spec::StageSpec,
};

use crate::halt::Hopeless;

/// A checked topology: every name is known, every number in range, every path absolute.
#[derive(Debug, Clone, PartialEq)]
pub struct Topology {
    /// Letters, digits, `-` and `_`; the file's name without its ending unless given.
    pub name: String,
    /// The file with the CURVE key; none: the user's own.
    pub key: Option<PathBuf>,
    /// Whether `tcp://` goes without encryption.
    pub insecure: bool,
    /// Where workers on other machines find the ventilator: tcp, with a port; the sink listens at
    /// the next one.
    pub bind: Option<Endpoint>,
    /// When it is hopeless to go on.
    pub halt: Hopeless,
    /// Where units come from.
    pub source: SourceSpec,
    /// What is done with them, in this order; at least one.
    pub stages: Vec<StageSpec>,
    /// What becomes of the results.
    pub sink: SinkConfig,
    /// Of a service: how long outcomes are kept for its clients.
    pub retention: Option<Retention>,
    /// The runtime's limits.
    pub limits: Limits,
    /// The folder of the file, absolute.
    pub directory: PathBuf,
}

impl Topology {
    /// Reads and checks a topology file, or standard input for `-`, after the changes of `--set` flags such as
    /// `stage.square.workers=4`. What it has of Python is compiled, by the interpreter of its stage,
    /// and modules are looked for; nothing of it is run.
    ///
    /// Paths in the file are relative to its folder, paths in a flag to the current one.
    ///
    /// # Errors
    ///
    /// All problems of the file and the flags at once.
    pub fn load(path: &Path, sets: &[String]) -> Result<Self, Diagnostics> {
        let (read, path) = match path == Path::new(STANDARD_INPUT) {
            true => (read_standard_input(), Path::new("stdin")),
            false => (fs::read(path), path),
        };
        match read.map(String::from_utf8) {
            Ok(Ok(text)) => Self::read(text, path, sets, ask_each),
            Ok(Err(_)) => Err(unread(path, sets, Fault::NotText)),
            Err(error) => Err(unread(path, sets, unreadable(path, &error))),
        }
    }

    /// Programs that stages with workers here start, and that can't be started here, a sentence each.
    pub fn missing_programs(&self) -> impl Iterator<Item = String> {
        self.stages.iter().filter(|spec| spec.workers > 0).filter_map(|spec| {
            let (Function::Exec(line) | Function::Pipe(line) | Function::PipeAnyOrder(line)) =
                &spec.stage.function
            else {
                return None;
            };
            let program = line.first()?;
            let paths = spec.stage.env.get("PATH").map(Into::into).or_else(|| env::var_os("PATH"));
            let path = Path::new(program);
            if check::is_executable(path, paths.as_deref()) {
                return None;
            }
            let why = match path.is_absolute() && path.is_file() {
                true => "which is a file that may not be executed (chmod +x)",
                false => "and there is no such program here",
            };
            Some(format!("the stage `{}` starts `{program}`, {why}", spec.stage.name))
        })
    }

    /// What can be run elsewhere, or later, and yet may be a mistake, a sentence each: a pattern that
    /// matches no file, a program that is not there.
    pub fn notes(&self) -> Vec<String> {
        self.missing_programs().chain(self.notes_of_source()).collect()
    }

    fn notes_of_source(&self) -> Vec<String> {
        match &self.source {
            SourceSpec::Files { glob, folder, own } => {
                let folder = folder.as_deref().unwrap_or(Path::new(""));
                match Files::find(glob, folder, own, &env::temp_dir()) {
                    Ok(files) => files.notes().collect(),
                    Err(error) => vec![error.to_string()],
                }
            }
            _ => Vec::new(),
        }
    }

    /// Like [`load`](Self::load), for a text that is, or might be, in the file `path`. No
    /// interpreter is started: Python is taken as it is.
    ///
    /// # Errors
    ///
    /// All problems of the text and the flags at once.
    ///
    /// # Example
    ///
    /// ```
    /// use std::path::Path;
    /// use pipeline::topology::Topology;
    ///
    /// let text = r#"
    ///     [source]
    ///     kind = "range"
    ///     from = 1
    ///     to = 10
    ///
    ///     [[stage]]
    ///     name = "square"
    ///     run = "square"
    /// "#;
    /// let sets = ["stage.square.workers=3".to_owned()];
    /// let topology = Topology::from_text(text, Path::new("squares.toml"), &sets)?;
    /// assert_eq!(topology.name, "squares");
    /// assert_eq!(topology.stages[0].workers, 3);
    /// # Ok::<(), pipeline::topology::Diagnostics>(())
    /// ```
    pub fn from_text(text: &str, path: &Path, sets: &[String]) -> Result<Self, Diagnostics> {
        Self::read(text.to_owned(), path, sets, |_, _| Vec::new())
    }

    /// Checks a text; `ask` gets what only interpreters know.
    fn read(
        text: String,
        path: &Path,
        sets: &[String],
        ask: impl FnOnce(&[Inquiry], &mut Texts) -> Vec<Problem>,
    ) -> Result<Self, Diagnostics> {
        let document = raw::document(&text);
        let mut texts = Texts::new(path.display().to_string(), text, sets);
        let checked = document.and_then(|mut root| {
            let mut problems = set::apply(&mut root, sets);
            let Checked { topology, problems: further, inquiries } = check::topology(path, &root);
            problems.extend(further);
            problems.extend(ask(&inquiries, &mut texts));
            topology.filter(|_| problems.is_empty()).ok_or(problems)
        });
        checked.map_err(|problems| Diagnostics::new(texts, problems))
    }
}

/// The file's name that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

fn read_standard_input() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text)?;
    Ok(text)
}

fn ask_each(inquiries: &[Inquiry], texts: &mut Texts) -> Vec<Problem> {
    inquiries.iter().flat_map(|inquiry| interpreter::ask(inquiry, texts)).collect()
}

fn unread(path: &Path, sets: &[String], fault: Fault) -> Diagnostics {
    let texts = Texts::new(path.display().to_string(), String::new(), sets);
    Diagnostics::new(texts, vec![Problem::whole(fault)])
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let similar = check::similar(path).filter(|_| error.kind() == io::ErrorKind::NotFound);
    Fault::Unreadable {
        reason: error.into(),
        similar: similar.map(|name| path.with_file_name(name).display().to_string()),
    }
}
