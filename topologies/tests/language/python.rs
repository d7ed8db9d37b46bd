//! What `check` tells of Python: everything but what a run of it would.

use std::{fs, path::Path, process::Command};

use pipeline::topology::{Colour, Diagnostics, Fault, Topology};
use proto::plan::Function;

/// A folder with a topology of one stage, and whatever else.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
        fs::write(path, text).expect("the folder can be written");
    }

    /// Checks a topology with a stage of these keys, with an interpreter that has the package.
    fn check(&self, stage: &str) -> Result<Topology, Diagnostics> {
        self.write("packages/pipeline_zmq/__init__.py", "");
        let packages = self.0.path().join("packages");
        let text = format!(
            "source = {{ kind = 'stdin' }}\n[[stage]]\nname = 's'\nworkers = 1\nenv = {{ PYTHONPATH = '{}' }}\n{stage}\n",
            packages.display()
        );
        self.load(&text)
    }

    fn load(&self, text: &str) -> Result<Topology, Diagnostics> {
        self.write("t.toml", text);
        Topology::load(&self.0.path().join("t.toml"), &[])
    }
}

fn codes(checked: Result<Topology, Diagnostics>) -> Vec<&'static str> {
    let problems = checked.as_ref().err().map(Diagnostics::problems).unwrap_or_default();
    problems.iter().map(|problem| problem.fault.code()).collect()
}

/// Each mistake in a call, as its user reads it.
#[test]
fn calls_that_cannot_work_are_explained_as_recorded() {
    let path = Path::new("tests/modules/calls.toml");
    let rendered = Topology::load(path, &[]).expect_err("it is broken").render(Colour::Plain);
    let here = std::env::current_dir().expect("tests have a folder");
    let rendered = rendered.replace(&here.display().to_string(), "HERE");
    let golden = path.with_extension("txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &rendered).expect("the folder is there");
    }
    assert_eq!(rendered, fs::read_to_string(golden).unwrap_or_default());
}

#[test]
fn a_file_of_source_is_read_at_the_check_and_travels_with_its_path() -> Result<(), Diagnostics> {
    let folder = Folder::new();
    let source = "def work(value):\n    return value\n";
    folder.write("jobs/work.py", &format!("\u{feff}{source}"));
    let topology = folder.check("python_file = 'jobs/work.py'\nargs = ['x']\nconcurrency = 5")?;
    let path = folder.0.path().join("jobs/work.py").display().to_string();
    let stage = &topology.stages[0].stage;
    assert_eq!(stage.function, Function::PythonFile { path, source: source.into() });
    assert_eq!((stage.interpreter.as_deref(), stage.concurrency), (None, Some(5)));
    // What it does is the same in the topology itself.
    let inside = folder.check(&format!("python = '''\n{source}'''\nargs = ['x']"))?;
    assert_eq!(inside.canonical(), topology.canonical());
    Ok(())
}

#[test]
fn an_interpreter_is_a_path_from_the_topology_or_a_name_on_the_path() -> Result<(), Diagnostics> {
    let folder = Folder::new();
    folder.write("bin/snake", "#!/bin/sh\nexec python3 \"$@\"\n");
    let snake = folder.0.path().join("bin/snake");
    let made = Command::new("chmod").arg("+x").arg(&snake).status().expect("chmod starts");
    assert!(made.success());
    let call = "call = 'json:loads'";
    let plain = folder.check(call)?;
    assert_eq!(plain.stages[0].stage.function, Function::Call("json:loads".into()));
    assert_eq!(plain.stages[0].stage.interpreter, None);
    let named = folder.check(&format!("{call}\ninterpreter = 'python3'"))?;
    assert_eq!(named.stages[0].stage.interpreter.as_deref(), Some("python3"));
    let own = folder.check(&format!("{call}\ninterpreter = 'bin/snake'"))?;
    assert_eq!(own.stages[0].stage.interpreter.as_deref(), snake.to_str());
    assert_ne!(own.canonical(), plain.canonical());
    Ok(())
}

