//! `[source]`: its kind, and the keys that each kind takes.
//!
//! Owns how each kind is read; refuses to open what it names, beyond asking whether it is there.

use std::{
    fs, io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use ventilator::source::{Accept, DelimiterError, Pattern, ServiceSpec, SourceSpec, delimiter};

use super::{files::Files, reader::Reader};
use crate::topology::{
    diagnose::{Fault, Unfit, Vocabulary},
    keys::{ACCEPT, SOURCE_KINDS, SourceKind},
    location::Located,
};

/// How a source of a kind is read.
type Read = fn(&mut Reader<'_>, &Files) -> Option<SourceSpec>;

fn read_of(kind: &str) -> Option<Read> {
    Some(match kind {
        "range" => range,
        "lines" => |reader, files| match file(reader, files)? {
            Input::File(path) => Some(SourceSpec::Lines { path }),
            Input::Standard(_) => Some(SourceSpec::Stdin),
        },
        "jsonl" => |reader, files| named(reader, files).map(|path| SourceSpec::Jsonl { path }),
        "csv" => csv,
        "files" => matching,
        "stdin" => |_, _| Some(SourceSpec::Stdin),
        "service" => |reader, _| Some(service(reader)),
        _ => return None,
    })
}

pub(super) fn source(mut reader: Reader<'_>, files: &Files) -> Option<SourceSpec> {
    reader.require(
        "kind",
        "kind = \"range\", or \"lines\", \"jsonl\", \"csv\", \"files\", \"stdin\" or \"service\"",
    );
    let written = reader.text("kind")?;
    let named = SOURCE_KINDS.iter().find(|kind| kind.name == written.value);
    let Some((kind, read)) = named.zip(read_of(&written.value)) else {
        let fault = Fault::UnknownName {
            what: Vocabulary::Kind,
            name: written.value,
            known: SOURCE_KINDS.iter().map(|kind| kind.name.to_owned()).collect(),
        };
        reader.refuse(&written.place, fault);
        return None;
    };
    refuse_others(&mut reader, kind);
    read(&mut reader, files)
}

/// Refuses the keys of other kinds.
fn refuse_others(reader: &mut Reader<'_>, kind: &SourceKind) {
    let known = reader.section.keys();
    for entry in reader.entries() {
        let key = entry.key.as_str();
        if key != "kind" && known.contains(&entry.key) && !kind.keys.contains(&key) {
            let fault =
                Fault::Misplaced { key: key.to_owned(), kind: kind.name, allowed: kind.keys };
            reader.refuse(&entry.key_place, fault);
        }
    }
}

fn range(reader: &mut Reader<'_>, _: &Files) -> Option<SourceSpec> {
    reader.require("from", "from = 1, the first value");
    reader.require("to", "to = 1000, the last value");
    let from = whole(reader, "from");
    let to = whole(reader, "to");
    let step = match reader.entry("step") {
        None => Some(1),
        Some(entry) => match whole(reader, "step") {
            Some(0) => {
                reader.refuse(&entry.item.place, Fault::ZeroStep);
                None
            }
            step => step,
        },
    };
    Some(SourceSpec::Range { from: from?, to: to?, step: step? })
}

fn service(reader: &mut Reader<'_>) -> SourceSpec {
    let default = ServiceSpec::default();
    let accept = match reader.text("accept") {
        None => Accept::default(),
        Some(written) => match written.value.as_str() {
            "durable" => Accept::Durable,
            "memory" => Accept::Memory,
            _ => {
                let fault = Fault::UnknownName {
                    what: Vocabulary::Accept,
                    name: written.value,
                    known: ACCEPT.iter().map(|word| (*word).to_owned()).collect(),
                };
                reader.refuse(&written.place, fault);
                Accept::default()
            }
        },
    };
    let units = reader.integer("queue_units_max").and_then(|units| u64::try_from(units.value).ok());
    let bytes = reader.bytes("queue_bytes_max").map(|bytes| bytes.value);
    SourceSpec::Service(ServiceSpec {
        accept,
        queue_units_max: units.unwrap_or(default.queue_units_max),
        queue_bytes_max: bytes.unwrap_or(default.queue_bytes_max),
        // What the sink says.
        retain_ms: default.retain_ms,
    })
}

fn whole(reader: &mut Reader<'_>, key: &str) -> Option<i64> {
    let number = reader.integer(key)?;
    i64::try_from(number.value).ok()
}

fn csv(reader: &mut Reader<'_>, files: &Files) -> Option<SourceSpec> {
    let separator = match reader.text("delimiter") {
        None => None,
        Some(written) => match delimiter(&written.value) {
            Ok(separator) => Some(separator),
            Err(DelimiterError(text)) => {
                reader.refuse(&written.place, Fault::BadDelimiter { text });
                None
            }
        },
    };
    let path = named(reader, files)?;
    Some(SourceSpec::Csv { path, delimiter: separator })
}

/// What a path leads to.
enum Input {
    /// A file, or what is read like one.
    File(PathBuf),
    /// This process's own standard input, as it was named.
    Standard(Located<String>),
}

/// A path that is no name of standard input.
fn named(reader: &mut Reader<'_>, files: &Files) -> Option<PathBuf> {
    match file(reader, files)? {
        Input::File(path) => Some(path),
        Input::Standard(written) => {
            let fault = Fault::StandardInput { path: written.value.clone() };
            reader.refuse(&written.place, fault);
            None
        }
    }
}

fn file(reader: &mut Reader<'_>, files: &Files) -> Option<Input> {
    reader.require("path", "path = \"FILE\", relative to the topology's folder");
    let written = reader.text("path")?;
    let path = files.resolve(&written);
    if is_standard_input(&path) {
        return Some(Input::Standard(written));
    }
    if let Some(why) = unfit(&path) {
        let fault =
            Fault::NoInput { path: files.shown(&written), why, similar: files.similar(&written) };
        reader.refuse(&written.place, fault);
        return None;
    }
    Some(Input::File(path))
}

/// The source is read by another process, whose own standard input these names would mean.
fn is_standard_input(path: &Path) -> bool {
    ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].iter().any(|name| path == Path::new(name))
}

/// Why nothing can be read at a path.
fn unfit(path: &Path) -> Option<Unfit> {
    let found = fs::metadata(path);
    Some(match found.map(|meta| meta.file_type()) {
        Ok(kind) if kind.is_dir() => Unfit::Folder,
        Ok(kind) if kind.is_socket() => Unfit::Socket,
        Ok(_) => return None,
        Err(_) if path.is_symlink() => Unfit::DanglingLink,
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => Unfit::LongName,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Unfit::OutOfReach,
        Err(_) if is_file_as_folder(path) => Unfit::NoFolder,
        Err(_) => Unfit::Missing,
    })
}

/// Whether a path goes on behind a file, be it with a slash only.
fn is_file_as_folder(path: &Path) -> bool {
    let bare = path.as_os_str().to_string_lossy();
    bare.ends_with('/') && Path::new(bare.trim_end_matches('/')).is_file()
        || path.parent().is_some_and(Path::is_file)
}

fn matching(reader: &mut Reader<'_>, files: &Files) -> Option<SourceSpec> {
    reader.require("glob", "glob = \"pictures/*.png\", relative to the topology's folder");
    let written = reader.text("glob")?;
    if let Err(error) = Pattern::parse(&written.value) {
        let fault = Fault::BadPattern { pattern: written.value.clone(), problem: error.problem };
        reader.refuse(&written.within(error.at), fault);
        return None;
    }
    // The folder is no part of the pattern: nothing in its own name is special.
    let folder = files.base(&written);
    Some(SourceSpec::Files { glob: written.value, folder: Some(folder), own: Vec::new() })
}
