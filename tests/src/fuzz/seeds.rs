//! The inputs that the corpus begins with: one of each kind, made by the code that reads them.
//!
//! Owns how they are made; `fuzz --write-seeds` writes them anew after a change of the formats.

use std::path::Path;
use std::{fs, io};

use fastrand::Rng;
use proto::frame::{Envelope, Frame, VERSION};

use super::script::Script;
use super::{TARGETS, roles, says};

/// How many scripts and frames a corpus begins with.
const COUNT: usize = 24;

/// The first inputs of a target.
///
/// # Errors
/// When the repository's topologies can't be read.
pub fn seeds(name: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut rng = Rng::with_seed(11);
    let mut script = |len| -> Vec<u8> { std::iter::repeat_with(|| rng.u8(..)).take(len).collect() };
    Ok(match name {
        "codec" => (0..COUNT).map(|_| envelope(&script(60)).encode()).collect(),
        "units" => {
            let all = (0..10 * COUNT).filter_map(|_| match envelope(&script(60)).frame {
                Frame::Work(work) => {
                    Some([&[4, 2, 9, 1, 1], &rmp_serde::to_vec(&work.units).ok()?[..]].concat())
                }
                _ => None,
            });
            all.take(COUNT).collect()
        }
        "value" => JSON.iter().map(|json| packed(json)).collect(),
        "json" => JSON.iter().map(|json| json.as_bytes().to_vec()).collect(),
        "topology" => topologies()?,
        "log" => vec![log()?],
        "key" => {
            let key = proto::net::key::Key::generate();
            vec![format!("public {}\nsecret {}\n", key.public, key.secret).into_bytes()]
        }
        _ => (0..COUNT).map(|number| script(8 * (number + 1))).collect(),
    })
}

const JSON: [&str; 8] = [
    "null",
    "[true,false,-1,300,70000,5000000000]",
    "18446744073709551615",
    "-9223372036854775808",
    "1.5e300",
    r#"{"key":{"a":[],"b":{}},"n":0.1}"#,
    "\"a longer text, with more than thirty-one bytes: \\u00e9\\n\"",
    "[[[[[[[[1]]]]]]]]",
];

fn packed(json: &str) -> Vec<u8> {
    let mut value = Vec::new();
    proto::value::from_json(json.as_bytes(), &mut value).expect("these are JSON");
    value
}

fn envelope(bytes: &[u8]) -> Envelope {
    let script = &mut Script::new(bytes);
    let frame = match script.below(8) {
        0 => Frame::Hello(Box::new(roles::hello(says::kind(script), "a"))),
        _ => says::frame(script),
    };
    Envelope { version: VERSION, run: roles::RUN, from: 9, session: 1, seq: 3, frame }
}

fn topologies() -> io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies");
    for folder in [root.clone(), root.join("tests/broken")] {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                found.push(fs::read(path)?);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn log() -> io::Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let mut log = sink::log::Log::open(sink::log::COMMIT_LOG, folder.path(), 1, |_| {})
        .map_err(io::Error::other)?;
    log.append(b"a record");
    log.append(b"");
    log.append(&rmp_serde::to_vec(&Vec::<sink::entry::Entry>::new()).map_err(io::Error::other)?);
    log.sync().map_err(io::Error::other)?;
    fs::read(folder.path().join("log-00000001"))
}

/// Writes the seeds of every target to its corpus.
///
/// # Errors
/// When a folder can't be written.
pub fn write() -> io::Result<()> {
    for target in TARGETS {
        let folder = super::runner::corpus_folder(target.name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds(target.name)?.into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed)?;
        }
    }
    Ok(())
}
