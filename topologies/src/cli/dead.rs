//! `pipeline dead`: the units that failed for good, as a place to work.

use std::{
    path::{Path, PathBuf},
    process::{self, ExitCode},
    sync::atomic::{AtomicBool, Ordering},
};

use clap::{Args, Subcommand};
use proto::{causes::with_causes, gist::gist, kin, process::exit_code, signals};
use sink::{
    DeadLetter, Placing,
    dead::SINK_STAGE,
    figures::counted,
    retry,
    run_dir::{RunDir, RunDirError},
};

use super::{Format, complain, load, print};
use crate::{
    aftermath::place,
    topology::{StageSpec, Topology},
    up::{
        exit,
        record::{Changed, check_in},
    },
};

/// Looks at the units that failed for good, and gives them another try.
#[derive(Debug, Args)]
pub(super) struct DeadArgs {
    #[command(subcommand)]
    action: Action,
    /// The run directory, or the topology whose run lies in .pipeline [default: the only one
    /// there]
    #[arg(long, value_name = "DIR", global = true)]
    run_dir: Option<PathBuf>,
    /// How letters are printed
    #[arg(long, value_name = "FORMAT", default_value = "text", global = true)]
    output: Format,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// A line a unit
    List,
    /// All that is known of one
    Show {
        /// The unit
        #[arg(value_name = "ID")]
        id: u64,
    },
    /// Put units back, so that the next `pipeline up` runs them again
    Retry {
        /// Which ones [default: all]
        #[arg(value_name = "ID")]
        ids: Vec<u64>,
        /// The topology with the mended functions, which the run goes on with from here on
        #[arg(long, value_name = "FILE")]
        with: Option<PathBuf>,
        /// Put what they give where it belongs in the output, at the end of that run: rewrites a jsonl
        /// or csv file that is in the order of the input
        #[arg(long)]
        in_place: bool,
    },
    /// Feed one unit to its stage's function here, in the foreground
    Run {
        /// The unit
        #[arg(value_name = "ID")]
        id: u64,
        /// The topology whose stage it failed in
        #[arg(long, value_name = "FILE")]
        topology: PathBuf,
    },
}

/// The function failed again.
const FAILED: i32 = 1;

impl DeadArgs {
    pub(super) fn run(self) -> ExitCode {
        exit_code(self.act().unwrap_or_else(|problem| {
            complain(&problem);
            exit::NO_INPUT
        }))
    }

    fn act(&self) -> Result<i32, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let run_dir = place::find(self.run_dir.as_deref(), Path::new(".")).map_err(|e| text(&e))?;
        if let Action::Retry { ids, with, in_place } = &self.action {
            let placing = if *in_place { Placing::InPlace } else { Placing::Behind };
            return retry_units(&run_dir, ids, (with.as_deref(), placing));
        }
        let letters = match RunDir::open(&run_dir) {
            Ok(opened) => retry::letters(&opened).map(|(_, letters)| letters),
            // It goes on.
            Err(RunDirError::Locked(_)) => retry::letters_so_far(&run_dir),
            Err(error) => return Err(with_causes(&error)),
        };
        let letters = letters.map_err(|error| with_causes(&error))?;
        let find = |id: u64| {
            let letter = letters.iter().find(|letter| letter.id == id);
            letter.ok_or_else(|| format!("unit {id} is not among the dead letters"))
        };
        match &self.action {
            Action::List => Ok(print(&self.list(&letters))),
            Action::Show { id } => Ok(print(&show(find(*id)?, self.output))),
            Action::Run { id, topology } => run_unit(find(*id)?, topology),
            Action::Retry { .. } => Ok(exit::COMPLETE),
        }
    }

    fn list(&self, letters: &[DeadLetter]) -> String {
        let line = |letter: &DeadLetter| match self.output {
            Format::Json => format!("{}\n", serde_json::to_string(letter).unwrap_or_default()),
            Format::Text => format!(
                "{:>12}  {}  {} attempts  {}\n",
                letter.id,
                letter.stage,
                letter.attempts,
                gist(&letter.error)
            ),
        };
        letters.iter().map(line).collect()
    }
}

