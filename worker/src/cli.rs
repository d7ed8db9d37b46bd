//! The flags of a worker that is started by hand, and what turns a user's own program into one.

use std::{
    env,
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{
    Args, Parser,
    builder::{PossibleValue, PossibleValuesParser},
};
use proto::{
    causes::with_causes,
    cli::{self, Program},
    footing, kin,
    limits::{CONCURRENCY_CEILING, Limits},
    net::{
        endpoint::{Endpoint, elsewhere, listening, told},
        key::Key,
        lock::remove_stale_sockets,
        zeromq::SharedContext,
    },
    plan::{Function as Named, Stage},
    process::{self, DIARY_VARIABLE, has_launcher},
    telling::{self, Telling},
};

use tracing::warn;

use crate::{
    AssembleError, Function, assemble,
    builtin::{self, BuiltinError},
    core::exit,
    crowd,
    executor::{Code, Host, Own},
    external::{Succession, Successor, is_successor},
    run::{Prepared, RunError, Setup},
};

/// The example at the foot of the usage; it works when pasted, with a sink and a ventilator
/// beside.
pub const EXAMPLE: &str = "Example, in three terminals:
  sink       --bind tcp://127.0.0.1:5558 --output squares.jsonl
  ventilator --bind tcp://127.0.0.1:5557 --sink tcp://127.0.0.1:5558 \\
             --source range:1..1000
  worker     --ventilator tcp://127.0.0.1:5557 --run square";

/// Where a worker's peers are.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Where the ventilator listens
    #[arg(long, value_name = "ENDPOINT", value_parser = elsewhere)]
    ventilator: Endpoint,
    /// Where peers reach this process [default: wherever their transport needs it]
    #[arg(long, value_name = "ENDPOINT", value_parser = listening)]
    bind: Vec<Endpoint>,
    /// What peers are told instead of --bind, for addresses that are translated on the way
    #[arg(long, value_name = "ENDPOINT", value_parser = told)]
    advertise: Vec<Endpoint>,
    /// The stage to join [default: the first]
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// How others call this worker
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Leave when no ventilator has answered for so long, as in 30s or 5m [default: wait]
    #[arg(long, value_name = "DURATION", value_parser = cli::duration)]
    give_up_after: Option<Duration>,
    /// After SIGTERM, wait no longer for units that are worked on, as in 2m; others do them then
    /// [default: 30s with several open at once, else as long as it takes]
    #[arg(long, value_name = "DURATION", value_parser = cli::duration)]
    grace: Option<Duration>,
    /// Units that are open at once, for functions that wait [default: as the stage says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=CONCURRENCY_CEILING as i64))]
    concurrency: Option<u32>,
    /// So many workers, each a process of its own; one that dies is started again
    #[arg(short = 'j', long, value_name = "N", conflicts_with_all = ["bind", "advertise"], value_parser = clap::value_parser!(u32).range(1..=1024))]
    processes: Option<u32>,
    /// The key file [env: PIPELINE_KEY] [default: the user's own, made at first use]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// No encryption and no authentication over tcp; needed on both sides
    #[arg(long)]
    insecure: bool,
    /// With --insecure: start programs that the plan names, whoever has sent it
    #[arg(long)]
    allow_code: bool,
}

/// What a worker does with each unit.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct FunctionArgs {
    /// A built-in function
    #[arg(long, value_name = "BUILTIN", value_parser = builtins())]
    run: Option<String>,
    /// A program started once a unit; {} is replaced by the value. The last flag
    #[arg(long, value_name = "CMD", num_args = 1.., allow_hyphen_values = true)]
    exec: Option<Vec<String>>,
    /// A long-lived program: a JSON line in, a JSON line out. The last flag
    #[arg(long, value_name = "CMD", num_args = 1.., allow_hyphen_values = true)]
    pipe: Option<Vec<String>>,
}

/// Computes what a ventilator sends.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, after_help = EXAMPLE)]
pub struct WorkerArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    function: FunctionArgs,
}

