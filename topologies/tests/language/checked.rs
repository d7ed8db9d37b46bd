//! What a sound topology becomes: defaults, paths, flags.

use std::{env, path::Path};

use pipeline::topology::{Diagnostics, Topology};
use proto::{
    limits::{CRASH_LIMIT, Limits, RETRIES},
    plan::Function,
};
use sink::config::{GroupBy, Order, OutputSpec};
use ventilator::source::SourceSpec;

/// One stage after a source that needs nothing.
const SMALL: &str = "
    source = { kind = 'range', from = 1, to = 10 }

    [[stage]]
    name = 'square'
    run = 'square'
";

fn checked(text: &str) -> Result<Topology, Diagnostics> {
    with_sets(text, &[])
}

fn with_sets(text: &str, sets: &[&str]) -> Result<Topology, Diagnostics> {
    let sets: Vec<_> = sets.iter().map(|&set| set.to_owned()).collect();
    Topology::from_text(text, Path::new("tests/small one.toml"), &sets)
}

#[test]
fn what_is_left_out_has_its_default() -> Result<(), Diagnostics> {
    let topology = checked(SMALL)?;
    assert_eq!(topology.name, "small-one");
    assert_eq!((topology.key, topology.insecure, topology.bind), (None, false, None));
    assert_eq!(topology.source, SourceSpec::Range { from: 1, to: 10, step: 1 });
    assert_eq!(topology.limits, Limits::default());
    assert_eq!(topology.sink, sink::config::SinkConfig::default());
    let stage = &topology.stages[0];
    assert!(stage.workers >= 1);
    assert_eq!(stage.stage.function, Function::Run("square".into()));
    assert_eq!((stage.stage.retries, stage.stage.crash_limit), (RETRIES, CRASH_LIMIT));
    assert_eq!((stage.stage.timeout_ms, stage.stage.concurrency), (None, None));
    Ok(())
}

#[test]
fn every_key_arrives_where_it_belongs() -> Result<(), Diagnostics> {
    let topology = checked(
        "
        name = 'all-keys'
        insecure = true
        bind = 'tcp://*:5557'
        [source]
        kind = 'csv'
        path = '../data/scores.csv'
        [[stage]]
        name = 'score'
        pipe = ['python3', 'work.py']
        args = ['--fast']
        env = { LANG = 'C' }
        workers = 3
        retries = 0
        backoff = '1.5s'
        crash_limit = 1
        timeout = 250
        concurrency = 20
        answers = 'any-order'
        [[stage]]
        name = 'label'
        python = 'def work(value): return [value]'
        [sink]
        output = 'out.csv'
        order = 'completion'
        fields = ['id', 'value']
        aggregate = ['mean', 'top']
        group_by = 'town'
        on = 'score'
        top = 3
        groups_max = 500
        dead = 'dead.jsonl'
        [limits]
        liveness = '10s'
        heartbeat = 100
        window_units_max = 1_000
        frame_bytes_max = '1MiB'
        ",
    )?;
    let folder = env::current_dir().expect("tests have a folder").join("tests");
    assert_eq!(topology.name, "all-keys");
    assert!(topology.insecure);
    assert_eq!(topology.bind.map(|bind| bind.to_string()).as_deref(), Some("tcp://*:5557"));
    assert_eq!(
        topology.source,
        SourceSpec::Csv { path: folder.join("../data/scores.csv"), delimiter: None }
    );
    let score = &topology.stages[0];
    assert_eq!(
        score.stage.function,
        Function::PipeAnyOrder(vec!["python3".into(), "work.py".into()])
    );
    assert_eq!(score.stage.args, ["--fast"]);
    assert_eq!(score.stage.env.get("LANG").map(String::as_str), Some("C"));
    assert_eq!(score.stage.directory.as_deref(), folder.to_str());
    assert_eq!((score.workers, score.stage.retries, score.stage.crash_limit), (3, 0, 1));
    assert_eq!((score.stage.backoff_ms, score.stage.timeout_ms), (1_500, Some(250)));
    assert_eq!(score.stage.concurrency, Some(20));
    let sink = &topology.sink;
    assert_eq!(sink.output, Some(OutputSpec::Csv(folder.join("out.csv"))));
    assert_eq!((sink.order, sink.top), (Order::Completion, Some(3)));
    assert_eq!(sink.groups_max, Some(500));
    assert_eq!(sink.group_by, Some(GroupBy::Field("town".into())));
    assert_eq!(sink.on.as_deref(), Some("score"));
    assert_eq!(sink.dead, Some(folder.join("dead.jsonl")));
    let limits = &topology.limits;
    assert_eq!((limits.liveness_ms, limits.heartbeat_interval_ms), (10_000, 100));
    assert_eq!((limits.window_units_max, limits.frame_bytes_max), (1_000, 1 << 20));
    assert_eq!(topology.directory, folder);
    Ok(())
}

