//! The Python that stages run in by default, and what it can import.
//!
//! Owns the question; refuses to import anything: what a module does when it is loaded is unknown.

use std::{
    io::ErrorKind,
    process::{Command, Stdio},
};

use proto::plan::INTERPRETER;

use super::Finding;

/// Prints the version and, for each name, whether it is there.
const QUESTION: &str = "\
import sys, importlib.util
there = [m for m in ('pipeline_zmq', 'cloudpickle') if importlib.util.find_spec(m)]
print(sys.version.split()[0], *there)";

pub(super) fn interpreter() -> Finding {
    const SUBJECT: &str = "python";
    let asked = Command::new(INTERPRETER).args(["-c", QUESTION]).stdin(Stdio::null()).output();
    let answer = match asked {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Finding::warn(
                SUBJECT,
                format!("{INTERPRETER} does not work: {said}"),
                format!("try: {INTERPRETER} -c 1"),
            );
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Finding::warn(
                SUBJECT,
                format!("there is no {INTERPRETER}, which stages with `python` need"),
                "run: apt install python3",
            );
        }
        Err(error) => {
            return Finding::warn(
                SUBJECT,
                format!("{INTERPRETER} can't be started: {error}"),
                format!("try: {INTERPRETER} -c 1"),
            );
        }
    };
    judge(&answer)
}

fn judge(answer: &str) -> Finding {
    const SUBJECT: &str = "python";
    let mut words = answer.split_whitespace();
    let version = words.next().unwrap_or_default();
    let there: Vec<&str> = words.collect();
    let text = format!("{INTERPRETER} is {version}");
    let missing = |name: &str| !there.contains(&name);
    match (missing("pipeline_zmq"), missing("cloudpickle")) {
        (true, _) => Finding::warn(
            SUBJECT,
            format!("{text}, without pipeline_zmq, which `call` needs"),
            "run: pip install pipeline-zmq cloudpickle",
        ),
        (false, true) => Finding::warn(
            SUBJECT,
            format!("{text}, without cloudpickle, which functions need that are no module's"),
            "run: pip install cloudpickle",
        ),
        (false, false) => {
            Finding::ok(SUBJECT, format!("{text}, with pipeline_zmq and cloudpickle"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Health;

    #[test]
    fn what_python_lacks_is_told_with_what_installs_it() {
        assert_eq!(judge("3.12.1 pipeline_zmq cloudpickle\n").health, Health::Ok);
        let lacks = judge("3.12.1 pipeline_zmq\n");
        assert_eq!(lacks.mend.as_deref(), Some("run: pip install cloudpickle"));
        assert!(judge("3.12.1\n").text.contains("3.12.1, without pipeline_zmq"));
    }
}
