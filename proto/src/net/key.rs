//! The key that lets processes of one user talk over tcp, and nobody else.
//!
//! Owns the file and where it is looked for. One CURVE key pair is shared by all processes that
//! may take part: each is both client and server with it, and an inbox admits only its public
//! half, and those that the file accepts besides while keys change. See
//! <https://rfc.zeromq.org/spec/26/>.

use std::{
    env, fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{
    endpoint::Endpoint,
    zeromq::{Curve, WITHOUT_CURVE, decode_key, new_key_pair, valid_key},
};

/// A CURVE key pair, each half as 40 characters of Z85.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// What peers are recognised by.
    pub public: String,
    /// What must stay in the file.
    pub secret: String,
    /// Public halves of other keys that may take part too, while keys change.
    pub accepted: Vec<String>,
}

/// The variable that names the key file where no flag does.
pub const KEY_VARIABLE: &str = "PIPELINE_KEY";
/// Public keys of others that one file may accept.
const ACCEPTED_MAX: usize = 16;
/// A longer file is none.
const FILE_BYTES_MAX: u64 = 4 << 10;

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({}, …)", self.public)
    }
}

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file can't be read or made.
    #[error("cannot use the key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not two lines `public …` and `secret …`, and then only `accept …`.
    #[error("{} is not a key file: it needs two lines, `public …` and `secret …`, and may have `accept …`, a public key, up to {ACCEPTED_MAX} times", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// A new key would take the place of what is there.
    #[error("{} is there already; a new key needs a new file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others could read it.
    #[error("others can read {}; run: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// Others could read it, and it is not this user's to change that.
    #[error("others can read {}, and it belongs to another user; give a copy of your own, mode 0600", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// No home to keep it in.
    #[error(
        "neither XDG_CONFIG_HOME nor HOME is set, so there is no place for a key; give --key FILE"
    )]
    Homeless,
    /// There is nothing to use one with.
    #[error("{WITHOUT_CURVE}")]
    WithoutCurve,
}