#[test]
fn programs_with_a_path_are_found_from_the_topology_and_names_on_the_path()
-> Result<(), Diagnostics> {
    let topology = checked(
        "
        [source]
        kind = 'stdin'
        [[stage]]
        name = 'own'
        binary = '../../.ci/run'
        [[stage]]
        name = 'named'
        binary = 'sh'
        [[stage]]
        name = 'script'
        exec = ['./run.sh', '{}']
        ",
    )?;
    assert_eq!(topology.stages[0].stage.function, Function::Own);
    let folder = &topology.directory;
    assert_eq!(topology.stages[0].binary, Some(folder.join("../../.ci/run")));
    assert_eq!(topology.stages[1].binary.as_deref(), Some(Path::new("sh")));
    let program = folder.join("./run.sh").display().to_string();
    assert_eq!(topology.stages[2].stage.function, Function::Exec(vec![program, "{}".into()]));
    Ok(())
}

#[test]
fn flags_change_the_topology_before_it_is_checked() -> Result<(), Diagnostics> {
    let topology = with_sets(
        SMALL,
        &[
            "name=x",
            "source.to=1_000",
            "stage.square.workers=4",
            "stage.0.retries = 7",
            "stage.square.run=echo",
            "sink.aggregate=[\"count\"]",
            "limits.window_units_max=10",
            "stage.square.name=again",
            "stage.again.backoff=2s",
        ],
    )?;
    assert_eq!(topology.name, "x");
    assert_eq!(topology.source, SourceSpec::Range { from: 1, to: 1_000, step: 1 });
    let stage = &topology.stages[0];
    assert_eq!((stage.workers, stage.stage.retries), (4, 7));
    assert_eq!(stage.stage.function, Function::Run("echo".into()));
    assert_eq!((stage.stage.name.as_str(), stage.stage.backoff_ms), ("again", 2_000));
    assert_eq!(topology.sink.aggregate.len(), 1);
    assert_eq!(topology.limits.window_units_max, 10);
    Ok(())
}

#[test]
fn a_path_in_a_flag_is_relative_to_the_current_folder() -> Result<(), Diagnostics> {
    let topology = with_sets(SMALL, &["sink.output=out.jsonl"])?;
    let here = env::current_dir().expect("tests have a folder");
    assert_eq!(topology.sink.output, Some(OutputSpec::Jsonl(here.join("out.jsonl"))));
    Ok(())
}

#[test]
fn what_decides_the_results_is_told_apart_from_what_does_not() -> Result<(), Diagnostics> {
    let plain = checked(SMALL)?.canonical();
    for same in ["stage.square.workers=9", "limits.window_units_max=9", "stage.square.retries=9"] {
        assert_eq!(with_sets(SMALL, &[same])?.canonical(), plain, "{same}");
    }
    for other in ["source.to=9", "stage.square.run=echo", "sink.output=-", "stage.square.name=x"] {
        assert_ne!(with_sets(SMALL, &[other])?.canonical(), plain, "{other}");
    }
    Ok(())
}

#[test]
fn a_moved_folder_is_the_same_topology() -> Result<(), Diagnostics> {
    let text = format!("{SMALL}\n[sink]\noutput = 'out.jsonl'");
    let here = Topology::from_text(&text, Path::new("tests/a.toml"), &[])?;
    let there = Topology::from_text(&text, Path::new("src/a.toml"), &[])?;
    assert_ne!(here.sink.output, there.sink.output);
    assert_eq!(here.canonical(), there.canonical());
    Ok(())
}
