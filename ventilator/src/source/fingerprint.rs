//! What tells a source from a changed one.
//!
//! Owns the digest over a source's content; refuses to keep it.

use std::{fs, io::Read, path::Path, time::UNIX_EPOCH};

use blake3::Hasher;

use super::{SourceError, SourceSpec, files::Files};

/// A digest of what the source will give: of the bytes of a file that is read, of names, lengths
/// and times of the files that a pattern finds. Nothing for what has no content of its own.
///
/// # Errors
/// [`SourceError`] when a file can't be read.
pub fn fingerprint(spec: &SourceSpec) -> Result<Option<String>, SourceError> {
    let mut hasher = Hasher::new();
    match spec {
        SourceSpec::Range { .. } | SourceSpec::Stdin => return Ok(None),
        SourceSpec::Lines { path } | SourceSpec::Jsonl { path } | SourceSpec::Csv { path } => {
            digest_file(path, &mut hasher)?;
        }
        SourceSpec::Files { glob } => {
            for path in Files::find(glob)?.into_paths() {
                let failed = |source| SourceError::Io { path: path.clone(), source };
                let meta = fs::metadata(&path).map_err(failed)?;
                let modified =
                    meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                hasher.update(path.as_os_str().as_encoded_bytes());
                hasher.update(&meta.len().to_le_bytes());
                hasher.update(&modified.unwrap_or_default().as_nanos().to_le_bytes());
            }
        }
    }
    Ok(Some(hasher.finalize().to_hex().to_string()))
}

fn digest_file(path: &Path, hasher: &mut Hasher) -> Result<(), SourceError> {
    let failed = |source| SourceError::Io { path: path.into(), source };
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(()),
            count => drop(hasher.update(&buffer[..count])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_is_another_source() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let of = |text: &str| {
            fs::write(&path, text).unwrap();
            fingerprint(&SourceSpec::Lines { path: path.clone() }).unwrap()
        };
        assert_ne!(of("a\n"), of("b\n"));
        assert_eq!(of("a\n"), of("a\n"));
    }
}