impl WorkerArgs {
    /// Runs a worker as the flags say; without a function it does what the ventilator's plan
    /// says.
    pub fn run(self) -> ExitCode {
        match self.function.assemble(self.place.concurrency) {
            Ok(_) if self.place.crowd().is_some() => {
                PlaceArgs::announce(&self.place.announcement());
                let guard = kin::post_guard().inspect_err(|error| {
                    warn!(%error, "no guard can be started: if this process is killed with SIGKILL, programs may go on");
                });
                crowd::run(self.place.crowd().unwrap_or(1), guard.ok())
            }
            Ok(own) => {
                // A user's own program looks itself after the children that it has.
                kin::adopt();
                if !has_launcher() {
                    kin::be_guarded();
                }
                self.place.run(own, Some(Succession::default()))
            }
            Err(problem) => {
                process::complain("worker", &problem);
                ExitCode::from(64)
            }
        }
    }
}

/// The names that `--run` takes, each with what it does.
pub fn builtins() -> PossibleValuesParser {
    let named = builtin::names().iter();
    PossibleValuesParser::new(named.map(|(name, line)| PossibleValue::new(*name).help(*line)))
}

impl FunctionArgs {
    fn assemble(self, concurrency: Option<u32>) -> Result<Option<Box<dyn Function>>, String> {
        let named = match (self.run, self.exec, self.pipe) {
            (Some(name), _, _) => Named::Run(name),
            (_, Some(command), _) => Named::Exec(command),
            (_, _, Some(command)) => Named::Pipe(command),
            _ => return Ok(None),
        };
        let stage = Stage { concurrency, ..Stage::new("work", named) };
        assemble(&stage, None, &Limits::default()).map(Some).map_err(|error| shown(&error))
    }
}

/// What is wrong with the flags. The stage's name is left out: nobody has given one.
fn shown(error: &AssembleError) -> String {
    match error {
        AssembleError::Builtin { source, .. } => match source {
            BuiltinError::Unknown { nearest: Some(nearest), .. } => {
                format!("{source}; did you mean `{nearest}`?")
            }
            BuiltinError::Unknown { nearest: None, .. } => {
                format!("{source}; `--run help` lists them")
            }
            BuiltinError::ArgumentsRefused { .. } => source.to_string(),
        },
        AssembleError::Command { source, .. } => source.to_string(),
        AssembleError::NoOwnFunction { .. } => error.to_string(),
    }
}

impl PlaceArgs {
    /// The flags that say the same in another folder.
    fn flags(&self) -> Vec<OsString> {
        // Named one by one, so that a new one is not forgotten.
        let Self {
            ventilator,
            bind,
            advertise,
            stage,
            name,
            give_up_after,
            grace,
            concurrency,
            processes,
            key,
            insecure,
            allow_code,
        } = self;
        let mut flags: Vec<OsString> = Vec::new();
        let mut add = |flag: &str, value: OsString| flags.extend([flag.into(), value]);
        add("--ventilator", anywhere(ventilator).into());
        bind.iter().for_each(|endpoint| add("--bind", anywhere(endpoint).into()));
        advertise.iter().for_each(|endpoint| add("--advertise", anywhere(endpoint).into()));
        for (flag, text) in [("--stage", stage), ("--name", name)] {
            text.iter().for_each(|text| add(flag, text.into()));
        }
        for (flag, time) in [("--give-up-after", give_up_after), ("--grace", grace)] {
            time.iter().for_each(|time| add(flag, format!("{}ms", time.as_millis()).into()));
        }
        for (flag, number) in [("--concurrency", concurrency), ("--processes", processes)] {
            number.iter().for_each(|number| add(flag, number.to_string().into()));
        }
        key.iter().for_each(|key| add("--key", absolute(key).into()));
        let switches = [("--insecure", insecure), ("--allow-code", allow_code)];
        flags.extend(switches.into_iter().filter(|(_, on)| **on).map(|(flag, _)| flag.into()));
        flags
    }

    /// Whether what others send may bring code along.
    pub fn code(&self) -> Code {
        if self.insecure && !self.allow_code { Code::Refused } else { Code::Trusted }
    }

    /// Runs several of them, if they are asked for and this is not one of them.
    pub fn run_crowd(&self) -> Option<ExitCode> {
        self.crowd().map(|count| {
            Self::announce(&self.announcement());
            crowd::run(count, None)
        })
    }

