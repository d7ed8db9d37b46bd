//! What all sources have in common.

use proto::{frame::RunId, unit::UnitId};

use super::{chunk::Chunk, error::SourceError};

/// Gives the values of a source in order.
pub trait Source: Send {
    /// Appends values until the chunk is full or, for a source that trickles, until waiting
    /// would be needed; at least one, unless the source has ended. Whether more may follow.
    ///
    /// # Errors
    /// [`SourceError`]; nothing can be read afterwards.
    fn read(&mut self, units_max: usize, chunk: &mut Chunk) -> Result<bool, SourceError>;

    /// Passes over so many values.
    ///
    /// # Errors
    /// [`SourceError`], as reading them.
    fn skip(&mut self, units: u64) -> Result<(), SourceError> {
        let mut left = units;
        let mut chunk = Chunk::default();
        while left > 0 {
            let more = self.read(left.min(1 << 14) as usize, &mut chunk)?;
            left = left.saturating_sub(chunk.len() as u64);
            if !more {
                break;
            }
            chunk = Chunk::default();
        }
        Ok(())
    }

    /// Goes to the unit from which `run` goes on; before anything is read. A source that knows what
    /// the run has read of it before is compared with that.
    ///
    /// # Errors
    /// [`SourceError`], as passing over the units before, or when it has changed.
    fn go_on(&mut self, run: RunId, unit: UnitId) -> Result<(), SourceError> {
        let _ = run;
        self.skip(unit)
    }
}
