//! The programs under test, built from the sources as they are now.
//!
//! Owns where they are, and that none is stale: cargo builds them once a test run, in the profile
//! that users run. `PIPELINE_TEST_PROGRAMS` names a folder of programs to take instead.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{fs, io};

use serde_json::Value;

/// The variable that names a folder of programs to test instead of building them.
pub const PROGRAMS_VARIABLE: &str = "PIPELINE_TEST_PROGRAMS";

/// The folder of the workspace.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the workspace")
}

/// Where `sink`, `ventilator`, `worker` or `pipeline` is.
///
/// # Panics
/// When it can't be built, or is missing in the folder that the variable names.
pub fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    match std::env::var_os(PROGRAMS_VARIABLE) {
        Some(folder) => existing(PathBuf::from(folder).join(name)),
        // The default members only: the same build that `cargo run --release` makes and keeps.
        None => taken(BUILT.get_or_init(|| build(&["--bins"])), name),
    }
}

/// Where an example program of the crate `worker` is.
///
/// # Panics
/// As [`program`].
pub fn worker_example(name: &str) -> PathBuf {
    match std::env::var_os(PROGRAMS_VARIABLE) {
        Some(folder) => existing(PathBuf::from(folder).join("examples").join(name)),
        None => taken(&build(&["--package", "worker", "--example", name]), name),
    }
}

/// The folder that holds the package `pipeline_zmq`, for `PYTHONPATH`: its modules, beside the
/// extension as it is built now.
///
/// # Panics
/// When it can't be built, or is missing in the folder that the variable names.
pub fn python_package() -> &'static Path {
    static LAID_OUT: OnceLock<PathBuf> = OnceLock::new();
    LAID_OUT.get_or_init(|| lay_out(&extension()).expect("the package can be laid out"))
}

/// The package's compiled part.
fn extension() -> PathBuf {
    match std::env::var_os(PROGRAMS_VARIABLE) {
        Some(folder) => existing(PathBuf::from(folder).join("lib_native.so")),
        None => taken(&build(&["--package", "pipeline-python"]), "_native"),
    }
}

/// Lays it out beside the extension, with links, which are the same whoever makes them.
fn lay_out(extension: &Path) -> io::Result<PathBuf> {
    let folder = extension.with_file_name("python-package");
    let package = folder.join("pipeline_zmq");
    fs::create_dir_all(&package)?;
    let link = |to: &Path, name: &OsStr| match symlink(to, package.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    };
    for entry in fs::read_dir(repository().join("topologies/python/python/pipeline_zmq"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "py") {
            link(&path, path.file_name().unwrap_or_default())?;
        }
    }
    link(extension, OsStr::new("_native.abi3.so"))?;
    Ok(folder)
}

fn existing(path: PathBuf) -> PathBuf {
    assert!(path.is_file(), "{PROGRAMS_VARIABLE}: there is no {}", path.display());
    path
}

fn taken(built: &BTreeMap<String, PathBuf>, name: &str) -> PathBuf {
    built.get(name).unwrap_or_else(|| panic!("cargo has built no `{name}`")).clone()
}

/// Builds, and gives every executable by its name. Cargo's own lock keeps concurrent calls apart.
fn build(what: &[&str]) -> BTreeMap<String, PathBuf> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--message-format=json-render-diagnostics"])
        .args(what)
        .current_dir(repository())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "the programs under test don't build");
    let messages = String::from_utf8(output.stdout).expect("cargo's messages are UTF-8");
    messages
        .lines()
        .filter_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            let name = message["target"]["name"].as_str()?.to_owned();
            let library = || message["filenames"][0].as_str().filter(|file| file.ends_with(".so"));
            Some((name, message["executable"].as_str().or_else(library)?.into()))
        })
        .collect()
}
