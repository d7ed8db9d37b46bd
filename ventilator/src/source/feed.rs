//! A stream that can be read only once, and which one it is.
//!
//! Owns how its bytes come into a file, and by what a later process knows the stream again; refuses
//! to remember how far it was read.

use std::{
    fs::{self, File},
    io::{self, IsTerminal},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{FileExt, FileTypeExt, MetadataExt},
    },
    path::Path,
};

use proto::{process, streams};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat, fstatfs},
    pipe::{SpliceFlags, splice},
};

/// The variable by which a launcher says that standard input is the source's stream, which it holds
/// for every ventilator that it starts. Its value is drawn anew by each launcher.
pub const STREAM_VARIABLE: &str = "PIPELINE_STREAM";

/// What `fstatfs` says of a pipe without a name, and of a socket: their inode numbers are the
/// kernel's own, one for each as long as the machine runs.
const PIPEFS_MAGIC: u64 = 0x5049_5045;
const SOCKFS_MAGIC: u64 = 0x534f_434b;

/// How the bytes come out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The kernel moves them (`splice`): those that a kill leaves in the pipe were not taken.
    Pipe,
    /// It has places, so that they can be read again.
    File,
    /// They are read and then written: a kill in between loses some.
    Other,
}

/// A stream.
#[derive(Debug)]
pub(super) struct Feed {
    file: File,
    kind: Kind,
    identity: Option<String>,
}

impl Feed {
    /// Standard input.
    pub(super) fn stdin() -> io::Result<Self> {
        streams::has_input().map_err(io::Error::other)?;
        let held = held_by().map(|id| format!("launcher {id}"));
        Self::new(io::stdin().as_fd().try_clone_to_owned()?, held)
    }

    /// What stands at a path, such as a FIFO; waits until somebody writes to it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::new(File::open(path)?.into(), None)
    }

    /// A stream by its descriptor; `held` is how whoever holds it calls it.
    pub(super) fn new(fd: OwnedFd, held: Option<String>) -> io::Result<Self> {
        let kind = match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
            FileType::Fifo => Kind::Pipe,
            FileType::RegularFile => Kind::File,
            _ => Kind::Other,
        };
        let identity = kernels_name(&fd)?.or(held);
        Ok(Self { file: fd.into(), kind, identity })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// By what a later process knows it again, if that is possible.
    pub(super) fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// Device and inode of a regular file.
    pub(super) fn place(&self) -> io::Result<Option<(u64, u64)>> {
        let data = self.file.metadata()?;
        Ok((self.kind == Kind::File).then(|| (data.dev(), data.ino())))
    }

    /// Where a regular file is read from by whoever has it now; 0 for all else.
    pub(super) fn offset(&self) -> io::Result<u64> {
        match self.kind {
            Kind::File => Ok(rustix::fs::tell(&self.file)?),
            _ => Ok(0),
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }

    /// Whether it has something to say at once, be it that it has ended.
    pub(super) fn offers(&self) -> bool {
        let mut ready = [PollFd::new(&self.file, PollFlags::IN)];
        poll(&mut ready, Some(&Timespec::default())).is_ok_and(|count| count > 0)
    }

    /// Its descriptor, to be read from.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// A FIFO that nobody has written to yet would count as one that has ended.
    pub(super) fn await_writer(&self) -> io::Result<()> {
        if self.kind == Kind::Pipe {
            poll(&mut [PollFd::new(&self.file, PollFlags::IN)], None)?;
        }
        Ok(())
    }

    /// Moves what is there, at most `most` bytes, to `offset` in a file; none at the end. A regular
    /// file is read at its byte `at`; all else is where it is.
    pub(super) fn take(&self, at: u64, to: &File, offset: u64, most: usize) -> io::Result<usize> {
        loop {
            let moved = match self.kind {
                Kind::Pipe => self.splice(to, offset, most),
                Kind::File => self.copy(to, offset, most, |piece| self.file.read_at(piece, at)),
                Kind::Other => self
                    .copy(to, offset, most, |piece| Ok(rustix::io::read(&self.file, &mut *piece)?)),
            };
            match moved {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                moved => return moved,
            }
        }
    }

    fn splice(&self, to: &File, mut offset: u64, most: usize) -> io::Result<usize> {
        self.await_writer()?;
        Ok(splice(&self.file, None, to, Some(&mut offset), most, SpliceFlags::empty())?)
    }

    fn copy(
        &self,
        to: &File,
        offset: u64,
        most: usize,
        read: impl Fn(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut piece = vec![0; most];
        let count = read(&mut piece)?;
        to.write_all_at(&piece[..count], offset)?;
        Ok(count)
    }
}

/// What the kernel alone calls it, until the machine is started anew.
fn kernels_name(fd: &OwnedFd) -> io::Result<Option<String>> {
    let kind = match u64::try_from(fstatfs(fd)?.f_type) {
        Ok(PIPEFS_MAGIC) => "pipe",
        Ok(SOCKFS_MAGIC) => "socket",
        _ => return Ok(None),
    };
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(Some(format!("{kind} {} {}", boot.trim(), fstat(fd)?.st_ino)))
}

/// Whether a path is another name of this process's standard input.
pub fn is_own_stdin(path: &Path) -> bool {
    ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].iter().any(|name| path == Path::new(name))
}

/// Whether what stands at a path has a name of its own and can be read only once.
pub fn is_fifo(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.file_type().is_fifo())
}

/// How the launcher that holds standard input calls it, if this process has one. What anybody else
/// has left in the variable says nothing.
fn held_by() -> Option<String> {
    std::env::var(STREAM_VARIABLE).ok().filter(|_| process::has_launcher())
}

/// Whether what stands at a path can be read only once.
pub(super) fn at_is_stream(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| !data.is_file() && !data.is_dir())
}

/// The stream at a path; none if it is a file or a folder, which can be read again.
pub(super) fn at(path: &Path) -> io::Result<Option<Feed>> {
    let data = fs::metadata(path)?;
    if data.is_file() || data.is_dir() {
        return Ok(None);
    }
    if held_by().is_some() || is_own_stdin(path) { Feed::stdin() } else { Feed::open(path) }
        .map(Some)
}
