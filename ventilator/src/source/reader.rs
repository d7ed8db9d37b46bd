//! The thread that reads the source: a read may block for as long as it likes.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use proto::{net::driver::Handle, unit::UnitId, units::Units};

use super::{Chunk, Source, SourceError};
use crate::core::{Reply, Request};

/// A larger value would not fit a frame together with what travels along.
const VALUE_BYTES_MAX: u64 = 20 << 20;

/// The way to a reading thread; it ends when this is dropped.
pub struct SourceThread {
    requests: Sender<Request>,
}

impl SourceThread {
    /// Passes a request on.
    pub fn ask(&self, request: Request) {
        // If the thread is gone it has reported why.
        let _ = self.requests.send(request);
    }
}

/// Starts a thread that reads `source` on request and replies to `handle`. With `pairs`, each
/// value is given as a pair of itself and itself.
///
/// # Errors
/// When no thread can be made.
pub fn spawn(
    source: Box<dyn Source>,
    pairs: bool,
    handle: Handle<Reply>,
) -> std::io::Result<SourceThread> {
    let (requests, received) = channel();
    thread::Builder::new()
        .name("source".into())
        .spawn(move || serve(source, pairs, &received, &handle))?;
    Ok(SourceThread { requests })
}

fn serve(
    mut source: Box<dyn Source>,
    pairs: bool,
    requests: &Receiver<Request>,
    handle: &Handle<Reply>,
) {
    let mut next: UnitId = 0;
    for request in requests {
        let outcome = match request {
            Request::Note(_) | Request::Queue(_) => Ok(None),
            Request::Seek { run, unit } => source.go_on(run, unit).map(|()| {
                next = unit;
                None
            }),
            Request::Read(units_max) => {
                read(&mut *source, units_max, pairs).map(|(chunk, more)| {
                    let units = Units::from_source(next, chunk.payload, chunk.ends);
                    next += units.len() as u64;
                    Some(Reply::Read { units, ended: !more })
                })
            }
        };
        match outcome {
            Ok(Some(reply)) => handle.carry_in(reply),
            Ok(None) => {}
            Err(error @ SourceError::Changed { .. }) => {
                return handle.reply(Reply::Changed(error.to_string()));
            }
            Err(error) => return handle.reply(Reply::Failed(error.to_string())),
        }
    }
}

fn read(
    source: &mut dyn Source,
    units_max: u64,
    pairs: bool,
) -> Result<(Chunk, bool), SourceError> {
    let mut chunk = Chunk::default();
    let more = source.read(usize::try_from(units_max).unwrap_or(usize::MAX), &mut chunk)?;
    // Where all together are small enough, each one is.
    if chunk.payload.len() as u64 > VALUE_BYTES_MAX {
        refuse_large(&chunk)?;
    }
    Ok((if pairs { in_pairs(&chunk) } else { chunk }, more))
}

fn refuse_large(chunk: &Chunk) -> Result<(), SourceError> {
    let starts = std::iter::once(&0).chain(&chunk.ends);
    for (index, (start, end)) in starts.zip(&chunk.ends).enumerate() {
        let bytes = u64::from(end - start);
        if bytes > VALUE_BYTES_MAX {
            return Err(SourceError::Large { index: index as u64, bytes });
        }
    }
    Ok(())
}

/// `[value, value]` for each value.
fn in_pairs(chunk: &Chunk) -> Chunk {
    const ARRAY_OF_TWO: u8 = 0x92;
    let mut pairs = Chunk::default();
    let mut start = 0;
    for end in &chunk.ends {
        let value = &chunk.payload[start..*end as usize];
        pairs.payload.push(ARRAY_OF_TWO);
        pairs.payload.extend_from_slice(value);
        pairs.payload.extend_from_slice(value);
        pairs.end_value();
        start = *end as usize;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_hold_the_value_twice() {
        let mut chunk = Chunk::default();
        chunk.push(&7);
        chunk.push(&"a");
        let pairs = in_pairs(&chunk);
        let second = &pairs.payload[pairs.ends[0] as usize..];
        assert_eq!(
            rmp_serde::from_slice::<(String, String)>(second).unwrap(),
            ("a".into(), "a".into())
        );
    }
}
