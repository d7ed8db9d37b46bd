//! What a newcomer tries first: many files with one line, then a run of three stages that is looked at
//! and steered from a second terminal, as somebody would who has read the README and nothing else.

use image::{GrayImage, ImageFormat};
use serde_json::Value;
use tests::outcome::{json_lines, lines};
use tests::place::Place;
use tests::runs::{pipeline, ps, until};
use tests::wait;

const IMAGES: u32 = 500;
const UNITS: usize = 400;
/// Its unit fails.
const BROKEN: usize = 17;

#[test]
fn the_sizes_of_five_hundred_images_by_one_line() {
    let place = Place::new();
    for folder in ["in", "out"] {
        std::fs::create_dir(place.path(folder)).expect("a folder");
    }
    for width in 1..=IMAGES {
        let path = place.path(&format!("in/{width}.png"));
        GrayImage::new(width, 1).save_with_format(path, ImageFormat::Png).expect("an image");
    }
    // Where the width stands in a PNG.
    let line = "head -c 20 {} | tail -c 4 | od -An -tu1 > out/{/.}.txt && echo {/}";
    let told = pipeline(&place, &["map", "-j", "4", "--files", "in/*.png", line]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert_eq!(told.stdout.lines().count(), IMAGES as usize);
    for width in 1..=IMAGES {
        let text = lines(&place.path(&format!("out/{width}.txt"))).concat();
        let bytes = text.split_whitespace().map(|byte| byte.parse::<u32>().expect("a byte"));
        assert_eq!(bytes.fold(0, |sum, byte| (sum << 8) + byte), width);
    }
}

fn topology() -> String {
    format!(
        r#"name = "pages"
[source]
kind = "range"
from = 1
to = {UNITS}

[[stage]]
name = "fetch"
exec = ["sh", "-c", "echo fetched $1 >&2; echo $1", "sh", "{{}}"]

[[stage]]
name = "parse"
workers = 1
exec = ["sh", "-c", "sleep 0.02; test $1 != {BROKEN} || {{ echo no such page >&2; exit 3; }}; echo $1", "sh", "{{}}"]

[[stage]]
name = "store"
run = "echo"

[sink]
output = "pages.jsonl"
"#
    )
}

/// The stage that limits the run, as `top` says it.
fn limiting(place: &Place) -> Option<String> {
    let told = pipeline(place, &["top"]);
    let line = told.stdout.lines().find(|line| line.contains("limits the run"))?.to_owned();
    line.split_whitespace().next().map(str::to_owned)
}

#[test]
fn a_run_of_three_stages_is_seen_and_steered_from_a_second_terminal() {
    let place = Place::new();
    place.write("pages.toml", topology());
    assert_eq!(pipeline(&place, &["check", "pages.toml"]).code, Some(0));
    let mut up = place.start("pipeline", &["up", "pages.toml"]);

    // Which stage limits it.
    wait::until("top says which stage limits", || {
        (limiting(&place).as_deref() == Some("parse")).then_some(())
    });
    // What a worker has printed.
    wait::until("the words of a program are there", || {
        let logs = pipeline(&place, &["logs", "--stage", "fetch"]);
        logs.stdout.contains("fetched 1\n").then_some(())
    });
    // What passes through a stage.
    let tapped = pipeline(&place, &["tap", "--stage", "parse", "--count", "1"]);
    let sample: Value = serde_json::from_str(tapped.stdout.trim()).expect("a line of JSON");
    let unit: u64 = sample["unit"].as_str().and_then(|unit| unit.parse().ok()).expect("a unit");
    assert_eq!((&sample["stage"], &sample["value"]), (&"parse".into(), &(unit + 1).into()));
    // One unit's failure, while the run goes on.
    let letter = wait::until("the broken unit is dead", || {
        let told = pipeline(&place, &["dead", "list", "--output", "json"]);
        serde_json::from_str::<Value>(told.stdout.lines().next()?).ok()
    });
    assert!(
        letter["error"].as_str().is_some_and(|error| error.contains("no such page")),
        "{letter}"
    );
    let broken = (BROKEN - 1).to_string();
    for told in [
        pipeline(&place, &["dead", "show", &broken]),
        pipeline(&place, &["logs", "--unit", &broken]),
    ] {
        assert!(told.stdout.contains("no such page"), "{}{}", told.stdout, told.stderr);
    }
    let life = pipeline(&place, &["explain", "--input", &BROKEN.to_string()]);
    assert!(life.stdout.starts_with(&format!("unit {broken}: {BROKEN}\n")), "{}", life.stdout);
    assert!(life.stdout.contains("committed: dead of parse-1, stage parse"), "{}", life.stdout);
    // More hands.
    let scaled = pipeline(&place, &["scale", "parse=3"]);
    assert_eq!(scaled.code, Some(0), "{}", scaled.stderr);
    let before = ps(&place)[0]["workers"].as_u64().expect("a number");
    until(&place, "they are at work", |run| run["workers"].as_u64() >= Some(before.max(3)));

    // Stop, and go on.
    assert_eq!(pipeline(&place, &["down"]).code, Some(0));
    assert_eq!(up.ends().code, Some(75));
    let again = place.run("pipeline", &["up", "pages.toml", "--joblog", "pages.log"]);
    assert_eq!(again.code, Some(1), "one unit is dead: {}", again.stderr);
    let expected: Vec<u64> = (1..=UNITS as u64).filter(|unit| *unit != BROKEN as u64).collect();
    let stored = json_lines(&place.path("pages.jsonl"));
    let stored: Vec<u64> = stored.iter().map(|value| value.as_u64().expect("a number")).collect();
    assert_eq!(stored, expected);
    let logged = lines(&place.path("pages.log"));
    assert!(logged[0].starts_with("Seq\tHost\t"), "{}", logged[0]);
    assert!(logged.len() > 1 && logged.iter().all(|line| line.split('\t').count() == 12));
    assert_eq!(pipeline(&place, &["verify"]).code, Some(0));
}
