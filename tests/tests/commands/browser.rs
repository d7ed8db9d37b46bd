//! The page of a run in a real browser, light and dark, wide and narrow: nothing is wrong with it for
//! those who don't see it or have no mouse, and it says when the run has ended or its launcher is gone.
//!
//! Needs node, Chromium, and `playwright-core` and `axe-core` in the folder `node_modules` that
//! `PIPELINE_TEST_NODE_MODULES` names; skipped without them.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::http::Page;
use tests::place::Place;
use tests::process::Process;
use tests::programs::repository;
use tests::runs::GO;
use tests::wait;

const MODULES: &str = "PIPELINE_TEST_NODE_MODULES";
/// Where the pictures go, if somebody wants to look at them.
const PICTURES: &str = "PIPELINE_TEST_PICTURES";

/// Chromium and the modules, if they are here.
fn browser() -> Option<(PathBuf, PathBuf)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let program =
        |name: &str| folders.iter().map(|folder| folder.join(name)).find(|at| at.is_file());
    let modules = PathBuf::from(std::env::var_os(MODULES)?);
    let is_there = |name: &str| modules.join(name).is_dir();
    if !is_there("playwright-core") || !is_there("axe-core") {
        return None;
    }
    program("node").and(program("chromium")).map(|chromium| (chromium, modules))
}

/// Three stages, forty workers, dead letters, and units that wait until the run may end.
fn topology(place: &Place) -> PathBuf {
    let fails = format!(
        "case $1 in *7) echo \"no <b>page</b> $1\" >&2; exit 1;; esac; \
         if test $1 -gt 150; then until test -e {GO}; do sleep 0.05; done; fi; echo $1"
    );
    let text = format!(
        "name = \"pages\"\n[source]\nkind = \"range\"\nfrom = 1\nto = 200\n\
         [[stage]]\nname = \"fetch\"\nworkers = 24\nretries = 1\nbackoff = \"1ms\"\n\
         exec = [\"sh\", \"-c\", {fails:?}, \"sh\", \"{{}}\"]\n\
         [[stage]]\nname = \"parse\"\nworkers = 12\nrun = \"echo\"\n\
         [[stage]]\nname = \"store\"\nworkers = 4\nrun = \"echo\"\n[sink]\noutput = \"pages.jsonl\"\n"
    );
    place.write("pages.toml", text)
}

/// Starts the run and the browser, and waits until it has looked.
fn looked_at(place: &Place) -> Option<(Process, Process)> {
    let Some((chromium, modules)) = browser() else {
        println!("SKIPPED: no node, no chromium, or no playwright-core and axe-core in {MODULES}");
        return None;
    };
    topology(place);
    let up = place.start("pipeline", &["up", "pages.toml", "--http", "127.0.0.1:0"]);
    let page = Page::of(&up);
    let pictures = std::env::var_os(PICTURES).map(PathBuf::from);
    let pictures = pictures.as_deref().unwrap_or(place.folder());
    let mut command = Command::new("node");
    command
        .arg(repository().join("tests/tests/commands/browser.mjs"))
        .arg(format!("http://{}/", page.host))
        .args([pictures, chromium.as_path(), Path::new(&modules)]);
    let mut browser = place.start_command("browser", command);
    wait::within(3 * wait::PATIENCE, "the browser has looked at the page", || {
        assert!(browser.is_running(), "{}", browser.stderr());
        browser.stdout().contains("shown\n").then_some(())
    });
    Some((up, browser))
}

#[test]
fn the_page_is_for_everybody_and_says_that_the_run_has_ended() {
    let place = Place::new();
    let Some((mut up, mut browser)) = looked_at(&place) else { return };
    place.write(GO, "");
    assert_eq!(up.ends().code, Some(1));
    let ended = browser.ends_well();
    assert!(ended.stdout.contains("the run has ended with exit code 1"), "{}", ended.stdout);
}

#[test]
fn a_page_whose_launcher_was_killed_says_since_when_it_is_silent() {
    let place = Place::new();
    let Some((mut up, mut browser)) = looked_at(&place) else { return };
    up.kill();
    let ended = browser.ends_well();
    assert!(ended.stdout.contains("no answer from the launcher since"), "{}", ended.stdout);
}
