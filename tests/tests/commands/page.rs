//! A run is seen in a browser and by Prometheus, by those who may, and nothing of it waits for them.

use std::net::TcpListener;

use serde_json::Value;
use tests::http::Page;
use tests::place::Place;
use tests::process::Process;
use tests::runs::{GO, held, pipeline, ps, until};
use tests::wait;

/// Two stages, of which the first fails for each tenth unit and the second waits for [`GO`] at the
/// last one.
fn with_dead(place: &Place) -> Process {
    let fails = "case $1 in *0) echo broken >&2; exit 3;; esac; echo $1";
    let waits = format!("while test $1 = 59 && ! test -e {GO}; do sleep 0.01; done; echo $1");
    let text = format!(
        "name = \"t\"\n[source]\nkind = \"range\"\nfrom = 1\nto = 59\n\
         [[stage]]\nname = \"check\"\nworkers = 2\nretries = 1\nbackoff = \"1ms\"\n\
         exec = [\"sh\", \"-c\", {fails:?}, \"sh\", \"{{}}\"]\n\
         [[stage]]\nname = \"wait\"\nworkers = 2\n\
         exec = [\"sh\", \"-c\", {waits:?}, \"sh\", \"{{}}\"]\n[sink]\noutput = \"t.jsonl\"\n"
    );
    place.write("t.toml", text);
    place.start("pipeline", &["up", "t.toml", "--http", "127.0.0.1:0"])
}

fn json(page: &Page, path: &str) -> Value {
    let answer = page.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    serde_json::from_str(&answer.body).expect("JSON")
}

#[test]
fn what_a_run_does_is_at_its_page_in_all_forms() {
    let place = Place::new();
    let mut up = with_dead(&place);
    let page = Page::of(&up);
    let seen = wait::until("all but one unit are through", || {
        Some(json(&page, "/api/run")).filter(|run| {
            run["status"]["dead"] == 5
                && run["stages"][0]["units"].as_u64() >= Some(64)
                && run["stages"][1]["units"].as_u64() >= Some(20)
                && run["dead_letters"].as_array().is_some_and(|letters| letters.len() == 5)
        })
    });
    assert_eq!(seen["run"]["name"], "t");
    assert_eq!((&seen["status"]["total"], &seen["over"]), (&59.into(), &Value::Null));
    let check = &seen["stages"][0];
    assert_eq!((&check["name"], &check["dead"]), (&"check".into(), &5.into()), "{check}");
    // Near the end a unit may be given to a second worker too.
    assert!(check["failed"].as_u64() >= Some(10), "{check}");
    assert!(check["retried"].as_u64() >= Some(5), "{check}");
    assert!(check["p50_ms"].as_f64() > Some(0.0), "{check}");
    let letter = &seen["dead_letters"][0];
    assert_eq!((&letter["stage"], &letter["attempts"]), (&"check".into(), &2.into()));
    assert!(letter["error"].as_str().is_some_and(|error| error.contains("broken")), "{letter}");
    assert!(seen["lines"].to_string().contains("broken"), "{}", seen["lines"]);
    assert!(seen["stages"][1]["open"].as_u64() >= Some(1), "{seen}");
    wait::until("there is a history", || {
        json(&page, "/api/history")["points"].as_array().filter(|all| all.len() > 1).map(drop)
    });

    let root = page.get("/");
    assert!(root.status == 200 && root.body.contains("<title>"), "{}", root.body);
    assert!(root.head.contains("content-security-policy: default-src 'none'"), "{}", root.head);
    assert_eq!([page.get("/page.js").status, page.get("/page.css").status], [200; 2]);
    assert_eq!((page.get("/health").status, page.get("/none").status), (200, 404));
    assert_eq!(ps(&place)[0]["page"], format!("http://{}/", page.host));
    let (name, event) = page.events().next().expect("an event");
    assert_eq!(name, "run");
    assert!(event.contains("\"dead_letters\":[{"), "{event}");

    place.write(GO, "");
    let last = page.events().last().expect("events");
    assert_eq!(last.0, "over");
    let last: Value = serde_json::from_str(&last.1).expect("JSON");
    assert_eq!((&last["over"], &last["status"]["done"]), (&1.into(), &59.into()), "{last}");
    assert_eq!(up.ends().code, Some(1));
    assert!(!page.is_there(), "nobody serves the page of a run that is over");
}

