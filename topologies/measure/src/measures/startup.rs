//! How long someone waits for the first result.

use std::{
    io::{BufRead, BufReader},
    time::Instant,
};

use crate::{
    Failure, Figure, Options,
    figure::{Target, take_turns},
    site::Site,
};

const TOPOLOGY: &str = r#"
source = { kind = "range", from = 1, to = 1000 }
stage = [{ name = "square", run = "square", workers = 2 }]
sink = { output = "-" }
"#;

/// From the start of `pipeline up` to the first line that it prints.
pub(super) fn measure(options: &Options) -> Result<Vec<Figure>, Failure> {
    let site = Site::new(options.folder.as_deref())?;
    let topology = site.write("squares.toml", TOPOLOGY.as_bytes())?;
    let mut figure = Figure::new("startup", "pipeline up to the first result", "ms")
        .to_reach(Target::AtMost(100.0));
    take_turns(options.pairs, || {
        let mut command = site.this_program();
        command.args(["up", "--quiet", "--ephemeral"]).arg(&topology);
        let start = Instant::now();
        let (mut up, _, output) = site.start_piped("pipeline up", command)?;
        let mut lines = BufReader::new(output).lines();
        let read = |line: Option<std::io::Result<String>>| {
            line.transpose().map_err(|source| Failure::file("pipeline up", source))
        };
        let first = read(lines.next())?.unwrap_or_default();
        figure.add(start.elapsed().as_secs_f64() * 1e3);
        Failure::unless_equal("ours", "the first result", first.as_str(), "1")?;
        let others = lines.map_while(Result::ok).count();
        Failure::unless_equal("ours", "the number of further results", others, 999)?;
        crate::site::all_end([&mut up])
    })?;
    Ok(vec![figure])
}
