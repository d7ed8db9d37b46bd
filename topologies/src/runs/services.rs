//! Where a service is that is called by its name.
//!
//! Owns the order in which a name is looked up: an endpoint is one; then this user's own services on this
//! machine; then the table `[services]` of the user's file `config.toml`. Refuses to connect.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use client::{Place, Setup};
use proto::net::{
    endpoint::Endpoint,
    key::{Key, KeyError, own_file},
};
use serde::Deserialize;
use thiserror::Error;

use super::{
    choice::{self, ChoiceError},
    entry::{self, Entry},
    folder,
};

/// The user's file, beside the key.
const CONFIG: &str = "config.toml";

/// Why a service is not found.
#[derive(Debug, Error)]
pub enum FindError {
    /// Nothing is called so.
    #[error("no service is called `{named}`{}; looked in {}; `pipeline up` starts one, and [services] in {} names those elsewhere", there(services), paths(looked), config.display())]
    Unknown {
        /// What was asked for.
        named: String,
        /// The services that go on here.
        services: Vec<String>,
        /// Where those that go on here are listed.
        looked: Vec<PathBuf>,
        /// The user's file.
        config: PathBuf,
    },
    /// Several are.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// The endpoint is none.
    #[error("{0}")]
    Endpoint(String),
    /// There is no key for it.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The user's file can't be understood.
    #[error("{}: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

fn there(services: &[String]) -> String {
    match services {
        [] => String::new(),
        services => format!("; there are {}", services.join(", ")),
    }
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// What else is known of the connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Access<'a> {
    /// The key file, if not the one that is used by default.
    pub key: Option<&'a Path>,
    /// No encryption over tcp.
    pub insecure: bool,
}

/// The user's file, as far as it is read here. Each entry is looked at when it is wanted, so that one that is wrong
/// is no other's trouble.
#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    services: BTreeMap<String, toml::Value>,
    // Most often a table whose name is misspelt.
    #[serde(flatten)]
    unknown: BTreeMap<String, toml::Value>,
}

/// A service in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    endpoint: String,
    key: Option<PathBuf>,
    #[serde(default)]
    insecure: bool,
}

impl Named {
    fn of(value: toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::String(endpoint) => Ok(Self { endpoint, key: None, insecure: false }),
            value => value.try_into().map_err(|error| {
                let told = error.to_string();
                format!(
                    "{}; write \"tcp://HOST:5557\", or {{ endpoint = \"…\", key = \"…\" }}",
                    told.trim_end()
                )
            }),
        }
    }
}

/// How the service of that name is connected to.
///
/// # Errors
/// [`FindError`] when nothing or more than one thing has that name, or there is no key for it.
pub fn find(named: &str, access: Access<'_>) -> Result<Setup, FindError> {
    find_with_run(named, access).map(|(setup, _)| setup)
}

/// The same, with the service's entry in the list of runs if it goes on here.
///
/// # Errors
/// As [`find`].
pub fn find_with_run(named: &str, access: Access<'_>) -> Result<(Setup, Option<Entry>), FindError> {
    if named.contains("://") {
        return Ok((Setup::new(place(named, access)?), None));
    }
    if let Some(entry) = choice::service(named)?
        && let Some(endpoint) = &entry.service
    {
        let setup = setup_of(&entry, place(endpoint, access)?);
        return Ok((setup, Some(entry)));
    }
    Ok((elsewhere(named, access)?, None))
}

/// How one is connected to that the user's own file names.
fn elsewhere(named: &str, access: Access<'_>) -> Result<Setup, FindError> {
    let path = config_path()?;
    let config = read(&path)?;
    match config.services.get(named) {
        Some(value) => {
            let Named { endpoint, key, insecure } =
                Named::of(value.clone()).map_err(|problem| FindError::Config {
                    path: path.clone(),
                    problem: format!("[services] `{named}`: {problem}"),
                })?;
            let beside = |key: &PathBuf| path.with_file_name("").join(key);
            let own = key.as_ref().map(beside);
            let access = Access {
                key: access.key.or(own.as_deref()),
                insecure: access.insecure || insecure,
            };
            Ok(Setup::new(place(&endpoint, access)?))
        }
        None => {
            let here = entry::all().into_iter().filter(|run| run.service.is_some());
            let here = here.map(|run| run.name);
            let services = here.chain(config.services.into_keys()).collect();
            let looked = folder::looked_in();
            Err(FindError::Unknown { named: named.into(), services, looked, config: path })
        }
    }
}