/// What Prometheus takes, and no label by which there could be more and more series.
#[test]
fn the_metrics_are_openmetrics_with_few_labels() {
    let place = Place::new();
    let mut up = with_dead(&place);
    let page = Page::of(&up);
    let samples = [
        "pipeline_units_total{run=\"t\",outcome=\"dead\"} 5\n",
        "pipeline_stage_dead_total{run=\"t\",stage=\"check\"} 5\n",
        "pipeline_stage_executions_total{run=\"t\",stage=\"check\",outcome=\"failed\"} ",
        "pipeline_stage_unit_seconds_bucket{run=\"t\",stage=\"check\",le=\"+Inf\"} ",
    ];
    let text = wait::until("all that happens is counted", || {
        let answer = page.get("/metrics");
        assert!(answer.head.contains("content-type: application/openmetrics-text"));
        samples.iter().all(|sample| answer.body.contains(sample)).then_some(answer.body)
    });
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    let mut family = String::new();
    let mut series = 0;
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(about) = line.strip_prefix("# ") {
            let mut words = about.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("TYPE"), Some(name), Some("counter" | "gauge" | "histogram")) => {
                    family = name.to_owned();
                }
                (Some("HELP"), Some(name), Some(_)) => assert_eq!(name, family),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (name, rest) = line.split_once('{').expect(line);
        let (labels, value) = rest.split_once("} ").expect(line);
        assert!(name.starts_with(&family), "{line} is of no family");
        assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{line}");
        for label in labels.split(',') {
            let (label, value) = label.split_once('=').expect(line);
            assert!(["run", "stage", "outcome", "le"].contains(&label), "{line}");
            assert!(value.starts_with('"') && value.ends_with('"'), "{line}");
        }
        series += usize::from(labels.contains("stage=\"wait\""));
    }
    assert!((15..=25).contains(&series), "{series} series a stage\n{text}");
    assert_eq!(pipeline(&place, &["down", "--now"]).code, Some(0));
    up.ends();
}

/// No harm: nobody elsewhere looks without the token, and no page of the web leads a browser here.
#[test]
fn only_who_may_look_sees_anything() {
    let place = Place::new();
    held(&place, "t", 4);
    let mut up = place.start("pipeline", &["up", "t.toml", "--http", "0.0.0.0:0"]);
    let page = Page::of(&up);
    let token = page.token.clone().expect("an address with a token");
    for path in ["/", "/api/run", "/api/history", "/events", "/metrics", "/health"] {
        for given in ["", "?token=", "?token=0", &format!("?token={}", &token[1..])] {
            let answer = page.get(&format!("{path}{given}"));
            assert_eq!(answer.status, 403, "{path}{given}: {}", answer.body);
            assert!(!answer.body.contains(&token), "{}", answer.body);
        }
    }
    assert_eq!(page.get(&format!("/api/run?token={token}")).status, 200);
    assert!(!ps(&place)[0].to_string().contains(&token), "it is printed once");
    assert_eq!(pipeline(&place, &["down", "--now"]).code, Some(0));
    up.ends();

    let mut up = place.start("pipeline", &["up", "t.toml", "--http", "0"]);
    let page = Page::of(&up);
    assert_eq!(page.token, None);
    let port = page.host.rsplit(':').next().expect("a port");
    for (host, status) in [
        (format!("localhost:{port}"), 200),
        ("evil.example".into(), 403),
        (format!("127.0.0.1.evil.example:{port}"), 403),
    ] {
        assert_eq!(page.get_as("/api/run", &host).status, status, "{host}");
    }
    assert_eq!(pipeline(&place, &["down", "--now"]).code, Some(0));
    up.ends();
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_starts() {
    let place = Place::new();
    held(&place, "t", 4);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let ended = pipeline(&place, &["up", "t.toml", "--http", &address]);
    assert_eq!(ended.code, Some(71), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("--http {address}: ")), "{}", ended.stderr);
    assert!(!place.path(".pipeline").exists() && !place.path("t.jsonl").exists());
    let ended = pipeline(&place, &["up", "t.toml", "--http", "example.org:80"]);
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
}

