//! What the ventilators of a run read, one after the other, where that can be read only once.
//!
//! Owns the stream for as long as the launcher lives, so that what a ventilator has not taken when
//! it is killed is there for the next one. A pipe or a file is handed on as it is; whatever else
//! loses bytes when its reader is killed (a terminal, a socket, a device) is passed through a pipe of
//! the launcher's own. Refuses to look at what is read.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    path::Path,
    thread,
};

use rustix::{
    fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, open},
    io::read,
    process::{Signal, getpid, kill_process},
    stdio::stdin,
};
use ventilator::source::{SourceSpec, is_fifo, is_own_stdin};

use super::children::Input;

/// What is read at once of a stream that is passed on.
const PIECE_BYTES: usize = 64 << 10;

/// Where the input of all ventilators of a run comes from.
pub struct Supply {
    id: String,
    stream: Stream,
}

enum Stream {
    /// The source has none.
    None,
    /// Standard input itself.
    Own,
    /// Something else, which is kept open here.
    Held(OwnedFd),
}

impl Supply {
    /// Takes hold of the stream that a source reads, if it reads one; waits for nobody.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn of(source: &SourceSpec) -> io::Result<Self> {
        let stream = match source {
            SourceSpec::Stdin => own()?,
            source => source.path().map_or(Ok(Stream::None), at)?,
        };
        let id = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self { id: format!("{id:016x}"), stream })
    }

    /// By what all ventilators of this launcher know the stream again, if there is one.
    pub fn id(&self) -> Option<&str> {
        (!matches!(self.stream, Stream::None)).then_some(&*self.id)
    }

    /// The input of one more ventilator.
    pub fn input(&self) -> Input {
        match &self.stream {
            Stream::None => Input::Nothing,
            Stream::Own => Input::Inherited,
            Stream::Held(stream) => stream.try_clone().map_or(Input::Nothing, Input::Held),
        }
    }
}

fn own() -> io::Result<Stream> {
    match fstat(stdin()).map(|data| FileType::from_raw_mode(data.st_mode)) {
        Ok(FileType::Fifo | FileType::RegularFile | FileType::Directory) => Ok(Stream::Own),
        Ok(_) => Ok(Stream::Held(passed_on()?)),
        // It is closed; the ventilator says so.
        Err(_) => Ok(Stream::Own),
    }
}

fn at(path: &Path) -> io::Result<Stream> {
    if is_own_stdin(path) {
        return own();
    }
    if !is_fifo(path) {
        return Ok(Stream::None);
    }
    // Without waiting for its writer: whoever reads it waits for that one.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // Who may not read it is told so by the ventilator.
    let Ok(stream) = open(path, flags, Mode::empty()) else { return Ok(Stream::None) };
    fcntl_setfl(&stream, fcntl_getfl(&stream)? & !OFlags::NONBLOCK)?;
    Ok(Stream::Held(stream))
}

/// The end of a pipe into which a thread puts what comes from standard input.
fn passed_on() -> io::Result<OwnedFd> {
    let (reader, writer) = io::pipe()?;
    let writer = File::from(OwnedFd::from(writer));
    thread::Builder::new().name("input".into()).spawn(move || pass_on(writer))?;
    Ok(reader.into())
}

fn pass_on(mut writer: File) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = match read(stdin(), &mut *piece) {
            Err(rustix::io::Errno::INTR) => continue,
            // A terminal that is gone.
            Ok(0) | Err(rustix::io::Errno::IO) => return,
            Ok(count) => count,
            Err(error) => return give_up(writer, &error.into()),
        };
        if let Err(error) = writer.write_all(&piece[..count]) {
            return give_up(writer, &error);
        }
    }
}

/// What was read is not all: the run must not take it for that, so it sees no end, and is drained as
/// by Ctrl-C.
fn give_up(writer: File, error: &io::Error) {
    tracing::error!(%error, "standard input cannot be read any further");
    std::mem::forget(writer);
    let _ = kill_process(getpid(), Signal::TERM);
}
