//! From what was written to what is meant: the checked topology, or all that is wrong with it.
//!
//! Owns the order of the checks and those that span several tables; each table has a file of its
//! own. Refuses to stop at the first problem.

mod files;
mod limits;
mod python;
mod reader;
mod same;
mod sink;
mod source;
mod stage;

use std::path::{Path, PathBuf};

use ::sink::{order::Order, outcomes::Retention};
use proto::net::endpoint::{Endpoint, listening};
use ventilator::source::{Accept, ServiceSpec, SourceSpec};

pub(super) use self::{
    files::{Files, is_executable, similar},
    python::beside,
    reader::found,
};
use self::{
    reader::Reader,
    sink::SinkPart,
    stage::{Place, Staff, Taken},
};
use super::{
    StageSpec, Topology,
    diagnose::{Expected, Fault, Problem},
    inquiry::Inquiry,
    location::{Located, Location, Origin},
    raw::{Raw, Table, Value},
    section::Section,
};
use crate::halt::Hopeless;

/// What checks without an interpreter have found.
pub(super) struct Checked {
    /// None where problems leave no topology.
    pub topology: Option<Topology>,
    /// Every problem, in no order; one at least where there is no topology.
    pub problems: Vec<Problem>,
    /// What is left to be asked.
    pub inquiries: Vec<Inquiry>,
}

/// Checks a whole topology that was read from `path`.
pub(super) fn topology(path: &Path, root: &Table) -> Checked {
    let files = Files::new(path);
    let (mut problems, mut inquiries) = (Vec::new(), Vec::new());
    if files.directory().to_str().is_none() {
        let folder = files.directory().display().to_string();
        problems.push(Problem::whole(Fault::FolderNotText { folder }));
    }
    let topology = parts(path, root, &files, &mut problems, &mut inquiries);
    Checked { topology, problems, inquiries }
}

fn parts(
    path: &Path,
    root: &Table,
    files: &Files,
    problems: &mut Vec<Problem>,
    inquiries: &mut Vec<Inquiry>,
) -> Option<Topology> {
    let head = head(path, root, files, problems);
    let source = source(root, files, problems);
    let is_service = matches!(source, Some(SourceSpec::Service(_)));
    let stages = stages(root, files, is_service || source.is_none(), problems, inquiries);
    let mut sink = match section(root, Section::Sink, "sink", problems) {
        Some(reader) => sink::sink(reader, files, is_service),
        None => SinkPart::default(),
    };
    if is_service {
        sink.config.order = Order::Completion;
    }
    let limits = section(root, Section::Limits, "limits", problems).map(limits::limits);
    same::refuse(path, &head, source.as_ref(), &sink, problems);
    let (source, retention) = with_retention(source?, &sink);
    Some(Topology {
        name: head.name,
        key: head.key,
        insecure: head.insecure,
        bind: head.bind,
        // A service whose first units fail is a service with bad clients.
        halt: head.halt.unwrap_or(if is_service { Hopeless::NEVER } else { Hopeless::default() }),
        source,
        stages,
        sink: sink.config,
        retention,
        limits: limits.unwrap_or_default(),
        directory: files.directory().to_owned(),
    })
}

/// What stands before the first table.
struct Head {
    name: String,
    key: Option<PathBuf>,
    insecure: bool,
    bind: Option<Endpoint>,
    halt: Option<Hopeless>,
}

/// For how long a service keeps outcomes, and remembers its clients.
fn with_retention(source: SourceSpec, sink: &SinkPart) -> (SourceSpec, Option<Retention>) {
    let SourceSpec::Service(spec) = source else { return (source, None) };
    let default = Retention::default();
    let retention = Retention {
        ms: sink.retain.0.unwrap_or(default.ms),
        bytes_max: sink.retain.1.unwrap_or(default.bytes_max),
        in_memory: spec.accept == Accept::Memory,
        queue_units_max: spec.queue_units_max,
    };
    let spec = ServiceSpec { retain_ms: retention.ms, ..spec };
    (SourceSpec::Service(spec), Some(retention))
}