    /// Whom it waits for.
    fn announcement(&self) -> String {
        let workers = match self.processes {
            Some(count @ 2..) => format!("{count} workers, "),
            _ => String::new(),
        };
        let stage = self.stage.as_ref().map(|name| format!(" of stage `{name}`"));
        format!(
            "{workers}waiting for work{} from the ventilator at {}",
            stage.unwrap_or_default(),
            self.ventilator
        )
    }

    /// What whoever started it by hand is told of whom it waits for. A launcher knows that, and who
    /// takes another one's place says nothing new.
    fn announce(announcement: &str) {
        if !has_launcher() && !is_successor() {
            telling::announce("worker", announcement);
        }
    }

    /// How many workers this process is to start, if it is not one of them.
    fn crowd(&self) -> Option<u32> {
        self.processes.filter(|_| crowd::own_index().is_none())
    }

    /// Runs a worker to its end. With a `succession` another program may come after it, in this
    /// process.
    fn run(self, own: Option<Box<dyn Function>>, succession: Option<Succession>) -> ExitCode {
        let flags = self.flags();
        let prepared = match self.prepare(own, None) {
            Ok(prepared) => prepared,
            Err(code) => return code,
        };
        let prepared = match &succession {
            Some(succession) => prepared.replaceable(succession.clone()),
            None => prepared,
        };
        cli::drain_on_signals(prepared.handle());
        let ended = prepared.run();
        // A unit may be under way that nobody waits for any more.
        kin::end_all();
        match (ended, succession.as_ref().and_then(|word| word.get())) {
            (Ok(exit::REPLACED), Some(successor)) => replace(successor, flags),
            (ended, _) => exit_code(ended),
        }
    }

    /// A worker as the flags say, whose sockets listen. `own` is the function that it brings; without
    /// one it does what the plan says. `host` makes functions in the language of an interpreter.
    ///
    /// # Errors
    /// What to leave with when it can't be; why is told.
    pub fn prepare(
        self,
        own: Option<Box<dyn Function>>,
        host: Option<Box<dyn Host>>,
    ) -> Result<Prepared, ExitCode> {
        process::end_with_parent();
        process::keep_memory();
        if let Err(error) = footing::find() {
            process::complain("worker", &error);
            return Err(ExitCode::from(process::NO_ROOM));
        }
        let endpoints: Vec<Endpoint> =
            self.bind.iter().chain([&self.ventilator]).cloned().collect();
        let key = Key::for_process(self.key.as_deref(), self.insecure, &endpoints);
        let key = key.map_err(|error| {
            process::complain("worker", &error);
            ExitCode::from(process::NO_KEY)
        })?;
        let own = Own { function: own, host, ..Own::default() };
        let announcement = self.announcement();
        let prepared = Prepared::new(&self.setup(), own, &SharedContext::new(), key);
        let prepared = prepared.map_err(|error| exit_code(Err(error)))?;
        Self::announce(&announcement);
        Ok(prepared)
    }

    fn setup(self) -> Setup {
        let code = self.code();
        let index = crowd::own_index().filter(|_| self.processes.is_some());
        Setup {
            name: match (self.name, index) {
                (Some(name), Some(index)) => format!("{name}-{index}"),
                (name, _) => name.unwrap_or_else(|| process::default_name("worker")),
            },
            bind: inbox(self.bind, &self.ventilator),
            advertise: self.advertise.iter().map(ToString::to_string).collect(),
            stage: self.stage,
            ventilator: self.ventilator,
            code,
            give_up_after: self.give_up_after,
            inherits: is_successor() && (crowd::own_index().is_some() || !has_launcher()),
            grace: self.grace,
            concurrency: self.concurrency,
            diary: own_diary(),
        }
    }
}

/// Where a launcher wants a diary of what this worker sends on.
fn own_diary() -> Option<PathBuf> {
    env::var_os(DIARY_VARIABLE).filter(|_| has_launcher()).map(PathBuf::from)
}

