//! What tells a source from a changed one.
//!
//! Owns the digest over a source's content; refuses to keep it.

use std::{
    fs::{self, File},
    io,
    num::NonZero,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::UNIX_EPOCH,
};

use blake3::{Hash, Hasher};

use super::{SourceError, SourceSpec, files::Files};

/// Bytes of a file that are digested in one go.
const PIECE_BYTES: u64 = 4 << 20;

/// A digest of what the source will give: of the bytes of a file that is read, of names, lengths
/// and times of the files that a pattern finds. Nothing for what has no content of its own.
///
/// # Errors
/// [`SourceError`] when a file can't be read.
pub fn fingerprint(spec: &SourceSpec) -> Result<Option<String>, SourceError> {
    let mut hasher = Hasher::new();
    match spec {
        SourceSpec::Range { .. } | SourceSpec::Stdin => return Ok(None),
        SourceSpec::Lines { path } | SourceSpec::Jsonl { path } | SourceSpec::Csv { path, .. } => {
            digest_file(path, &mut hasher)?;
        }
        SourceSpec::Files { glob, folder, own } => {
            let folder = folder.as_deref().unwrap_or(Path::new(""));
            for path in Files::find(glob, folder, own)?.paths() {
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

/// Adds the digest of each piece of a file, in their order. Pieces are read by as many threads as
/// there are cores: nothing can begin before this is known.
fn digest_file(path: &Path, hasher: &mut Hasher) -> Result<(), SourceError> {
    let failed = |source| SourceError::Io { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = (length / PIECE_BYTES).min(threads as u64);
    let next = AtomicU64::new(0);
    let mut pieces = thread::scope(|scope| {
        let helpers: Vec<_> =
            (1..threads).map(|_| scope.spawn(|| digest_pieces(&file, &next))).collect();
        let mut pieces = digest_pieces(&file, &next)?;
        for helper in helpers {
            let more = helper.join().map_err(|_| io::Error::other("a thread has panicked"))?;
            pieces.extend(more?);
        }
        Ok(pieces)
    })
    .map_err(failed)?;
    pieces.sort_unstable_by_key(|(index, _)| *index);
    for (_, digest) in pieces {
        hasher.update(digest.as_bytes());
    }
    Ok(())
}

/// The digests of those pieces that nobody else takes, up to the end of the file.
fn digest_pieces(file: &File, next: &AtomicU64) -> io::Result<Vec<(u64, Hash)>> {
    let mut buffer = vec![0; 256 << 10];
    let mut pieces = Vec::new();
    loop {
        let index = next.fetch_add(1, Relaxed);
        let mut hasher = Hasher::new();
        let mut bytes = 0;
        while bytes < PIECE_BYTES {
            let wanted = buffer.len().min((PIECE_BYTES - bytes) as usize);
            match file.read_at(&mut buffer[..wanted], index * PIECE_BYTES + bytes) {
                Ok(0) => break,
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if bytes > 0 {
            pieces.push((index, hasher.finalize()));
        }
        if bytes < PIECE_BYTES {
            return Ok(pieces);
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

    #[test]
    fn a_change_anywhere_in_a_file_of_many_pieces_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let piece = PIECE_BYTES as usize;
        let of = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            fingerprint(&SourceSpec::Lines { path: path.clone() }).unwrap().unwrap()
        };
        let mut bytes = vec![b'x'; 3 * piece + 5];
        let all = of(&bytes);
        for place in [0, piece - 1, piece, 2 * piece, 3 * piece, 3 * piece + 4] {
            bytes[place] = b'y';
            assert_ne!(of(&bytes), all, "{place}");
            bytes[place] = b'x';
        }
        assert_ne!(of(&bytes[..3 * piece]), all);
        assert_ne!(of(&bytes[piece..]), all);
        bytes[0] = b'y';
        let first = of(&bytes);
        bytes.swap(0, piece);
        assert_ne!(of(&bytes), first, "pieces have their places");
        bytes.swap(0, piece);
        assert_eq!(of(&bytes), first);
    }
}
