//! Runs the package's own tests, which are Python's (`test_*.py` beside this file), over the library that
//! was built with this test.
//!
//! Says `SKIPPED` where there is no Python that is new enough. `PIPELINE_TEST_PYTHON` names another one than
//! `python3`, for instance one that has numpy; what its packages are missing for is skipped by the tests.

use std::{
    env, fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The package as an installation has it: its sources, and the library by the name that Python looks for.
fn package(folder: &Path) -> io::Result<()> {
    let place = folder.join("pipeline_zmq");
    fs::create_dir(&place)?;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/pipeline_zmq");
    for entry in fs::read_dir(sources)? {
        let path = entry?.path();
        let is_library = path.extension().is_some_and(|extension| extension == "so");
        if let (Some(name), true, false) = (path.file_name(), path.is_file(), is_library) {
            symlink(&path, place.join(name))?;
        }
    }
    symlink(library()?, place.join("_native.abi3.so"))
}

/// What Cargo has built of this package's library: beside this program.
fn library() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let beside = program.parent().unwrap_or(Path::new("."));
    let places = [beside.join("lib_native.so"), beside.join("../lib_native.so")];
    let missing = || io::Error::other(format!("no lib_native.so beside {}", program.display()));
    places.into_iter().find(|place| place.exists()).ok_or_else(missing)?.canonicalize()
}

/// A Python that is new enough.
fn python() -> Option<String> {
    let program = env::var("PIPELINE_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let asked = "import sys; sys.exit(sys.version_info < (3, 10))";
    let told = Command::new(&program).args(["-c", asked]).stderr(Stdio::null()).status();
    told.is_ok_and(|status| status.success()).then_some(program)
}

#[test]
fn the_package_passes_its_tests() {
    let Some(python) = python() else {
        println!("SKIPPED: no python3 of version 3.10 or newer");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    package(folder.path()).unwrap();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let ran = Command::new(python)
        .args(["-m", "unittest", "discover", "-s"])
        .arg(tests)
        .current_dir(folder.path())
        .env("PYTHONPATH", folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{told}\n{}", String::from_utf8_lossy(&ran.stdout));
    let skipped = told.lines().last().unwrap_or_default();
    println!("{skipped}");
}
