//! A source that has only grown since a run has read it, and that the run goes on with.
//!
//! Owns the proof, all that was read is read again, and the change of what is known of it. Refuses what
//! has changed otherwise, what ended within a line, and what is packed: where its last line ends can't
//! be seen from outside.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use proto::frame::RunId;
use thiserror::Error;

use super::{
    Depth, Difference, SourceError, SourceSpec,
    compare::{difference, looks},
    digests::{BLOCK_BYTES, Known, LISTING_BLOCK_BYTES, Looks, forget_end},
    signature::{Content, content},
};

/// As many bytes tell whether a file is packed.
const HEAD_BYTES: u64 = 512;

/// Why a source is not gone on with.
#[derive(Debug, Error)]
pub enum GrowthError {
    /// What the run has read of it is not what it was.
    #[error("{0}")]
    Changed(Difference),
    /// It ended within a line when the run has read it, and the line goes on now.
    #[error("goes on within its last line, which this run has taken for whole")]
    WithinLine,
    /// It is compressed.
    #[error("is compressed, so where its last line ended can't be seen")]
    Packed,
    /// It can't be read twice.
    #[error("is a stream, of which nothing can be read again")]
    Stream,
    /// It can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// What a run has read of a source that has grown since.
#[derive(Debug)]
pub struct Growth {
    run_dir: PathBuf,
    known: Known,
    looks: Looks,
}

impl Growth {
    /// Has the run read what has come since. Nobody may read the source meanwhile.
    ///
    /// # Errors
    /// [`SourceError`] when the run directory can't be written.
    pub fn accept(self) -> Result<(), SourceError> {
        let Self { run_dir, known, looks } = self;
        let failed = |source| SourceError::Io { path: run_dir.clone(), source };
        forget_end(&run_dir, known, looks).map_err(failed)
    }
}

/// Proves that the source of `run` holds all that the run has read of it; what is new, if anything is.
/// Nothing is changed yet.
///
/// # Errors
/// [`GrowthError`] when it has changed otherwise, or can't be read.
pub fn growth(
    spec: &SourceSpec,
    run_dir: &Path,
    run: RunId,
) -> Result<Option<Growth>, GrowthError> {
    let failed = |source| SourceError::Io { path: run_dir.into(), source };
    let block_bytes = match spec {
        SourceSpec::Range { .. } => return Ok(None),
        SourceSpec::Stdin => return Err(GrowthError::Stream),
        SourceSpec::Files { .. } => LISTING_BLOCK_BYTES,
        _ => BLOCK_BYTES,
    };
    let known = Known::read(run_dir, block_bytes).map_err(failed)?;
    let Some(known) = known.filter(|known| known.run == run) else { return Ok(None) };
    match difference(spec, run_dir, run, Depth::Content)? {
        None => return Ok(None),
        Some(Difference::Grown { .. } | Difference::MoreFiles { .. }) => {}
        Some(other) => return Err(GrowthError::Changed(other)),
    }
    let looks = match spec.path() {
        Some(path) => looks_of_grown(path, &known)?,
        None => Looks::default(),
    };
    Ok(Some(Growth { run_dir: run_dir.into(), known, looks }))
}

fn looks_of_grown(path: &Path, known: &Known) -> Result<Looks, GrowthError> {
    let failed = |source| SourceError::Io { path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    if let Some(end) = known.end.filter(|end| *end > 0) {
        let mut head = Vec::new();
        (&file).take(HEAD_BYTES).read_to_end(&mut head).map_err(failed)?;
        if let Content::Packed(_) = content(&head, true) {
            return Err(GrowthError::Packed);
        }
        // What ends the last line may have come with what follows it.
        let around = |at| byte(&file, at).map_err(failed);
        if around(end - 1)? != Some(b'\n') && !matches!(around(end)?, Some(b'\n' | b'\r')) {
            return Err(GrowthError::WithinLine);
        }
    }
    Ok(looks(&file).map_err(failed)?)
}

fn byte(file: &File, at: u64) -> io::Result<Option<u8>> {
    let mut byte = [0];
    Ok((file.read_at(&mut byte, at)? == 1).then_some(byte[0]))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{
        super::{Chunk, open},
        *,
    };

    const RUN: RunId = 7;

    /// Reads a file to its end, as the ventilator of a durable run does; how many lines were behind
    /// the first `skipped`.
    fn read(path: &Path, run_dir: &Path, skipped: u64) -> Result<usize, SourceError> {
        let mut source = open(&lines(path), Some(run_dir))?;
        source.go_on(RUN, skipped)?;
        let mut count = 0;
        loop {
            let mut chunk = Chunk::default();
            let more = source.read(100, &mut chunk)?;
            count += chunk.len();
            if !more {
                return Ok(count);
            }
        }
    }

    /// Accepts that it has grown; whether it has.
    fn grown(path: &Path, run_dir: &Path) -> Result<bool, GrowthError> {
        let growth = growth(&lines(path), run_dir, RUN)?;
        Ok(growth.map(|growth| growth.accept().unwrap()).is_some())
    }

    fn lines(path: &Path) -> SourceSpec {
        SourceSpec::Lines { path: path.into() }
    }

    fn folder(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_that_only_grew_is_gone_on_with_behind_what_was_read() {
        let (folder, path) = folder("a\nb\n");
        assert_eq!(read(&path, folder.path(), 0).unwrap(), 2);
        let accept = || grown(&path, folder.path());
        assert!(!accept().unwrap());
        fs::write(&path, "a\nb\nc\nd\n").unwrap();
        assert!(read(&path, folder.path(), 2).is_err(), "nobody has accepted it");
        assert!(accept().unwrap());
        assert_eq!(read(&path, folder.path(), 2).unwrap(), 2);
        assert!(!accept().unwrap());
        // What was accepted is proven like the rest from now on.
        fs::write(&path, "a\nb\nX\nd\n").unwrap();
        assert!(read(&path, folder.path(), 4).is_err());
        assert!(matches!(accept(), Err(GrowthError::Changed(Difference::Bytes { .. }))));
    }

    #[test]
    fn what_ended_within_a_line_or_has_changed_is_refused() {
        let (folder, path) = folder("a\nb");
        read(&path, folder.path(), 0).unwrap();
        let accept = || grown(&path, folder.path());
        fs::write(&path, "a\nbc\n").unwrap();
        assert!(matches!(accept(), Err(GrowthError::WithinLine)));
        fs::write(&path, "a\n").unwrap();
        assert!(matches!(accept(), Err(GrowthError::Changed(Difference::Shorter { .. }))));
        fs::write(&path, "x\nb\nc\n").unwrap();
        assert!(matches!(accept(), Err(GrowthError::Changed(Difference::Bytes { .. }))));
        fs::write(&path, "a\nb\nc\n").unwrap();
        assert!(accept().unwrap());
        assert_eq!(read(&path, folder.path(), 2).unwrap(), 1);
    }
}