/// However often somebody looks, the launcher holds no more than before.
#[test]
fn thousands_of_reloads_leave_the_launcher_as_it_was() {
    let place = Place::new();
    held(&place, "t", 4);
    let mut up = place.start("pipeline", &["up", "t.toml", "--http", "127.0.0.1:0"]);
    let page = Page::of(&up);
    until(&place, "it runs", |run| run["state"] == "running");
    let reload = |times: usize| {
        for _ in 0..times {
            assert_eq!(page.get("/").status, 200);
            assert_eq!(page.get("/api/run").status, 200);
        }
    };
    reload(100);
    let before = (held_by(up.id(), "fd"), held_by(up.id(), "task"), resident_kib(up.id()));
    reload(2_000);
    wait::until("no connection is left", || (held_by(up.id(), "fd") <= before.0).then_some(()));
    assert!(held_by(up.id(), "task") <= before.1);
    let grown = resident_kib(up.id()).saturating_sub(before.2);
    assert!(grown < 8 << 10, "{grown} KiB more");
    place.write(GO, "");
    up.ends_well();
}

/// How many descriptors or threads a process has.
fn held_by(pid: u32, what: &str) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/{what}")).map_or(0, Iterator::count)
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or_default()
}

/// After the run: what its directory keeps, as text, JSON and one file that needs nothing else.
#[test]
fn a_report_tells_how_a_run_went() {
    let place = Place::new();
    let mut up = with_dead(&place);
    place.write(GO, "");
    assert_eq!(up.ends().code, Some(1));
    let told = pipeline(&place, &["report", "t.toml", "--output", "json"]);
    let told: Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(told["summary"]["dead"], 5);
    let dead = &told["dead"][0];
    assert_eq!((&dead["stage"], &dead["count"]), (&"check".into(), &5.into()), "{dead}");
    assert_eq!(told["failures"][0]["count"], 10, "{}", told["failures"]);
    assert!(told["slowest"].as_array().is_some_and(|all| !all.is_empty()), "{told}");
    let points = told["history"]["points"].as_array().expect("a history");
    assert_eq!(points.last().map(|last| &last["done"]), Some(&59.into()));

    assert_eq!(pipeline(&place, &["report", "-o", "t.html"]).code, Some(0));
    let html = std::fs::read_to_string(place.path("t.html")).expect("a file");
    assert!(html.contains("<h2>Dead, by kind</h2>") && html.ends_with("</html>\n"), "{html}");
    assert!(!html.contains("<script") && !html.contains("src="), "{html}");
    assert_eq!(pipeline(&place, &["report", "-o", "t.html"]).code, Some(0), "it is a report");
    place.write("thesis.html", "years of work");
    let refused = pipeline(&place, &["report", "-o", "thesis.html"]);
    assert_eq!(refused.code, Some(74), "{}", refused.stderr);
    assert_eq!(std::fs::read(place.path("thesis.html")).expect("it is there"), b"years of work");
    let nothing = pipeline(&place, &["report", "--run-dir", "x"]);
    assert_eq!(nothing.code, Some(64), "{}", nothing.stderr);
    assert_eq!(pipeline(&place, &["report", "none"]).code, Some(66));
}
