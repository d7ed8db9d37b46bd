//! Whether a source is still the one that a run has read.
//!
//! Owns the comparison of a file, by all cores, and of a listing with the digests that were recorded
//! when they were read; refuses to record any.

use std::{
    fs::File,
    io,
    num::NonZero,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::UNIX_EPOCH,
};

use blake3::Hasher;
use proto::frame::RunId;

use super::{
    Chunk, Source, SourceError, SourceSpec,
    digests::{BLOCK_BYTES, Difference, Digests, Known, LISTING_BLOCK_BYTES, Looks},
    feed,
    files::Files,
    listed,
};

/// How well it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The length decides whether its content is read.
    Length,
    /// All that was read of it is read again.
    Content,
}

/// In which way a source is not the one that `run` has read, by what the run directory tells; none
/// if it is, as far as it was read.
///
/// # Errors
/// [`SourceError`] when the source or the run directory can't be read.
pub fn difference(
    spec: &SourceSpec,
    run_dir: &Path,
    run: RunId,
    depth: Depth,
) -> Result<Option<Difference>, SourceError> {
    let failed = |source| SourceError::Io { path: run_dir.into(), source };
    let known = |bytes| Ok(Known::read(run_dir, bytes).map_err(failed)?.filter(|k| k.run == run));
    match spec {
        SourceSpec::Files { .. } => match (known(LISTING_BLOCK_BYTES)?, depth) {
            (Some(known), Depth::Content) => of_listing(spec, known),
            _ => Ok(None),
        },
        _ => {
            let Some(path) = spec.path() else { return Ok(None) };
            let Some(known) = known(BLOCK_BYTES)? else { return Ok(None) };
            of_path(path, &known, depth)
        }
    }
}

fn of_path(path: &Path, known: &Known, depth: Depth) -> Result<Option<Difference>, SourceError> {
    let failed = |source| SourceError::Io { path: path.into(), source };
    if feed::is_own_stdin(path) || feed::at_is_stream(path) {
        return Ok(None);
    }
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if depth == Depth::Length && known.change_of_length(length).is_none() {
        return Ok(None);
    }
    of_file(&file, known, 0).map_err(failed)
}

/// Compares a file with what is known of it, from a block on.
pub(super) fn of_file(file: &File, known: &Known, first: usize) -> io::Result<Option<Difference>> {
    let length = file.metadata()?.len();
    let differing = first_difference(file, known, first)?;
    Ok(match known.change_of_length(length) {
        Some(shorter @ Difference::Shorter { .. }) => Some(shorter),
        grown => differing.map(|block| known.span(block, BLOCK_BYTES)).or(grown),
    })
}

/// The first block that is not as it was. Blocks are read by as many threads as there are cores.
fn first_difference(file: &File, known: &Known, first: usize) -> io::Result<Option<usize>> {
    let blocks = known.slots.len().saturating_sub(first);
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(blocks);
    let next = AtomicUsize::new(first);
    thread::scope(|scope| {
        let helpers: Vec<_> =
            (1..threads).map(|_| scope.spawn(|| differing(file, known, &next))).collect();
        let mut found = differing(file, known, &next)?;
        for helper in helpers {
            let more = helper.join().map_err(|_| io::Error::other("a thread has panicked"))??;
            found = found.into_iter().chain(more).min();
        }
        Ok(found)
    })
}

/// The first block that differs, of those that nobody else takes.
fn differing(file: &File, known: &Known, next: &AtomicUsize) -> io::Result<Option<usize>> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let block = next.fetch_add(1, Relaxed);
        let Some((length, digest)) = known.slots.get(block) else { return Ok(None) };
        let (mut hasher, mut bytes, length) = (Hasher::new(), 0, u64::from(*length));
        while bytes < length {
            let wanted = buffer.len().min(usize::try_from(length - bytes).unwrap_or(usize::MAX));
            match file.read_at(&mut buffer[..wanted], block as u64 * BLOCK_BYTES + bytes) {
                Ok(0) => break,
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if hasher.finalize() != *digest {
            return Ok(Some(block));
        }
    }
}

/// What the pattern of a specification finds now, if it has one.
fn listing(spec: &SourceSpec) -> Result<Option<Files>, SourceError> {
    let SourceSpec::Files { glob, folder, own } = spec else { return Ok(None) };
    let folder = folder.as_deref().unwrap_or(Path::new(""));
    Files::find(glob, folder, own, &std::env::temp_dir()).map(Some)
}

/// Compares what a pattern finds with what is known of it.
pub(super) fn of_listing(
    spec: &SourceSpec,
    known: Known,
) -> Result<Option<Difference>, SourceError> {
    let (bytes, end) = (known.bytes(), known.end);
    let mut digests = Digests::comparing(known, LISTING_BLOCK_BYTES);
    let Some(mut files) = listing(spec)? else { return Ok(None) };
    loop {
        let mut chunk = Chunk::default();
        let more = files.read(1 << 12, &mut chunk)?;
        let entries = listed::Entries::of(&chunk, 0, digests.at());
        if end.is_some_and(|end| digests.at() >= end) && !chunk.is_empty() {
            return Ok(Some(Difference::MoreFiles { count: count(&mut files, &chunk, more)? }));
        }
        let upto = usize::try_from(bytes.saturating_sub(digests.at())).unwrap_or(usize::MAX);
        let passed = &entries.bytes[..entries.bytes.len().min(upto)];
        if digests.pass(passed).is_err() {
            return Ok(digests.difference().map(|difference| entries.named(difference)));
        }
        if passed.len() < entries.bytes.len() {
            let rest = entries.behind(digests.at());
            let more_files =
                rest + if more { count(&mut files, &Chunk::default(), more)? } else { 0 };
            return Ok(end.map(|_| Difference::MoreFiles { count: more_files }));
        }
        if !more {
            return Ok((digests.at() < bytes).then_some(Difference::FewerFiles));
        }
    }
}

fn count(files: &mut dyn Source, chunk: &Chunk, mut more: bool) -> Result<u64, SourceError> {
    let mut count = chunk.len() as u64;
    while more {
        let mut chunk = Chunk::default();
        more = files.read(1 << 12, &mut chunk)?;
        count += chunk.len() as u64;
    }
    Ok(count)
}

/// What a file looks like from outside.
pub(super) fn looks(file: &File) -> io::Result<Looks> {
    let data = file.metadata()?;
    let modified = data.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let modified = modified.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
    Ok(Looks { length: Some(data.len()), modified })
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
