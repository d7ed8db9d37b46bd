//! A service over HTTP, for those who have its key.

use std::time::Duration;

use serde_json::{Value, json};
use tests::http::{Answer, Page};
use tests::place::Place;
use tests::plain::PYTHON_VARIABLE;
use tests::process::Process;

use super::write;

/// A service with a page, and its key.
fn served(place: &Place, run: &str) -> (Process, Page, String) {
    write(place, "served", run, "retries = 0\n");
    let up = place.start("pipeline", &["up", "served.toml", "--http", "127.0.0.1:0"]);
    let page = Page::of(&up);
    let file = place.config().join("config/pipeline/key");
    let file = if file.exists() { file } else { place.config().join("pipeline/key") };
    let text = std::fs::read_to_string(&file).expect("the key was made");
    let secret = text.lines().find_map(|line| line.strip_prefix("secret ")).expect("a secret");
    let bearer = format!("Bearer {secret}");
    (up, page, bearer)
}

fn body(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

#[test]
fn units_are_called_submitted_fetched_and_forgotten() {
    let place = Place::new();
    let (_up, page, bearer) = served(&place, "run = \"square\"");
    let with = |method: &str, path: &str, more: &[(&str, &str)], text: &str| {
        let headers = [&[("authorization", bearer.as_str())], more].concat();
        page.send(method, path, &headers, text)
    };
    let answer = with("POST", "/call", &[], "7");
    assert_eq!((answer.status, &body(&answer)["value"]), (200, &json!(49)), "{answer:?}");
    let answer = with("POST", "/submit", &[], "8");
    assert_eq!(answer.status, 202, "{answer:?}");
    let path = format!("/result/{}", body(&answer)["ticket"].as_str().expect("a ticket"));
    for _ in 0..2 {
        let answer = with("GET", &format!("{path}?wait=20s"), &[], "");
        assert_eq!((answer.status, &body(&answer)["value"]), (200, &json!(64)), "{answer:?}");
    }
    assert_eq!(with("DELETE", &path, &[], "").status, 204);
    let (run, _) = path.rsplit_once('/').expect("it has the number");
    assert_eq!(with("DELETE", &format!("{run}/999"), &[], "").status, 404);
    tests::wait::until("it is forgotten", || {
        (with("GET", &path, &[], "").status == 410).then_some(())
    });
    let key = [("idempotency-key", "order-17")];
    let tickets: Vec<Value> =
        (0..3).map(|_| body(&with("POST", "/submit", &key, "9"))["ticket"].clone()).collect();
    assert!(tickets.iter().all(|ticket| *ticket == tickets[0]), "{tickets:?}");
    for _ in 0..2 {
        let answer = with("POST", "/call", &key, "9");
        assert_eq!((&body(&answer)["value"], &body(&answer)["ticket"]), (&json!(81), &tickets[0]));
    }
}

/// Requests that the document allows, and such that it does not, made up by schemathesis. It does not know
/// which values a function takes, so one that it may send can fail.
#[test]
fn what_a_fuzzer_sends_is_answered_as_the_document_says() {
    const FUZZER: &str = "from schemathesis.cli import schemathesis; schemathesis()";
    let python = std::env::var(PYTHON_VARIABLE).unwrap_or_else(|_| "python3".into());
    let place = Place::new();
    let fuzz = |args: &[&str]| {
        let mut command = place.command(&python);
        command.args([&["-c", FUZZER], args].concat());
        place.start_command("fuzzer", command).ends_within(Duration::from_secs(60))
    };
    if fuzz(&["--version"]).code != Some(0) {
        eprintln!("SKIPPED: {python} has no schemathesis; {PYTHON_VARIABLE} names one that has");
        return;
    }
    let (_up, page, bearer) = served(&place, "run = \"square\"");
    let answer = page.send("POST", "/submit", &[("authorization", bearer.as_str())], "7");
    let told = body(&answer);
    let (run, _) = told["ticket"].as_str().and_then(|told| told.split_once('/')).expect("a ticket");
    // Calls of units that are delayed wait as long as they may; and nobody guesses a run.
    let fixed = format!("[parameters]\n\"query.wait\" = \"50ms\"\n\"path.run\" = \"{run}\"\n");
    place.write("schemathesis.toml", fixed);
    let document = format!("http://{}/openapi.json", page.host);
    let header = format!("Authorization: {bearer}");
    let told = fuzz(&[
        "run",
        &document,
        "--header",
        &header,
        "--max-examples=20",
        "--max-time=15",
        "--seed=1",
        "--exclude-checks=positive_data_acceptance",
        "--continue-on-failure",
        "--no-color",
    ]);
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
}

#[test]
fn what_is_wrong_is_told_with_a_code() {
    let place = Place::new();
    let (_up, page, bearer) = served(&place, "run = \"square\"");
    let key = [("authorization", bearer.as_str())];
    let small_letters = bearer.replace("Bearer", "bearer");
    let lower = [("authorization", small_letters.as_str())];
    let large = format!("\"{}\"", "x".repeat(64 << 20));
    let twice = [key[0], ("idempotency-key", "a"), ("idempotency-key", "b")];
    for (method, path, headers, text, status, words) in [
        ("POST", "/call", &[][..], "7", 401, "the service's key is needed"),
        ("POST", "/call", &[("authorization", "Bearer x")][..], "7", 401, "key is needed"),
        ("GET", "/result/0123456789abcdef/1", &[][..], "", 401, "key is needed"),
        ("POST", "/call", &key[..], "{", 400, "the body is not JSON"),
        ("POST", "/call?priority=10", &key[..], "1", 400, "a priority is 0 to 9"),
        ("POST", "/call?wait=5", &key[..], "1", 400, "write it like 250ms, 30s"),
        ("POST", "/call?wait=10m", &key[..], "1", 400, "`wait` is at most 5m"),
        ("POST", "/submit?wait=5s", &key[..], "1", 400, "takes priority, delay, ttl, unique, wait"),
        ("GET", "/result/0123456789abcdef/1?ttl=1s", &key[..], "", 400, "this path takes wait"),
        ("POST", "/submit?wait_for_workers=1", &key[..], "1", 400, "true or false"),
        ("POST", "/call?wait=soon", &key[..], "1", 400, "soon"),
        ("POST", "/call?wait=1s&wait=2s", &key[..], "1", 400, "\"error\":"),
        ("POST", "/submit?when=now", &key[..], "1", 400, "\"error\":"),
        ("POST", "/submit?unique=", &key[..], "1", 400, "1 to 200 characters"),
        ("POST", "/submit", &twice[..], "1", 400, "several Idempotency-Keys"),
        ("GET", "/result/%ff/1", &key[..], "", 404, "no such ticket"),
        ("POST", "/call", &key[..], "\"x\"", 422, "error"),
        ("GET", "/result/0123456789abcdef/1", &key[..], "", 404, "another run"),
        ("GET", "/result/none/1", &key[..], "", 404, "no such ticket"),
        ("GET", "/call", &key[..], "", 405, "{\"error\":\"POST goes with /submit"),
        (
            "GET",
            "/calls",
            &key[..],
            "",
            404,
            "{\"error\":\"there is no such path; there are /submit,",
        ),
        ("POST", "/call", &key[..], &large, 413, "{\"error\":\"the body is too large"),
        ("POST", "/call?wait=0&delay=1h", &key[..], "1", 202, "ticket"),
        ("POST", "/call?wait_for_workers=true", &lower[..], "7", 200, "49"),
        ("GET", "/openapi.json", &[][..], "", 200, "openapi"),
    ] {
        let answer = page.send(method, path, headers, text);
        let told = &answer.body[..answer.body.len().min(300)];
        assert_eq!(answer.status, status, "{method} {path}: {told}");
        assert!(answer.body.contains(words), "{method} {path}: {answer:?}");
    }
}
