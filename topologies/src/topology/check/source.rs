//! `[source]`: its kind, and the keys that each kind takes.
//!
//! Owns the table of kinds; refuses to open what it names, beyond asking whether it is there.

use std::path::PathBuf;

use ventilator::source::SourceSpec;

use super::{files::Files, reader::Reader};
use crate::topology::{
    diagnose::{Fault, Vocabulary},
    place::Placed,
};

/// A kind of source, and what it takes beside `kind`.
struct Kind {
    name: &'static str,
    keys: &'static [&'static str],
    read: fn(&mut Reader<'_>, &Files) -> Option<SourceSpec>,
}

const KINDS: [Kind; 6] = [
    Kind { name: "range", keys: &["from", "to", "step"], read: range },
    Kind {
        name: "lines",
        keys: &["path"],
        read: |reader, files| file(reader, files).map(|path| SourceSpec::Lines { path }),
    },
    Kind {
        name: "jsonl",
        keys: &["path"],
        read: |reader, files| file(reader, files).map(|path| SourceSpec::Jsonl { path }),
    },
    Kind {
        name: "csv",
        keys: &["path"],
        read: |reader, files| file(reader, files).map(|path| SourceSpec::Csv { path }),
    },
    Kind { name: "files", keys: &["glob"], read: matching },
    Kind { name: "stdin", keys: &[], read: |_, _| Some(SourceSpec::Stdin) },
];

pub(super) fn source(mut reader: Reader<'_>, files: &Files) -> Option<SourceSpec> {
    reader.require(
        "kind",
        "kind = \"range\", or \"lines\", \"jsonl\", \"csv\", \"files\" or \"stdin\"",
    );
    let written = reader.text("kind")?;
    let Some(kind) = KINDS.iter().find(|kind| kind.name == written.value) else {
        let fault = Fault::UnknownName {
            what: Vocabulary::Kind,
            name: written.value,
            known: KINDS.iter().map(|kind| kind.name.to_owned()).collect(),
        };
        reader.refuse(&written.place, fault);
        return None;
    };
    refuse_others(&mut reader, kind);
    (kind.read)(&mut reader, files)
}

/// Refuses the keys of other kinds.
fn refuse_others(reader: &mut Reader<'_>, kind: &Kind) {
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

fn whole(reader: &mut Reader<'_>, key: &str) -> Option<i64> {
    let number = reader.integer(key, i128::from(i64::MIN)..=i128::from(i64::MAX))?;
    i64::try_from(number.value).ok()
}

fn file(reader: &mut Reader<'_>, files: &Files) -> Option<PathBuf> {
    reader.require("path", "path = \"FILE\", relative to the topology's folder");
    let written = reader.text("path")?;
    let path = files.resolve(&written);
    if path.is_dir() || !path.exists() {
        let fault = Fault::NoInput {
            path: files.shown(&written),
            folder: path.is_dir(),
            similar: files.similar(&written),
        };
        reader.refuse(&written.place, fault);
        return None;
    }
    Some(path)
}

fn matching(reader: &mut Reader<'_>, files: &Files) -> Option<SourceSpec> {
    reader.require("glob", "glob = \"pictures/*.png\", relative to the topology's folder");
    let Placed { value, place } = reader.text("glob")?;
    let glob = files.resolve(&Placed { value, place }).to_string_lossy().into_owned();
    Some(SourceSpec::Files { glob })
}
