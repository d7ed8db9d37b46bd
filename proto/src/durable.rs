//! Small files that are there whole or not at all, also after a loss of power.
//!
//! Owns the order of syncs and names. Refuses files that grow: a log or an output syncs what it
//! has appended itself.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

/// Writes a file, or replaces it; when this returns it is safe. Whoever reads it, and whatever
/// happens, finds the old content or the new one. A draft lies beside it meanwhile, with `.new` added
/// to its name.
///
/// # Errors
/// When the draft can't be written, synced or given the file's name; it is removed then.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = draft_of(path);
    let written = write_synced(&draft, content).and_then(|()| fs::rename(&draft, path));
    if let Err(error) = written {
        // What matters is the first error; a draft that stays is replaced by the next one.
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    sync_folder_of(path)
}

/// Makes the names in the folder of `path` durable, where the file system knows of such a thing.
///
/// # Errors
/// When the folder can't be opened or synced.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()) {
        Err(error)
            if matches!(
                error.kind(),
                // Folders of some network and FUSE file systems can't be synced, or not be read.
                ErrorKind::InvalidInput | ErrorKind::Unsupported | ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_no_draft_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facts.json");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a-folder");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "").unwrap();
        assert!(replace(&path, b"one").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