fn head(path: &Path, root: &Table, files: &Files, problems: &mut Vec<Problem>) -> Head {
    let start = Location::new(Origin::File, 0..0);
    let mut reader = Reader::open(Section::Top, root, start, problems);
    let name = name(&mut reader).map(|name| name.value);
    let key = reader.text("key").map(|written| {
        let key = files.resolve(&written);
        if !key.is_file() {
            let path = files.shown(&written);
            reader.refuse(&written.place, Fault::NoKey { path });
        }
        key
    });
    let bind = reader.text("bind").and_then(|written| match public_endpoint(&written.value) {
        Ok(endpoint) => Some(endpoint),
        Err(problem) => {
            reader.refuse(&written.place, Fault::BadBind { problem });
            None
        }
    });
    let halt = reader.text("halt").and_then(|written| match written.value.parse() {
        Ok(rule) => Some(rule),
        Err(problem) => {
            reader.refuse(&written.place, Fault::BadHalt { problem });
            None
        }
    });
    Head {
        name: name.unwrap_or_else(|| name_of(path)),
        key,
        insecure: reader.boolean("insecure").unwrap_or(false),
        bind,
        halt,
    }
}

/// An endpoint for other machines: the ventilator listens there and the sink at the next port,
/// which must both be known to those who come.
///
/// # Errors
/// What is wrong with it, in words.
pub fn public_endpoint(text: &str) -> Result<Endpoint, String> {
    match listening(text).map_err(|error| error.to_string())? {
        endpoint @ Endpoint::Tcp { port: 1..=65_534, .. } => Ok(endpoint),
        Endpoint::Tcp { .. } => {
            Err(format!("`{text}` needs a port from 1 to 65534; the sink takes the next one"))
        }
        _ => Err(format!("`{text}` is out of reach for other machines")),
    }
}

/// A topology without a name is called like its file.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if is_plain(c) { c } else { '-' };
    match stem.chars().map(plain).collect::<String>() {
        name if name.is_empty() => "topology".into(),
        name => name,
    }
}

/// Whether a topology or a stage can be called so.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_plain)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// The name of a topology or of a stage.
fn name(reader: &mut Reader<'_>) -> Option<Located<String>> {
    let name = reader.text("name")?;
    if name.value.chars().all(is_plain) {
        return Some(name);
    }
    reader.refuse(&name.place, Fault::BadName { name: name.value });
    None
}

/// Opens a table; none when it is absent or, after a complaint, no table.
fn section<'a>(
    root: &'a Table,
    section: Section,
    key: &str,
    problems: &'a mut Vec<Problem>,
) -> Option<Reader<'a>> {
    let item = &root.get(key)?.item;
    match &item.value {
        Value::Table(table) => Some(Reader::open(section, table, item.place.clone(), problems)),
        _ => {
            problems.push(no_table(key, item, format!("{section} in single brackets")));
            None
        }
    }
}

fn no_table(key: &str, item: &Raw, rewritten: String) -> Problem {
    let fault = Fault::WrongType {
        key: key.to_owned(),
        found: found(&item.value),
        expected: Expected::Table,
        rewritten: Some(rewritten),
    };
    Problem::at(item.place.clone(), fault)
}

fn source(root: &Table, files: &Files, problems: &mut Vec<Problem>) -> Option<SourceSpec> {
    if root.get("source").is_none() {
        problems.push(Problem::whole(Fault::MissingSection(Section::Source)));
    }
    source::source(section(root, Section::Source, "source", problems)?, files)
}

fn stages(
    root: &Table,
    files: &Files,
    may_be_service: bool,
    problems: &mut Vec<Problem>,
    inquiries: &mut Vec<Inquiry>,
) -> Vec<StageSpec> {
    let item = match root.get("stage") {
        Some(entry) => &entry.item,
        None => {
            problems.push(Problem::whole(Fault::MissingSection(Section::Stage)));
            return Vec::new();
        }
    };
    let items = match &item.value {
        Value::Array(items) if items.is_empty() => {
            let fault = Fault::MissingSection(Section::Stage);
            problems.push(Problem::at(item.place.clone(), fault));
            return Vec::new();
        }
        Value::Array(items) => items.as_slice(),
        Value::Table(_) => {
            problems.push(Problem::at(item.place.clone(), Fault::StageTable));
            // Its keys are checked all the same.
            std::slice::from_ref(item)
        }
        _ => {
            problems.push(no_table("stage", item, "[[stage]] in double brackets".into()));
            return Vec::new();
        }
    };
    let staff = if root.get("bind").is_some() { Staff::Open } else { Staff::Own };
    let mut taken = Taken::default();
    items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| match &item.value {
            Value::Table(table) => {
                let is_last = index + 1 == items.len();
                let place =
                    if is_last && may_be_service { Place::LastOfService } else { Place::Other };
                let header = item.place.clone();
                let reader = Reader::open(Section::Stage, table, header, problems);
                let found = stage::stage(reader, files, (staff, place), &mut taken)?;
                inquiries.extend(found.inquiry);
                found.spec
            }
            _ => {
                problems.push(no_table("stage", item, "[[stage]] in double brackets".into()));
                None
            }
        })
        .collect()
}
