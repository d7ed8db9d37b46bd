//! Every fuzz target with its corpus and some seeded mutations, on any toolchain. The long run is a
//! command; see tests/README.md.

use tests::fuzz::{TARGETS, runner};

const EXECUTIONS: u64 = 1_500;

#[test]
fn no_input_breaks_a_promise() {
    runner::listen();
    let mut findings = Vec::new();
    for target in TARGETS {
        let corpus =
            runner::corpus(&runner::corpus_folder(target.name)).expect("the corpus is there");
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        let executions = EXECUTIONS + corpus.len() as u64;
        if let Err(finding) = runner::run(target, corpus, 1, executions) {
            let finding = runner::shrink(target, finding);
            findings.push(format!("{}: {}\n  {:02x?}", target.name, finding.told, finding.input));
        }
    }
    // The listener keeps the words of a panic to itself.
    findings.iter().for_each(|finding| eprintln!("{finding}"));
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}
