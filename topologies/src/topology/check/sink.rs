//! `[sink]`: where results go, what a line holds and what is computed over all.
//!
//! Owns which of these make sense together; refuses to open an output.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::FileTypeExt},
    path::{Path, PathBuf},
};

use sink::{
    Existing,
    config::{Aggregate, Field, GroupBy, NameError, Order, OutputSpec, SinkConfig},
};

use super::{files::Files, reader::Reader};
use crate::topology::{
    diagnose::{Expected, Fault, Unfit, Vocabulary},
    location::{Located, Location},
};

/// The sink's configuration, and where its files were named.
#[derive(Default)]
pub(super) struct SinkPart {
    pub config: SinkConfig,
    /// Of a service: milliseconds that outcomes are kept, and their bytes, if that is said.
    pub retain: (Option<u64>, Option<u64>),
    /// The key, the path and the place of every file that the sink writes.
    pub files: Vec<(&'static str, PathBuf, Location)>,
}

pub(super) fn sink(mut reader: Reader<'_>, files: &Files, is_service: bool) -> SinkPart {
    let mut written = Vec::new();
    let output = output(&mut reader, files, &mut written);
    let dead = file(&mut reader, files, "dead", &mut written);
    let order =
        reader.text("order").and_then(|order| named(&mut reader, Vocabulary::Order, &order));
    let config = SinkConfig {
        output,
        order: order.unwrap_or_default(),
        fields: list(&mut reader, "fields", Vocabulary::Field),
        aggregate: list(&mut reader, "aggregate", Vocabulary::Aggregate),
        group_by: reader.text("group_by").map(|by| group_by(by.value)),
        on: reader.text("on").map(|on| on.value),
        top: reader.integer("top").and_then(|top| usize::try_from(top.value).ok()),
        groups_max: reader
            .integer("groups_max")
            .and_then(|groups| usize::try_from(groups.value).ok()),
        dead,
        overwrite: match reader.boolean("overwrite") {
            Some(true) => Existing::Overwrite,
            _ => Existing::Keep,
        },
    };
    refuse_idle(&mut reader, &config);
    if is_service {
        refuse_of_service(&mut reader, &config);
    } else {
        for key in ["retain", "retain_bytes"] {
            reader.idle(key, "a service", "make the source kind = \"service\"");
        }
    }
    let retain = reader.milliseconds("retain").map(|retain| retain.value);
    let retain = (retain, reader.bytes("retain_bytes").map(|bytes| bytes.value));
    SinkPart { config, retain, files: written }
}

fn output(
    reader: &mut Reader<'_>,
    files: &Files,
    written: &mut Vec<(&'static str, PathBuf, Location)>,
) -> Option<OutputSpec> {
    let text = reader.entry("output")?.item.as_text();
    if text == Some("-") {
        return Some(OutputSpec::Stdout);
    }
    let path = file(reader, files, "output", written)?;
    let place = reader.entry("output")?.item.place.clone();
    match OutputSpec::try_from(path) {
        Ok(spec) => Some(spec),
        Err(NameError::Ending { ending }) => {
            reader.refuse(&place, Fault::UnknownEnding { ending });
            None
        }
        // An empty text was refused when it was read, and a path is looked up in no list.
        Err(_) => None,
    }
}

/// A file to write: it need not exist, its folder must.
fn file(
    reader: &mut Reader<'_>,
    files: &Files,
    key: &'static str,
    written: &mut Vec<(&'static str, PathBuf, Location)>,
) -> Option<PathBuf> {
    let text = reader.text(key)?;
    if let Some(folder) = files.missing_folder(&text) {
        reader.refuse(&text.place, Fault::NoFolder { key, folder });
    }
    let path = files.resolve(&text);
    if let Some(why) = unfit(&path) {
        let fault = Fault::NoOutput { key, path: files.shown(&text), why };
        reader.refuse(&text.place, fault);
    }
    written.push((key, path.clone(), text.place));
    Some(path)
}

/// Why nothing can be written to a path, as far as that shows before it is tried.
fn unfit(path: &Path) -> Option<Unfit> {
    /// Of a name, on every file system that there is.
    const NAME_BYTES_MAX: usize = 255;
    let found = fs::metadata(path).map(|meta| meta.file_type());
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return Some(Unfit::Folder);
    }
    if found.is_ok_and(|kind| kind.is_socket()) {
        return Some(Unfit::Socket);
    }
    let is_long = path.file_name().is_some_and(|name| name.len() > NAME_BYTES_MAX);
    is_long.then_some(Unfit::LongName)
}

fn group_by(text: String) -> GroupBy {
    match text.as_str() {
        "value" => GroupBy::Value,
        _ => GroupBy::Field(text),
    }
}

/// A list of names, each once.
fn list<T: sink::config::Named>(
    reader: &mut Reader<'_>,
    key: &'static str,
    what: Vocabulary,
) -> Vec<T> {
    let Some(texts) = reader.texts(key, Expected::Texts) else {
        return Vec::new();
    };
    let mut list = Vec::new();
    for text in &texts.value {
        match named(reader, what, text) {
            Some(choice) if list.contains(&choice) => {
                let name = text.value.clone();
                reader.refuse(&text.place, Fault::ListedTwice { key, name });
            }
            Some(choice) => list.push(choice),
            None => {}
        }
    }
    list
}

/// One name out of the sink's own table of them.
fn named<T: sink::config::Named>(
    reader: &mut Reader<'_>,
    what: Vocabulary,
    text: &Located<String>,
) -> Option<T> {
    let choice = T::named(&text.value).ok();
    if choice.is_none() {
        let fault = Fault::UnknownName {
            what,
            name: text.value.clone(),
            known: T::NAMES.iter().map(|(name, _)| (*name).to_owned()).collect(),
        };
        reader.refuse(&text.place, fault);
    }
    choice
}

/// Refuses what needs a list of units with an end.
fn refuse_of_service(reader: &mut Reader<'_>, config: &SinkConfig) {
    let refused = [
        (
            "order",
            config.order == Order::Input,
            "order = \"input\"",
            "in which a unit may be delayed for hours",
            "leave `order` out: outcomes are written as they come",
        ),
        (
            "fields",
            config.fields.contains(&Field::Input),
            "the field `input`",
            "whose clients get the value alone",
            "leave it out: whoever has submitted a unit knows its input",
        ),
        (
            "output",
            config.output == Some(OutputSpec::Stdout),
            "standard output",
            "which has to be able to go on where it was",
            "name a file, or leave `output` out: clients fetch the outcomes",
        ),
    ];
    for (key, is_so, what, why, remedy) in refused {
        if let Some(entry) = reader.entry(key).filter(|_| is_so) {
            let fault = Fault::NotForService { what, why, remedy };
            reader.refuse(&entry.item.place, fault);
        }
    }
}

/// Refuses keys that would change nothing, since whoever wrote them expects that they do.
fn refuse_idle(reader: &mut Reader<'_>, config: &SinkConfig) {
    // A key whose own value was refused still says what its user wants.
    if reader.entry("output").is_none() {
        reader.idle("fields", "an `output`", "add output = \"results.jsonl\"");
    }
    let Some(aggregate) = reader.entry("aggregate") else {
        for key in ["group_by", "on", "top", "groups_max"] {
            reader.idle(key, "an `aggregate`", "add aggregate = [\"count\"]");
        }
        return;
    };
    let all_known = aggregate.item.length() == Some(config.aggregate.len());
    if all_known && !config.aggregate.contains(&Aggregate::Top) {
        reader.idle("top", "the aggregate `top`", "add \"top\" to `aggregate`");
        if reader.entry("group_by").is_none() {
            reader.idle("groups_max", "a `group_by`", "add group_by = \"value\"");
        }
    }
}
