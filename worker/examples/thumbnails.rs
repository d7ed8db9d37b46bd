//! A worker program of one's own: makes a thumbnail of each picture whose path it is given.
//!
//! Owns what it does with one picture; everything else (flags, connections, retries, leaving) is
//! [`worker::main`]'s. The topology `topologies/thumbnails.toml` runs it, with two variables:
//! `THUMBNAIL_SIDE`, the longer side in pixels [default: 128], and `THUMBNAIL_DIR`, the folder
//! [default: `thumbnails`].
//!
//! It also shows what a worker with side effects has to mind. A result reaches the sink exactly
//! once, but a unit can be worked on more than once, even by two workers at the same time: after
//! a crash, a disconnection, or when one of them is slow. So a thumbnail is written to a file
//! that is this process's alone, and then renamed to the name that this unit has in every
//! attempt. Whoever comes second replaces a finished picture with the same one; nobody ever sees
//! half of one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, ExitCode},
};

use image::{ImageError, ImageFormat};
use serde::Serialize;
use worker::{Emit, Typed, Unit, Worker};

/// What becomes of a picture; a line of the output.
#[derive(Debug, Serialize)]
struct Thumbnail {
    path: PathBuf,
    width: u32,
    height: u32,
    bytes: u64,
}

/// Makes thumbnails of one size in one folder.
struct Thumbnails {
    side: u32,
    folder: PathBuf,
}

impl Thumbnails {
    fn from_environment() -> Result<Self, String> {
        let side = env::var("THUMBNAIL_SIDE").unwrap_or_else(|_| "128".into());
        let folder = env::var_os("THUMBNAIL_DIR").unwrap_or_else(|| "thumbnails".into());
        match side.parse() {
            Ok(side @ 1..) => Ok(Self { side, folder: folder.into() }),
            _ => Err(format!("THUMBNAIL_SIDE is `{side}`, but has to be a number of pixels")),
        }
    }

    /// The name of a unit's thumbnail: the same in every attempt, and no other unit's, even if
    /// two folders have pictures of one name.
    fn path(&self, unit: &Unit<'_>, picture: &Path) -> PathBuf {
        let stem = picture.file_stem().unwrap_or_default().to_string_lossy();
        self.folder.join(format!("{unit}-{stem}.png"))
    }
}

impl Worker for Thumbnails {
    type Input = PathBuf;
    type Output = Thumbnail;
    type Error = ImageError;

    fn set_up(&mut self) -> Result<(), ImageError> {
        Ok(fs::create_dir_all(&self.folder)?)
    }

    fn work(
        &mut self,
        unit: &Unit<'_>,
        picture: PathBuf,
        emit: &mut Emit<'_, Thumbnail>,
    ) -> Result<(), ImageError> {
        let small = image::open(&picture)?.thumbnail(self.side, self.side);
        let path = self.path(unit, &picture);
        let bytes = replace(&path, |unfinished| {
            small.save_with_format(unfinished, ImageFormat::Png)?;
            Ok(fs::metadata(unfinished)?.len())
        })?;
        emit.send(&Thumbnail { path, width: small.width(), height: small.height(), bytes });
        Ok(())
    }
}

/// Writes a file so that at any moment there is a whole one at `path`, or none: under a name that
/// no other process uses, then renamed.
fn replace<T>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<T, ImageError>,
) -> Result<T, ImageError> {
    let unfinished = path.with_extension(format!("{}.part", process::id()));
    let written = write(&unfinished).and_then(|written| {
        fs::rename(&unfinished, path)?;
        Ok(written)
    });
    if written.is_err() {
        // The error is told; a rest that cannot be removed either changes nothing about it.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn main() -> ExitCode {
    match Thumbnails::from_environment() {
        Ok(thumbnails) => worker::main(Typed(thumbnails)),
        Err(problem) => {
            eprintln!("thumbnails: {problem}");
            ExitCode::from(64)
        }
    }
}
