//! A file whose last bytes are written and not durable, for whoever syncs it.
//!
//! Owns the one sync that is left to be made, which another thread makes while the next rows are
//! written; refuses to know what the bytes are.

use std::{fs::File, path::PathBuf, sync::Arc};

use super::error::OutputError;

/// A file that holds more than its last sync made durable.
#[derive(Debug, Clone)]
pub struct Unsynced {
    /// The file.
    pub file: Arc<File>,
    /// Its name in errors.
    pub path: PathBuf,
}

impl Unsynced {
    /// Makes it durable.
    ///
    /// # Errors
    /// [`OutputError::Sync`]; nobody knows what the file holds then, and it is not tried again.
    pub fn sync(&self) -> Result<(), OutputError> {
        let path = || self.path.clone();
        self.file.sync_data().map_err(|source| OutputError::Sync { path: path(), source })
    }
}