/// Why there is no connection to a service.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It is not found.
    #[error(transparent)]
    Find(#[from] FindError),
    /// It does not answer.
    #[error(transparent)]
    Connect(#[from] client::ConnectError),
}

/// Connects to a service, by its name, its endpoint, or what the user's own file calls it.
///
/// # Errors
/// [`OpenError`] when it is not found, or does not answer.
///
/// # Example
///
/// ```no_run
/// let squares = pipeline::connect("squares")?;
/// let nine: u64 = squares.call(&3, None)?;
/// let ticket = squares.submit(&7)?;
/// println!("{}", ticket.text(None)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn connect(service: &str) -> Result<client::Service, OpenError> {
    let setup = find(service, Access::default())?;
    Ok(client::Service::connect(setup)?)
}

/// All services that go on here, and how they are connected to.
pub fn here(access: Access<'_>) -> Vec<(Entry, Setup)> {
    let setup = |run: &Entry| Some(setup_of(run, place(run.service.as_deref()?, access).ok()?));
    entry::all().into_iter().filter_map(|run| setup(&run).map(|setup| (run, setup))).collect()
}

/// Started again, it listens elsewhere.
fn setup_of(run: &Entry, place: Place) -> Setup {
    let (id, run_dir) = (run.id.clone(), run.run_dir.clone());
    let find = move || {
        let entry = match &run_dir {
            Some(run_dir) => choice::in_directory(run_dir),
            None => choice::service(&id).ok().flatten(),
        };
        entry?.service?.parse().ok()
    };
    Setup { find: Some(Box::new(find)), ..Setup::new(place) }
}

fn place(endpoint: &str, access: Access<'_>) -> Result<Place, FindError> {
    let ventilator: Endpoint =
        endpoint.parse().map_err(|error| FindError::Endpoint(format!("{error}")))?;
    let key = Key::for_process(access.key, access.insecure, std::slice::from_ref(&ventilator))?;
    Ok(Place { ventilator, key })
}

fn config_path() -> Result<PathBuf, FindError> {
    Ok(own_file()?.with_file_name(CONFIG))
}

fn read(path: &Path) -> Result<Config, FindError> {
    let wrong = |problem: String| FindError::Config { path: path.into(), problem };
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Config::default()),
        Err(error) => Err(wrong(error.to_string())),
        Ok(text) => {
            let config: Config = toml::from_str(&text)
                .map_err(|error| wrong(error.to_string().trim_end().into()))?;
            for name in config.unknown.keys() {
                tracing::warn!(path = %path.display(), "`{name}` means nothing there; services are named in [services]");
            }
            Ok(config)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file holds with that in it.
    fn written(text: &str) -> Result<Config, FindError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CONFIG);
        fs::write(&path, text).unwrap();
        read(&path)
    }

    fn named(config: &Config, name: &str) -> Result<Named, String> {
        Named::of(config.services[name].clone())
    }

    #[test]
    fn a_service_elsewhere_is_named_by_its_endpoint_alone_or_with_a_key() {
        let text =
            "[services]\na = \"tcp://host:5557\"\nb = { endpoint = \"tcp://b:1\", key = \"k\" }\n";
        let config = written(text).unwrap();
        assert_eq!(named(&config, "a").unwrap().endpoint, "tcp://host:5557");
        assert_eq!(named(&config, "b").unwrap().key, Some("k".into()));
        let told = written("services = 5").unwrap_err();
        let FindError::Config { path, .. } = &told else { panic!("{told}") };
        assert!(told.to_string().starts_with(&path.display().to_string()), "{told}");
        let folder = tempfile::tempdir().unwrap();
        assert!(read(&folder.path().join("none")).unwrap().services.is_empty());
    }

    #[test]
    fn an_entry_that_is_wrong_is_told_when_it_is_wanted_and_troubles_no_other() {
        let text =
            "[services]\na = 5\nb = { ednpoint = \"x\" }\nc = \"tcp://c:1\"\n[service]\nd = 1\n";
        let config = written(text).unwrap();
        assert_eq!(named(&config, "c").unwrap().endpoint, "tcp://c:1");
        for (name, words) in
            [("a", "write \"tcp://HOST:5557\", or"), ("b", "unknown field `ednpoint`")]
        {
            let told = named(&config, name).unwrap_err();
            assert!(told.contains(words), "{name}: {told}");
        }
        assert_eq!(config.unknown.keys().collect::<Vec<_>>(), ["service"]);
    }
}