/// The key file that a process was told of: by `flag`, else by the variable `PIPELINE_KEY`.
pub fn told_file(flag: Option<&Path>) -> Option<PathBuf> {
    let named = || env::var_os(KEY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    flag.map(Path::to_path_buf).or_else(named)
}

/// The user's own key file, whether it is there or not.
///
/// # Errors
/// [`KeyError::Homeless`] when the user has no home.
pub fn own_file() -> Result<PathBuf, KeyError> {
    let home = |name, below: &str| {
        env::var_os(name).filter(|p| !p.is_empty()).map(|p| PathBuf::from(p).join(below))
    };
    home("XDG_CONFIG_HOME", "pipeline/key")
        .or_else(|| home("HOME", ".config/pipeline/key"))
        .ok_or(KeyError::Homeless)
}

/// What people compare to see whether two keys are the same: the first 8 bytes of the public
/// half, `3f2a-91bc-77de-0c14`. A name, which proves nothing.
pub fn fingerprint(public: &str) -> String {
    let bytes = decode_key(public);
    let pairs: Vec<String> = bytes
        .chunks(2)
        .take(4)
        .map(|pair| pair.iter().map(|b| format!("{b:02x}")).collect())
        .collect();
    pairs.join("-")
}

impl Key {
    /// A new pair.
    pub fn generate() -> Self {
        let (public, secret) = new_key_pair();
        Self { public, secret, accepted: Vec::new() }
    }

    /// The [`fingerprint`] of its public half.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.public)
    }

    /// The public keys of all who may take part, its own first.
    pub fn admitted(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.public).chain(&self.accepted).map(String::as_str)
    }

    /// The key of a process: from `told` (a flag or a topology), else from the file that the
    /// variable `PIPELINE_KEY` names, else the user's own, which is made at first use.
    ///
    /// # Errors
    /// [`KeyError`] when the file is missing, exposed or no key.
    pub fn find(told: Option<&Path>) -> Result<Self, KeyError> {
        match told_file(told) {
            Some(path) => Self::read(&path),
            None => Self::read_or_make(&own_file()?),
        }
    }

    /// The key of a process that uses these endpoints: none with `--insecure`. Where no endpoint
    /// is tcp and no key can be had, it is one that nobody else has.
    ///
    /// # Errors
    /// [`KeyError`] as [`Key::find`], and where an endpoint is tcp in a program without [`Curve`].
    pub fn for_process(
        told: Option<&Path>,
        insecure: bool,
        endpoints: &[Endpoint],
    ) -> Result<Option<Self>, KeyError> {
        if insecure {
            tracing::warn!(
                "--insecure: tcp is neither encrypted nor authenticated; anyone who can reach the ports can take part"
            );
            return Ok(None);
        }
        let local = !endpoints.iter().any(|endpoint| matches!(endpoint, Endpoint::Tcp { .. }));
        if !local {
            needs(Curve::here())?;
        }
        match Self::find(told) {
            Err(error) if local && told.is_none() => {
                tracing::info!(%error, "without a key nobody will talk to this process over tcp");
                Ok(Some(Self::generate()))
            }
            found => found.map(Some),
        }
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyError`] when it is missing, exposed or no key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { path: path.into(), source };
        let file = fs::File::open(path).map_err(io)?;
        let data = file.metadata().map_err(io)?;
        let mut text = String::new();
        let malformed = || KeyError::Malformed { path: path.into() };
        match file.take(FILE_BYTES_MAX).read_to_string(&mut text) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(malformed()),
            other => other.map_err(io)?,
        };
        // What is no key is nobody's to protect: first what it is, then who can read it.
        let key = Self::from_text(&text).ok_or_else(malformed)?;
        match data.permissions().mode() & 0o077 {
            0 => Ok(key),
            _ if data.uid() != rustix::process::geteuid().as_raw() => {
                Err(KeyError::Foreign { path: path.into() })
            }
            _ => Err(KeyError::Exposed { path: path.into() }),
        }
    }

    /// The key in a key file's text, if it is one.
    pub fn from_text(text: &str) -> Option<Self> {
        let (mut public, mut secret, mut accepted) = (None, None, Vec::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, half) = line.split_once(' ')?;
            let half = Some(half.trim()).filter(|half| valid_key(half))?.to_owned();
            match name {
                "public" if public.is_none() => public = Some(half),
                "secret" if secret.is_none() => secret = Some(half),
                "accept" if accepted.len() < ACCEPTED_MAX => accepted.push(half),
                _ => return None,
            }
        }
        Some(Self { public: public?, secret: secret?, accepted })
    }

    /// Reads a key file, or makes one. Two processes that start at once end with the same key.
    ///
    /// # Errors
    /// [`KeyError`] as [`Key::read`], and when the file can't be made.
    pub fn read_or_make(path: &Path) -> Result<Self, KeyError> {
        if path.exists() {
            return Self::read(path);
        }
        match Self::make(path) {
            Ok(_) | Err(KeyError::Exists { .. }) => Self::read(path),
            Err(error) => Err(error),
        }
    }

    /// Makes a key file, mode 0600, in a folder that is made too, mode 0700.
    ///
    /// # Errors
    /// [`KeyError::Exists`] when there is a file of that name, [`KeyError::Io`] when it can't be
    /// made.
    pub fn make(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { path: path.into(), source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        needs(Curve::here())?;
        let key = Self::generate();
        let mark: String = key.public.chars().filter(char::is_ascii_alphanumeric).take(6).collect();
        let draft = folder.join(format!(".key-{}-{mark}", std::process::id()));
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| {
                write!(file, "public {}\nsecret {}\n", key.public, key.secret)?;
                file.sync_all()
            })
            // A link fails if the other process was first; a rename would replace its key.
            .and_then(|()| fs::hard_link(&draft, path));
        let _ = fs::remove_file(&draft);
        match written {
            Ok(()) => Ok(key),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(KeyError::Exists { path: path.into() })
            }
            Err(error) => Err(io(error)),
        }
    }
}

fn needs(curve: Curve) -> Result<(), KeyError> {
    match curve {
        Curve::BuiltIn => Ok(()),
        Curve::Missing => Err(KeyError::WithoutCurve),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_curve_a_key_is_refused_with_what_to_do() {
        assert!(needs(Curve::here()).is_ok(), "this project's own build has it");
        let text = needs(Curve::Missing).unwrap_err().to_string();
        assert!(text.starts_with("built without CURVE"), "{text}");
        assert!(text.contains("[patch.crates-io]"), "{text}");
        assert!(text.contains("cargo update -p zeromq-src"), "{text}");
    }

    #[test]
    fn the_first_use_makes_a_private_file_and_the_second_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/key");
        let made = Key::read_or_make(&path).unwrap();
        assert_eq!(Key::read_or_make(&path).unwrap(), made);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        Key::read_or_make(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Key::read(&path), Err(KeyError::Exposed { .. })));
    }

    #[test]
    fn rubbish_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "public x\nsecret y\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(Key::read(&path), Err(KeyError::Malformed { .. })));
    }

    #[test]
    fn those_who_start_at_once_end_with_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/key");
        let keys: Vec<Key> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..16).map(|_| scope.spawn(|| Key::read_or_make(&path).unwrap())).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_may_accept_the_keys_of_others() {
        let (own, other) = (Key::generate(), Key::generate());
        let text = format!("public {}\nsecret {}\n", own.public, own.secret);
        let accepting = Key::from_text(&format!("{text}accept {}\n", other.public)).unwrap();
        assert_eq!(accepting.admitted().collect::<Vec<_>>(), [&own.public, &other.public]);
        for wrong in ["accept x", "acept rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7", "public", &text]
        {
            assert_eq!(Key::from_text(&format!("{text}{wrong}\n")), None, "{wrong}");
        }
    }

    #[test]
    fn a_new_key_never_takes_the_place_of_an_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let first = Key::make(&path).unwrap();
        assert!(matches!(Key::make(&path), Err(KeyError::Exists { .. })));
        assert_eq!(Key::read(&path).unwrap(), first);
    }

    #[test]
    fn keys_have_names_that_people_can_compare() {
        assert_eq!(fingerprint("rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7").len(), 19);
        assert_ne!(Key::generate().fingerprint(), Key::generate().fingerprint());
    }

    #[test]
    fn printing_a_key_does_not_tell_it() {
        let key = Key::generate();
        assert!(!format!("{key:?}").contains(&key.secret));
    }

    /// Words that frighten: `--key /etc/passwd` must not advise `chmod 600 /etc/passwd`.
    #[test]
    fn a_file_that_is_no_key_is_called_so_whoever_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        for text in ["root:x:0:0:root:/root:/bin/sh\n", "", "public x\nsecret y\n"] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            let error = Key::read(&path).unwrap_err();
            assert!(matches!(error, KeyError::Malformed { .. }), "{error}");
        }
    }
}
