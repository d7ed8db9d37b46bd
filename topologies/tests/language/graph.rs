//! The pictures of topologies, whole. `UPDATE_GOLDEN=1` writes them anew.

use std::{env, fs, path::Path};

use pipeline::{
    graph,
    topology::{Diagnostics, Topology},
};

fn compare(name: &str, drawn: &str) {
    let golden = Path::new("tests/graph").join(name);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, drawn).expect("the folder is there");
    }
    assert_eq!(fs::read_to_string(&golden).unwrap_or_default(), drawn, "{name}");
}

#[test]
fn a_topology_of_three_stages_is_drawn_as_recorded() -> Result<(), Diagnostics> {
    let topology = Topology::load(Path::new("wordcount.toml"), &[])?;
    compare("wordcount.dot", &graph::dot(&topology));
    compare("wordcount.mmd", &graph::mermaid(&topology));
    Ok(())
}

#[test]
fn what_the_languages_would_misread_is_quoted() -> Result<(), Diagnostics> {
    let text = r#"
        source = { kind = "files", glob = "in #1/<a>&\"b\"/*" }

        [[stage]]
        name = "shell"
        exec = ["sh", "-c", "sed 's/\\(.*\\)/\"\\1\"/' | tr -d '\n' | tee copy-of-everything.txt", "{}"]
        workers = 2

        [[stage]]
        name = "text"
        python = "def work(value): return value"
        workers = 1

        [sink]
        output = "-"
        aggregate = ["mean", "p99"]
        group_by = "size"
        on = "ms"
    "#;
    let topology = Topology::from_text(text, Path::new("quoted.toml"), &[])?;
    compare("quoted.dot", &graph::dot(&topology));
    compare("quoted.mmd", &graph::mermaid(&topology));
    Ok(())
}

#[test]
fn functions_in_python_are_called_by_what_the_topology_names() -> Result<(), Diagnostics> {
    let text = r#"
        source = { kind = "stdin" }
        [[stage]]
        name = "file"
        workers = 1
        python_file = "tests/modules/sound.py"
        [[stage]]
        name = "call"
        workers = 1
        call = "shop.prices:total"
    "#;
    let topology = Topology::from_text(text, Path::new("python.toml"), &[])?;
    compare("python.mmd", &graph::mermaid(&topology));
    Ok(())
}