#[test]
fn a_module_is_looked_for_in_the_topologys_folder_first_and_never_imported() {
    let folder = Folder::new();
    // Names that are Python's own are the user's there; those that the check needs are, too.
    for name in ["ast", "json", "colorsys", "importlib"] {
        folder.write(
            &format!("{name}.py"),
            "import os\nos._exit(3)\ndef mine(value): return value\n",
        );
    }
    assert_eq!(codes(folder.check("call = 'colorsys:mine'")), [""; 0]);
    assert_eq!(codes(folder.check("call = 'colorsys:rgb_to_hsv'")), ["no-callee"]);
    folder.write("pkg/__init__.py", "import os\nos._exit(3)\n");
    folder.write("pkg/inner/deep.py", "from somewhere import mine\n");
    assert_eq!(codes(folder.check("call = 'pkg.inner.deep:mine'")), [""; 0]);
    assert_eq!(codes(folder.check("call = 'pkg.inner:deep'")), ["no-callee"]);
}

#[test]
fn whatever_can_define_a_name_is_taken_for_it() {
    let folder = Folder::new();
    for source in [
        "async def work(value): return value",
        "class work:\n    pass",
        "work = lambda value: value",
        "import math as work",
        "from math import *  # work",
        "try:\n    from math import sqrt as work\nexcept ImportError:\n    work = None",
        "for work in [abs]: pass",
        "if True:\n    with open('/dev/null'):\n        (a, work) = 1, abs",
        "match 1:\n    case 1:\n        work = abs",
        "def setup():\n    global work\n    work = abs\nsetup()",
        "globals()['work'] = abs",
        "exec('work = abs')",
        "def __getattr__(name): return abs  # work",
    ] {
        folder.write("w.py", source);
        assert_eq!(codes(folder.check("python_file = 'w.py'")), [""; 0], "{source}");
        folder.write("m.py", source);
        assert_eq!(codes(folder.check("call = 'm:work'")), [""; 0], "{source}");
    }
    for source in ["def f():\n    work = 1", "class C:\n    def work(self): pass", "print(work)"] {
        folder.write("w.py", source);
        assert_eq!(codes(folder.check("python_file = 'w.py'")), ["no-work"], "{source}");
    }
}

#[test]
fn a_call_needs_the_package_of_workers_in_python() {
    let folder = Folder::new();
    let text = "source = { kind = 'stdin' }\n[[stage]]\nname = 's'\ncall = 'json:loads'\nenv = { PYTHONPATH = '' }\ninterpreter = './bare'\n";
    // Where the package is installed for everybody it is found; without `site` it is not.
    folder.write("bare", "#!/bin/sh\nexec python3 -S \"$@\"\n");
    let bare = folder.0.path().join("bare");
    assert!(Command::new("chmod").arg("+x").arg(bare).status().expect("chmod starts").success());
    let error = folder.load(text).expect_err("the package is not there");
    let help = error.problems()[0].fault.help().unwrap_or_default();
    assert!(matches!(error.problems()[0].fault, Fault::NoPackage { .. }), "{error}");
    assert!(help.ends_with("/bare -m pip install pipeline-zmq"), "{help}");
}

#[test]
fn what_is_elsewhere_is_not_looked_for_here() -> Result<(), Diagnostics> {
    let folder = Folder::new();
    let stage = "bind = 'tcp://*:5557'\nsource = { kind = 'stdin' }\n[[stage]]\nname = 's'\nworkers = 0\ncall = 'not_here:work'\ninterpreter = '/not/here/python'\n";
    let topology = folder.load(stage)?;
    assert_eq!(topology.stages[0].stage.interpreter.as_deref(), Some("/not/here/python"));
    Ok(())
}

#[test]
fn an_interpreter_that_gives_no_answer_is_told_for_a_call_only() {
    let folder = Folder::new();
    folder.write("mute", "#!/bin/sh\necho 'Segmentation fault' >&2\nexit 139\n");
    let mute = folder.0.path().join("mute");
    assert!(Command::new("chmod").arg("+x").arg(mute).status().expect("chmod starts").success());
    let error = folder.check("call = 'json:loads'\ninterpreter = './mute'").expect_err("no answer");
    assert!(error.to_string().contains("does not tell about the module: Segmentation fault"));
    assert_eq!(codes(folder.check("python = 'work = '\ninterpreter = './mute'")), [""; 0]);
}

/// A text that is checked without its files starts nothing.
#[test]
fn a_text_alone_asks_no_interpreter() {
    let text = "source = { kind = 'stdin' }\n[[stage]]\nname = 's'\npython = 'def work(:'\n";
    assert!(Topology::from_text(text, Path::new("t.toml"), &[]).is_ok());
}
