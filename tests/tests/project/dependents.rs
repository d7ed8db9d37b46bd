//! What those compile who depend on these crates.
//!
//! The answers are cargo's own, which reads what is on this machine and builds nothing.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;
use tests::programs::repository;

/// Packages of the library `pipeline` before it could be had without its command line.
const PACKAGES_BEFORE: usize = 107;
/// What only a program on a command line needs.
const OF_THE_COMMAND_LINE: [&str; 15] = [
    "annotate-snippets",
    "axum",
    "clap",
    "ctrlc",
    "flate2",
    "indicatif",
    "measure",
    "rusqlite",
    "signal-hook",
    "simulation",
    "tempfile",
    "tokio",
    "toml",
    "tracing-subscriber",
    "zstd",
];

/// What cargo says without a network.
fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(folder).args(arguments).arg("--offline");
    let said = command.output().unwrap();
    let errors = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "cargo {arguments:?}:\n{errors}");
    String::from_utf8(said.stdout).unwrap()
}

/// The packages that are linked into what stands in a folder, each as `name vVERSION`.
fn packages(folder: &Path, arguments: &[&str]) -> BTreeSet<String> {
    let tree = ["tree", "--edges", "normal", "--prefix", "none"];
    let said = cargo(folder, &[&tree, arguments].concat());
    let lines = said.lines().filter(|line| !line.is_empty());
    lines.map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

/// A crate of somebody else, in a folder of its own, that embeds a pipeline.
fn crate_of_a_user(features: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = repository().display();
    let manifest = format!(
        r#"
[package]
name = "fresh"
version = "0.1.0"
edition = "2024"

[dependencies]
pipeline = {{ path = "{root}/topologies"{features} }}

[patch.crates-io]
zeromq-src = {{ path = "{root}/proto/zeromq-src" }}

[workspace]
"#
    );
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("src/main.rs"), "fn main() {}\n").unwrap();
    // The versions that this machine has.
    fs::copy(repository().join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();
    folder
}

#[test]
fn a_pipeline_inside_a_program_needs_little_over_half_of_the_packages() {
    let embedded = packages(repository(), &["-p", "pipeline", "--no-default-features"]);
    let most = PACKAGES_BEFORE * 60 / 100;
    assert!(embedded.len() <= most, "{} of at most {most}:\n{embedded:#?}", embedded.len());
}

#[test]
fn a_crate_that_embeds_a_pipeline_compiles_nothing_of_the_command_line() {
    let fresh = crate_of_a_user(", default-features = false");
    let names: BTreeSet<String> = packages(fresh.path(), &[])
        .iter()
        .filter_map(|package| package.split(' ').next().map(String::from))
        .collect();
    assert!(names.contains("pipeline") && names.contains("zmq"), "{names:?}");
    for name in OF_THE_COMMAND_LINE {
        assert!(!names.contains(name), "{name} is compiled too");
    }
}

#[test]
fn a_crate_that_says_nothing_gets_the_command_line_as_well() {
    let fresh = crate_of_a_user("");
    let all = packages(fresh.path(), &[]);
    assert!(all.iter().any(|package| package.starts_with("clap ")), "{all:?}");
}

#[test]
fn no_package_needs_a_newer_compiler_than_the_one_that_is_asked_for() {
    // Only what this machine builds was ever fetched.
    let arguments = ["metadata", "--format-version", "1", "--filter-platform", &host()];
    let facts = cargo(repository(), &arguments);
    let facts: Value = serde_json::from_str(&facts).unwrap();
    let packages = facts["packages"].as_array().unwrap();
    let needs = |package: &Value| package["rust_version"].as_str().map(version);
    let ours = packages.iter().find(|package| package["name"] == "proto").and_then(needs).unwrap();
    let newer: Vec<_> = packages
        .iter()
        .filter(|package| needs(package) > Some(ours))
        .map(|package| format!("{} {}", package["name"], package["rust_version"]))
        .collect();
    assert!(newer.is_empty(), "`rust-version` of Cargo.toml is {ours:?}: {newer:?}");
}

/// `1.90` and `1.90.0` as (1, 90).
fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap_or(0))
}

/// What this machine is called by the compiler.
fn host() -> String {
    let said = Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    said.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}
