//! A source that a resumed run reads no further before what was read of it is compared.
//!
//! Owns the way of the raw bytes past the digests, and the proof when the place is known from which
//! the run goes on; refuses to know values.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use proto::{frame::RunId, unit::UnitId};

use super::{
    Chunk, Source, SourceError, SourceSpec,
    blocks::Input,
    compare,
    digests::{BLOCK_BYTES, Difference, Digests, LISTING_BLOCK_BYTES, Looks},
    listed::Listed,
};

type Shared = Arc<Mutex<Digests>>;

fn locked(digests: &Shared) -> MutexGuard<'_, Digests> {
    digests.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file whose bytes pass the digests before anybody is given one.
pub(super) struct Digested {
    file: File,
    digests: Shared,
}

impl Input for Digested {
    fn append(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        let (before, room) = (to.len(), to.capacity() > to.len());
        let count = self.file.append(to)?;
        let mut digests = locked(&self.digests);
        let passed = match count {
            0 if room => digests.end(),
            _ => digests.pass(&to[before..]),
        };
        // What differs is not for anybody to use.
        passed.inspect_err(|_| to.truncate(before))?;
        Ok(count)
    }
}

/// What the proof looks at besides what passes.
enum Subject {
    File(File),
    Listing(SourceSpec),
}

/// A source with its proof.
pub(super) struct Proven {
    source: Box<dyn Source>,
    digests: Shared,
    path: PathBuf,
    subject: Subject,
}

impl Proven {
    /// A file; what reads it is made of its bytes.
    pub(super) fn file(
        path: &Path,
        run_dir: &Path,
        make: impl FnOnce(Box<dyn Input>) -> Box<dyn Source>,
    ) -> Result<Self, SourceError> {
        let failed = |source| SourceError::Io { path: path.into(), source };
        let digests = Digests::open(run_dir, BLOCK_BYTES)
            .map_err(|source| SourceError::Io { path: run_dir.into(), source })?;
        let digests = Arc::new(Mutex::new(digests));
        let file = File::open(path).map_err(failed)?;
        let other = File::open(path).map_err(failed)?;
        let source = make(Box::new(Digested { file, digests: digests.clone() }));
        Ok(Self { source, digests, path: path.into(), subject: Subject::File(other) })
    }

    /// What a pattern finds.
    pub(super) fn listing(
        spec: &SourceSpec,
        pattern: &str,
        run_dir: &Path,
        files: Box<dyn Source>,
    ) -> Result<Self, SourceError> {
        let digests = Digests::open(run_dir, LISTING_BLOCK_BYTES)
            .map_err(|source| SourceError::Io { path: run_dir.into(), source })?;
        let digests = Arc::new(Mutex::new(digests));
        let source = Box::new(Listed::new(files, pattern.into(), digests.clone()));
        let (path, subject) = (pattern.into(), Subject::Listing(spec.clone()));
        Ok(Self { source, digests, path, subject })
    }

    fn failed(&self, source: io::Error) -> SourceError {
        match locked(&self.digests).difference() {
            Some(difference) => self.changed(difference),
            None => SourceError::Io { path: self.path.clone(), source },
        }
    }

    fn changed(&self, difference: Difference) -> SourceError {
        SourceError::Changed { path: self.path.clone(), difference }
    }

    /// A problem, or that which is behind it: the source has changed.
    fn explained(&self, error: SourceError) -> SourceError {
        match locked(&self.digests).difference() {
            Some(difference) => match error {
                error @ SourceError::Changed { .. } => error,
                _ => self.changed(difference),
            },
            None => error,
        }
    }

    fn looks(&self) -> io::Result<Looks> {
        match &self.subject {
            Subject::File(file) => compare::looks(file),
            Subject::Listing(_) => Ok(Looks::default()),
        }
    }

    /// Compares what was read and has not passed again yet.
    fn prove(&self) -> Result<(), SourceError> {
        let (known, at, last) = {
            let digests = locked(&self.digests);
            (digests.known().clone(), digests.at(), digests.last())
        };
        let difference = match &self.subject {
            Subject::File(file) => {
                let first = usize::try_from(at / BLOCK_BYTES).unwrap_or(usize::MAX);
                let failed = |source| SourceError::Io { path: self.path.clone(), source };
                let looks = compare::looks(file).map_err(failed)?;
                let unproven = last > known.bytes() && looks != known.looks;
                let unproven = unproven.then(|| Difference::Unproven { from: known.bytes() });
                compare::of_file(file, &known, first).map_err(failed)?.or(unproven)
            }
            Subject::Listing(spec) => compare::of_listing(spec, known)?,
        };
        difference.map_or(Ok(()), |difference| Err(self.changed(difference)))
    }
}

impl Source for Proven {
    fn read(&mut self, units_max: usize, chunk: &mut Chunk) -> Result<bool, SourceError> {
        let read = self.source.read(units_max, chunk);
        read.map_err(|error| self.explained(error))
    }

    fn skip(&mut self, units: u64) -> Result<(), SourceError> {
        let skipped = self.source.skip(units);
        skipped.map_err(|error| self.explained(error))
    }

    fn go_on(&mut self, run: RunId, unit: UnitId) -> Result<(), SourceError> {
        let begun = self.looks().and_then(|looks| locked(&self.digests).begin(run, looks));
        begun.map_err(|error| self.failed(error))?;
        match self.skip(unit) {
            // What can't be understood may be what has changed.
            Err(error) => Err(self.prove().err().unwrap_or(error)),
            Ok(()) => {
                self.prove()?;
                let recorded = locked(&self.digests).proven();
                recorded.map_err(|error| self.failed(error))
            }
        }
    }
}

/// A source of which nothing is kept.
pub(super) struct Unproven(pub(super) Box<dyn Source>);

impl Source for Unproven {
    fn read(&mut self, units_max: usize, chunk: &mut Chunk) -> Result<bool, SourceError> {
        self.0.read(units_max, chunk)
    }

    fn skip(&mut self, units: u64) -> Result<(), SourceError> {
        self.0.skip(units)
    }

    fn go_on(&mut self, run: RunId, unit: UnitId) -> Result<(), SourceError> {
        if unit > 0 {
            tracing::warn!(
                unit,
                "going on in the source without a --run-dir: whether it is the one that the run began with can't be seen"
            );
        }
        self.0.go_on(run, unit)
    }
}
