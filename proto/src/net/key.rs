//! The key that lets processes of one user talk over tcp, and nobody else.
//!
//! Owns the file and where it is looked for. One CURVE key pair is shared by all processes that
//! may take part: each is both client and server with it, and an inbox admits only its public
//! half. See <https://rfc.zeromq.org/spec/26/>.

use std::{
    env, fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{
    endpoint::Endpoint,
    zeromq::{new_key_pair, valid_key},
};

/// A CURVE key pair, each half as 40 characters of Z85.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// What peers are recognised by.
    pub public: String,
    /// What must stay in the file.
    pub secret: String,
}

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
    /// Not two lines `public …` and `secret …`.
    #[error("{} is not a key file: it needs two lines, `public …` and `secret …`", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// Others could read it.
    #[error("others can read {}; run: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// No home to keep it in.
    #[error(
        "neither XDG_CONFIG_HOME nor HOME is set, so there is no place for a key; give --key FILE"
    )]
    Homeless,
}

impl Key {
    /// A new pair.
    pub fn generate() -> Self {
        let (public, secret) = new_key_pair();
        Self { public, secret }
    }

    /// The key of a process: from `told` (a flag or a topology), else from the file that the
    /// variable `PIPELINE_KEY` names, else the user's own, which is made at first use.
    ///
    /// # Errors
    /// [`KeyError`] when the file is missing, exposed or no key.
    pub fn find(told: Option<&Path>) -> Result<Self, KeyError> {
        if let Some(path) = told {
            return Self::read(path);
        }
        if let Some(path) = env::var_os("PIPELINE_KEY").filter(|path| !path.is_empty()) {
            return Self::read(Path::new(&path));
        }
        let home = |name, below: &str| {
            env::var_os(name).filter(|p| !p.is_empty()).map(|p| PathBuf::from(p).join(below))
        };
        let folder =
            home("XDG_CONFIG_HOME", "pipeline").or_else(|| home("HOME", ".config/pipeline"));
        Self::read_or_make(&folder.ok_or(KeyError::Homeless)?.join("key"))
    }

    /// The key of a process that uses these endpoints: none with `--insecure`, and none where
    /// no key can be had and no endpoint is tcp.
    ///
    /// # Errors
    /// [`KeyError`] as [`Key::find`].
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
        match Self::find(told) {
            Err(_) if local && told.is_none() => Ok(None),
            found => found.map(Some),
        }
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyError`] when it is missing, exposed or no key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { path: path.into(), source };
        let mode = fs::metadata(path).map_err(io)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.into() });
        }
        let text = fs::read_to_string(path).map_err(io)?;
        Self::from_text(&text).ok_or_else(|| KeyError::Malformed { path: path.into() })
    }

    /// The pair in a key file's text, if it is one.
    pub fn from_text(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?.trim();
            valid_key(line).then(|| line.to_owned())
        };
        Some(Self { public: field("public ")?, secret: field("secret ")? })
    }

    /// Reads a key file, or makes one. Two processes that start at once end with the same key.
    ///
    /// # Errors
    /// [`KeyError`] as [`Key::read`], and when the file can't be made.
    pub fn read_or_make(path: &Path) -> Result<Self, KeyError> {
        if path.exists() {
            return Self::read(path);
        }
        let io = |source| KeyError::Io { path: path.into(), source };
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let key = Self::generate();
        let draft = folder.join(format!(
            ".key-{}-{}",
            std::process::id(),
            &key.public[..6].replace(|c: char| !c.is_ascii_alphanumeric(), "_")
        ));
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
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io(error)),
            _ => Self::read(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn printing_a_key_does_not_tell_it() {
        let key = Key::generate();
        assert!(!format!("{key:?}").contains(&key.secret));
    }
}
