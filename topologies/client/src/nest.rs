//! Where a client's inbox lies, for a service that is reached by `ipc`.
//!
//! Owns a folder that only this user may enter. It is not the service's: a service that is started again has
//! another one, and its old one goes with all that is in it, while its clients stay.

use std::{
    env, fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process,
};

/// A folder of a client's own, which goes with it.
#[derive(Debug)]
pub(crate) struct Nest(PathBuf);

impl Nest {
    /// Makes one; the number is one that no other has.
    ///
    /// # Errors
    /// When the system's folder for temporary files can't be written to.
    pub fn new(number: u64) -> io::Result<Self> {
        let path = env::temp_dir().join(format!("pipeline-client-{}-{number:016x}", process::id()));
        // One that is there already is somebody else's.
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where the inbox is.
    pub fn inbox(&self) -> PathBuf {
        self.0.join("inbox")
    }

    #[cfg(test)]
    fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(Path::new(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_nest_is_this_users_alone_and_goes_with_its_client() {
        let number = getrandom::u64().unwrap();
        let nest = Nest::new(number).unwrap();
        let folder = nest.folder().to_owned();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(Nest::new(number).is_err());
        drop(nest);
        assert!(!folder.exists());
    }
}