/// What to leave with after a worker has ended so; why is told.
pub fn exit_code(ended: Result<i32, RunError>) -> ExitCode {
    match ended {
        Ok(code) => process::exit_code(code),
        Err(error) => {
            process::complain("worker", &with_causes(&error));
            ExitCode::from(74)
        }
    }
}

/// Has the successor go on in this process, with the same flags.
fn replace(successor: &Successor, flags: Vec<OsString>) -> ExitCode {
    let mut command = successor.command(flags);
    telling::hand_on(&mut command);
    let error = command.exec();
    let program = command.get_program().display();
    process::complain("worker", &format_args!("cannot go on as {program}: {error}"));
    process::exit_code(exit::UNFIT)
}

/// An endpoint as another process in another folder has to be told it.
fn anywhere(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Ipc(path) => Endpoint::Ipc(absolute(path)).to_string(),
        endpoint => endpoint.to_string(),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

/// Beside an ipc ventilator a worker listens at ipc too; for tcp the driver finds an address.
fn inbox(mut bind: Vec<Endpoint>, ventilator: &Endpoint) -> Vec<Endpoint> {
    match ventilator {
        Endpoint::Ipc(path) if !bind.iter().any(|own| own.same_transport(ventilator)) => {
            let prefix = format!("{}.worker-", path.display());
            remove_stale_sockets(prefix.as_ref());
            bind.insert(0, Endpoint::Ipc(format!("{prefix}{}", std::process::id()).into()));
        }
        _ => {}
    }
    bind
}

/// A user's own worker program.
#[derive(Parser)]
#[command(version, about = "A worker of a pipeline", arg_required_else_help = true)]
struct OwnProgram {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    telling: Telling,
    /// For the program itself: the `args` of its stage
    #[arg(last = true, value_name = "ARGS")]
    _args: Vec<OsString>,
}

impl Program for OwnProgram {
    fn telling(&self) -> Telling {
        self.telling
    }
}

/// Turns a program into a worker: parses the flags of `worker` but for the function, which is
/// `function`, and runs until the pipeline ends. A stage runs it with `binary = "path"`, and hands
/// its `args` over behind a `--`, where the program finds them in [`std::env::args`].
///
/// # Example
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     worker::main(worker::map(|n: u64| n * n))
/// }
/// ```
pub fn main(function: impl Function + 'static) -> ExitCode {
    cli::main(|program: OwnProgram| match program.place.run_crowd() {
        Some(code) => code,
        None => program.place.run(Some(Box::new(function)), None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker in Python takes over with the flags of the one before, wherever it is started.
    #[test]
    fn flags_that_are_handed_on_say_the_same_in_another_folder() {
        let parse = |flags: &[&str]| {
            let all = ["worker"].iter().chain(flags);
            OwnProgram::try_parse_from(all).unwrap_or_else(|error| panic!("{error}")).place
        };
        let here = env::current_dir().unwrap().display().to_string();
        let ipc = format!("ipc://{here}/v");
        let key = format!("{here}/k");
        let (given, meant) = (
            ["--ventilator", "ipc://v", "--key", "k", "--give-up-after", "2m", "--grace", "3s"],
            ["--ventilator", &ipc, "--key", &key, "--give-up-after", "120s", "--grace", "3s"],
        );
        let others = [
            ["--bind", "tcp://*:0", "--bind", "tcp://127.0.0.1:5000", "--advertise", "tcp://box:7"],
            ["--stage", "one", "--name", "w", "--concurrency", "9"],
        ]
        .concat();
        let place = parse(&[&given[..], &others, &["--insecure", "--allow-code"]].concat());
        let handed: Vec<String> =
            place.flags().into_iter().map(|flag| flag.into_string().unwrap()).collect();
        let handed: Vec<&str> = handed.iter().map(String::as_str).collect();
        let meant = parse(&[&meant[..], &others, &["--insecure", "--allow-code"]].concat());
        assert_eq!(format!("{:?}", parse(&handed)), format!("{meant:?}"));
        let crowd = parse(&["--ventilator", "tcp://h:1", "-j", "3"]);
        assert_eq!(crowd.flags(), ["--ventilator", "tcp://h:1", "--processes", "3"]);
    }
}
