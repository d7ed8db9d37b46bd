//! How a program tells what happens: in colour or not, for people or for scripts.
//!
//! Owns these two choices and the form of a line on stderr that is none of the log's; refuses to
//! know what is told.

use std::{
    env, fmt,
    io::{self, IsTerminal, Write},
    process::Command,
    sync::OnceLock,
};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// The variable that stands for `--color`.
pub const COLOUR_VARIABLE: &str = "PIPELINE_COLOR";
/// The variable that stands for `--log-format`.
pub const FORMAT_VARIABLE: &str = "PIPELINE_LOG_FORMAT";

/// When there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set; with CLICOLOR_FORCE anywhere.
    // An empty variable is none.
    #[default]
    #[value(alias = "")]
    Auto,
    /// Anywhere.
    Always,
    /// Nowhere.
    Never,
}

/// For whom stderr is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    #[value(alias = "")]
    Text,
    /// For scripts: one object a line.
    Json,
}

/// The flags that every program has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Args)]
pub struct Telling {
    /// Colours on stderr; auto heeds NO_COLOR and CLICOLOR_FORCE
    #[arg(long = "color", global = true, env = COLOUR_VARIABLE, hide_env_values = true)]
    #[arg(value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    #[arg(help = "Colours on stderr: auto, always or never; auto heeds NO_COLOR, CLICOLOR_FORCE")]
    colour: Colour,
    /// How stderr is written: text, or json, an object a line
    #[arg(long, global = true, env = FORMAT_VARIABLE, hide_env_values = true)]
    #[arg(value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    log_format: LogFormat,
}

/// What this process was told; as its environment says until then.
static TELLING: OnceLock<Telling> = OnceLock::new();

/// How bad it is, in the words of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// This process can't do what it was asked for.
    Error,
    /// Something that its user may want to do something about.
    Warn,
    /// What goes on.
    Info,
}

impl Telling {
    /// What the environment says; what it says wrongly is no reason to end.
    pub fn of_environment() -> Self {
        fn read<T: ValueEnum + Default>(variable: &str) -> T {
            let text = env::var(variable).unwrap_or_default();
            T::from_str(&text, false).unwrap_or_default()
        }
        Self { colour: read(COLOUR_VARIABLE), log_format: read(FORMAT_VARIABLE) }
    }

    /// From now on this process tells things so. The first word counts.
    pub fn settle(self) {
        let _ = TELLING.set(self);
    }
}

fn telling() -> Telling {
    TELLING.get().copied().unwrap_or_else(Telling::of_environment)
}

/// Whether stderr is for scripts.
pub fn is_json() -> bool {
    telling().log_format == LogFormat::Json
}

/// Whether what is written to stderr is in colour.
pub fn is_coloured() -> bool {
    let said = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let forced = || env::var_os("CLICOLOR_FORCE").is_some_and(|v| !v.is_empty() && v != "0");
    match telling().colour {
        _ if is_json() => false,
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto if said("NO_COLOR") => false,
        Colour::Auto if forced() => true,
        Colour::Auto => {
            env::var_os("TERM").is_none_or(|term| term != "dumb") && io::stderr().is_terminal()
        }
    }
}

/// Has a process that this one starts tell things in the same way.
pub fn hand_on(command: &mut Command) {
    let name = |value: Option<clap::builder::PossibleValue>| {
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    };
    let Telling { colour, log_format } = telling();
    command.env(FORMAT_VARIABLE, name(log_format.to_possible_value()));
    command.env(COLOUR_VARIABLE, name(colour.to_possible_value()));
}

/// Writes a line of `who` to stderr. Nobody may be left to read it; that is no reason to fail.
pub fn tell(level: Level, who: &str, text: &str) {
    let line =
        if is_json() { object(level, who, text, Map::new()) } else { format!("{who}: {text}") };
    let _ = writeln!(io::stderr(), "{line}");
}

/// A line for scripts, with what else is known of it.
pub fn object(level: Level, who: &str, text: &str, facts: Map<String, Value>) -> String {
    let mut time = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let level = match level {
        Level::Error => "ERROR",
        Level::Warn => "WARN",
        Level::Info => "INFO",
    };
    let mut line = json!({ "timestamp": time, "level": level, "process": who, "message": text });
    if let Value::Object(line) = &mut line {
        line.extend(facts);
    }
    line.to_string()
}

/// A line that `who` has written, as one of this process's own: what is an object already is told
/// from whom it comes.
pub fn relayed(who: &str, line: &str) -> String {
    match serde_json::from_str(line) {
        Ok(Value::Object(mut object)) if object.contains_key("level") => {
            object.insert("process".into(), who.into());
            Value::Object(object).to_string()
        }
        _ => object(Level::Info, who, line, Map::new()),
    }
}

/// A form of the log for scripts, each line of which names its process.
pub(crate) struct Named<F> {
    /// The process.
    pub who: String,
    /// The same without the name.
    pub format: F,
}

impl<S, N, F> FormatEvent<S, N> for Named<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        writeln!(writer, "{}", relayed(&self.who, line.trim_end()))
    }
}

/// Says once what a program that was started by hand waits for, unless its log keeps warnings back.
pub fn announce(who: &str, text: &str) {
    if tracing::enabled!(tracing::Level::WARN) {
        tell(Level::Info, who, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_scripts_says_when_how_bad_who_and_what() {
        let facts = Map::from_iter([("done".to_owned(), json!(7))]);
        let line: Value =
            serde_json::from_str(&object(Level::Warn, "up", "a \"b\"\nc", facts)).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["process"], "up");
        assert_eq!(line["message"], "a \"b\"\nc");
        assert_eq!(line["done"], 7);
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    }

    #[test]
    fn a_line_that_is_passed_on_names_its_process_whatever_it_is() {
        let said = object(Level::Error, "worker", "no", Map::new());
        for (line, message) in
            [(said.as_str(), "no"), ("plain {", "plain {"), ("{\"a\":1}", "{\"a\":1}")]
        {
            let passed: Value = serde_json::from_str(&relayed("square-1", line)).unwrap();
            assert_eq!(passed["process"], "square-1");
            assert_eq!(passed["message"], message);
        }
    }
}