fn retry_units(
    run_dir: &Path,
    ids: &[u64],
    (with, placing): (Option<&Path>, Placing),
) -> Result<i32, String> {
    if let Some(file) = with {
        let topology = match load(file, &[]) {
            Ok(topology) => topology,
            Err(_) => return Ok(exit::TOPOLOGY),
        };
        // Refused as a whole, or not at all.
        retry::check(run_dir, ids, placing).map_err(|error| error.to_string())?;
        if let Err(error) = check_in(run_dir, &topology, Changed::AcceptedBut) {
            complain(&with_causes(&error));
            return Ok(exit::TOPOLOGY);
        }
    }
    let again = retry::retry(run_dir, ids, placing).map_err(|error| error.to_string())?;
    let which = with.map_or("the same topology".into(), |file| file.display().to_string());
    let place = if placing == Placing::InPlace { ", for their places in the output" } else { "" };
    Ok(print(&format!(
        "put back: {}; `pipeline up` with {which} runs them again{place}\n",
        counted(again.len() as u64, ["unit", "units"])
    )))
}

fn show(letter: &DeadLetter, format: Format) -> String {
    if format == Format::Json {
        return format!("{:#}\n", serde_json::to_value(letter).unwrap_or_default());
    }
    format!(
        "unit      {}\nstage     {}\nattempts  {}\nworker    {}\ninput     {}\n\n{}\n",
        letter.id, letter.stage, letter.attempts, letter.worker, letter.input, letter.error
    )
}

/// Runs the function of the stage that a letter names on its input; outputs go to stdout.
fn run_unit(letter: &DeadLetter, topology: &Path) -> Result<i32, String> {
    if letter.stage == SINK_STAGE {
        return Err(format!(
            "unit {} came through all stages; it is its result that the output cannot hold: {}",
            letter.id, letter.error
        ));
    }
    let topology = Topology::load(topology, &[]).map_err(|error| error.to_string())?;
    let spec = topology.stages.iter().find(|spec| spec.stage.name == letter.stage);
    let spec = spec.ok_or_else(|| format!("the topology has no stage `{}`", letter.stage))?;
    if spec.binary.is_some() {
        return Err(format!(
            "stage `{}` runs a program of its own; start that under a debugger with this input: {}",
            letter.stage, letter.input
        ));
    }
    let ended = end_on_signals().and_then(|()| call(letter, &topology, spec));
    // Also what the program has left in the background.
    kin::end_all();
    ended
}

/// Somebody has asked for the end.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Whoever ends this process ends the program that runs in it, and everything below that: by a
/// signal, or with SIGKILL.
fn end_on_signals() -> Result<(), String> {
    kin::adopt();
    kin::be_guarded();
    let heard = signals::listen(|_| {
        // That the program was ended is no failure of its unit.
        ASKED.store(true, Ordering::Release);
        kin::end_all();
        process::exit(exit::INTERRUPTED);
    });
    heard.map_err(|error| error.to_string())
}

fn call(letter: &DeadLetter, topology: &Topology, spec: &StageSpec) -> Result<i32, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut function =
        worker::assemble(&spec.stage, None, &topology.limits).map_err(|e| text(&e))?;
    let mut input = Vec::new();
    proto::value::from_json(letter.input.to_string().as_bytes(), &mut input)
        .map_err(|e| text(&e))?;
    function.set_up().map_err(|e| text(&e))?;
    let unit = worker::Unit { id: letter.id, path: &[], attempt: 1, stage: &letter.stage };
    let mut outputs = worker::Outputs::default();
    let outcome = function.call(&unit, &input, &mut outputs);
    function.tear_down();
    if ASKED.load(Ordering::Acquire) {
        return Ok(exit::INTERRUPTED);
    }
    if let Err(failure) = outcome {
        complain(&format_args!("unit {} failed again: {failure}", letter.id));
        return Ok(FAILED);
    }
    let mut shown = Vec::new();
    for value in outputs.iter() {
        proto::value::to_json(value, &mut shown).map_err(|e| text(&e))?;
        shown.push(b'\n');
    }
    Ok(print(&String::from_utf8_lossy(&shown)))
}
