//! A small disk of a scenario's own, which can be filled, made larger, and made read-only.
//!
//! Owns the mounting of a `tmpfs`. It goes when it is dropped, also after a panic.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::Place;

/// A mounted folder of a [`Place`].
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// A new disk of `size` (as in `2m`) at `name` in `place`; where the system does not let this
    /// process mount one, none and a line on stderr that says so.
    ///
    /// # Panics
    /// When there is no folder to mount it on.
    pub fn or_skip(place: &Place, name: &str, size: &str) -> Option<Self> {
        let folder = place.path(name);
        std::fs::create_dir_all(&folder).expect("the scenario's folder can be written");
        let option = format!("size={size}");
        match mount(&["-t", "tmpfs", "-o", &option, "tmpfs"], &folder) {
            Ok(()) => Some(Disk { folder }),
            Err(answer) => {
                eprintln!("SKIPPED: no small disk can be mounted here: {answer}");
                None
            }
        }
    }

    /// The path of something on it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Gives it another size.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn resize(&self, size: &str) {
        self.remount(&format!("remount,size={size}"));
    }

    /// Lets nobody write to it.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn protect(&self) {
        self.remount("remount,ro");
    }

    fn remount(&self, options: &str) {
        mount(&["-o", options], &self.folder)
            .unwrap_or_else(|answer| panic!("{options}: {answer}"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Processes that are on their way out may still have files open: it goes with the last.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}

fn mount(args: &[&str], folder: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(args).arg(folder).output();
    let output = output.map_err(|error| format!("`mount` does not start: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
