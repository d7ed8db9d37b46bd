//! The paths of files that match a pattern.

use std::path::PathBuf;

use super::{Chunk, Source, SourceError};

/// Sorted paths.
pub struct Files {
    paths: std::vec::IntoIter<PathBuf>,
}

impl Files {
    /// Looks the files up, once; folders are left out.
    ///
    /// # Errors
    /// [`SourceError`] when the pattern is none, or a folder can't be read.
    pub fn find(pattern: &str) -> Result<Self, SourceError> {
        let found = glob::glob(pattern).map_err(|error| SourceError::Pattern {
            pattern: pattern.into(),
            problem: error.msg.into(),
        })?;
        let mut paths = Vec::new();
        for path in found {
            let path = path.map_err(|error| SourceError::Io {
                path: error.path().into(),
                source: std::io::Error::new(error.error().kind(), error.error().to_string()),
            })?;
            if path.is_file() {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(Self { paths: paths.into_iter() })
    }

    /// The paths.
    pub fn into_paths(self) -> impl Iterator<Item = PathBuf> {
        self.paths
    }
}

impl Source for Files {
    fn read(&mut self, units_max: usize, chunk: &mut Chunk) -> Result<bool, SourceError> {
        while !chunk.is_full(units_max) {
            let Some(path) = self.paths.next() else { break };
            chunk.push(&path.to_string_lossy());
        }
        Ok(self.paths.len() > 0)
    }
}
