//! How a program of a pipeline begins, and how it is asked to end: its log, its flags, its signals.
//!
//! Owns what happens before the flags are obeyed, and the exit code when they can't be; refuses to
//! know any flag.

use std::{
    env,
    ffi::OsString,
    io,
    process::{ExitCode, exit},
    time::Duration,
};

use clap::{ColorChoice, Parser, ValueEnum, error::ErrorKind};
use tracing_subscriber::EnvFilter;

use crate::{
    footing, kin,
    net::driver::Handle,
    process::{INTERRUPTED, LOG_VARIABLE, NO_ROOM, complain, has_launcher, own_name},
    signals,
    telling::{self, COLOUR_VARIABLE, Colour, Named, Telling},
};

/// What is logged unless someone asks for something else.
const LOGGED: &str = "warn";
/// The exit code of a program whose flags are wrong.
pub const USAGE: u8 = 64;

/// The flags of a program.
pub trait Program: Parser {
    /// How it tells what happens; as the environment says unless it has flags for that.
    fn telling(&self) -> Telling {
        Telling::of_environment()
    }

    /// What is logged unless `PIPELINE_LOG` says it.
    fn logged(&self) -> &'static str {
        LOGGED
    }

    /// Adds what this program knows to what is wrong with its flags.
    fn advise(error: clap::Error, _words: &[OsString]) -> clap::Error {
        error
    }
}

/// What a `main` does: prepares the process, reads the flags, and does what
/// they say. Flags that are wrong, and questions such as `--help`, are answered here.
pub fn main<Flags: Program>(run: impl FnOnce(Flags) -> ExitCode) -> ExitCode {
    main_of(env::args_os(), run)
}

/// The same with the words of a command line that a host was given, the program's name first.
pub fn main_of<Flags: Program>(
    words: impl IntoIterator<Item = impl Into<OsString>>,
    run: impl FnOnce(Flags) -> ExitCode,
) -> ExitCode {
    if let Err(error) = footing::check_stack() {
        complain(&own_name(), &error);
        return ExitCode::from(NO_ROOM);
    }
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    match parse::<Flags>(&words) {
        Ok(flags) => {
            begin(flags.telling(), flags.logged());
            run(flags)
        }
        Err(error) => {
            begin(Telling::of_environment(), LOGGED);
            answer(&Flags::advise(error, &words))
        }
    }
}

fn parse<Flags: Program>(words: &[OsString]) -> Result<Flags, clap::Error> {
    let mut command = Flags::command().color(colours(words));
    let mut matches = command.try_get_matches_from_mut(words)?;
    Flags::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// Whether usage and what is wrong with flags are coloured, which is needed before they are read.
fn colours(words: &[OsString]) -> ColorChoice {
    let flags = words.iter().take_while(|word| *word != "--").filter_map(|word| word.to_str());
    let mut flag = None;
    let mut next = false;
    for word in flags {
        flag = if next { Some(word) } else { word.strip_prefix("--color=").or(flag) };
        next = word == "--color";
    }
    let said = flag.map(str::to_owned).or_else(|| env::var(COLOUR_VARIABLE).ok());
    match Colour::from_str(&said.unwrap_or_default(), false) {
        Ok(Colour::Always) => ColorChoice::Always,
        Ok(Colour::Never) => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

/// Shows what clap has to say, and gives the code to leave with.
fn answer(error: &clap::Error) -> ExitCode {
    // Nobody may be left to read it; that is no reason to fail.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(USAGE),
    }
}

/// Logs to stderr: what the program logs, unless `PIPELINE_LOG` says something else.
fn start_log(logged: &str) {
    let (filter, problem) = match env::var_os(LOG_VARIABLE).filter(|text| !text.is_empty()) {
        None => (EnvFilter::new(logged), None),
        Some(text) => match EnvFilter::try_new(text.to_string_lossy()) {
            Ok(filter) => (filter, None),
            Err(error) => (EnvFilter::new(logged), Some((text, error))),
        },
    };
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(telling::is_coloured())
        .with_target(false);
    // A program that embeds this crate may have its own subscriber; then that one is used.
    let _ = if telling::is_json() {
        let format = format.json().flatten_event(true);
        let format = format.with_current_span(false).with_span_list(false);
        format.map_event_format(|format| Named { who: own_name(), format }).try_init()
    } else {
        format.without_time().try_init()
    };
    // Once is enough: a launcher has said it to the same people.
    if let Some((text, error)) = problem.filter(|_| !has_launcher()) {
        tracing::warn!(%error, "{LOG_VARIABLE} is {text:?}, which is no level (error, warn, info, debug, trace); {logged} is taken");
    }
}

/// What every program does once it knows how: the log, and signals that were blocked or ignored and
/// must not be.
fn begin(telling: Telling, logged: &str) {
    telling.settle();
    start_log(logged);
    signals::settle();
}

/// Drains on the first Ctrl-C, SIGTERM or SIGHUP, ends at once on the second. With a launcher any
/// number of them drains: that one decides when there is enough, and ends this process then.
pub fn drain_on_signals<R: Send + 'static>(handle: Handle<R>) {
    let launched = has_launcher();
    let installed = signals::listen(move |count| match count {
        1 => handle.drain(),
        _ if launched => {}
        _ => {
            // Nobody shall be told of programs that are ended here.
            handle.stop();
            kin::end_all();
            exit(INTERRUPTED);
        }
    });
    if let Err(error) = installed {
        tracing::warn!(%error, "signals end this process at once");
    }
}

/// A duration as flags take it: `250ms`, `30s`, `5m`, `2h`.
///
/// # Errors
/// What is wrong with it, in words.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write it like 250ms, 30s, 5m or 2h");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_millis(number.saturating_mul(ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    #[command(version)]
    struct Flags {
        #[arg(long)]
        _count: Option<u32>,
    }

    #[test]
    fn questions_are_answered_well_and_wrong_flags_are_not() {
        for (argument, code) in [("--help", 0), ("--version", 0), ("--count=x", 64), ("--who", 64)]
        {
            let error = Flags::try_parse_from(["program", argument]).unwrap_err();
            // An exit code can be compared by its words only.
            let (given, wanted) = (answer(&error), ExitCode::from(code));
            assert_eq!(format!("{given:?}"), format!("{wanted:?}"), "{argument}");
        }
    }
}
