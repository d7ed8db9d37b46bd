//! The folders of a run: can they be written, is there room?
//!
//! Owns how much room is little; tries with files that have no name, or go at once.

use std::{env, fs, path::Path};

use rustix::fs::statvfs;

use super::{Finding, Health};
use crate::up::workplace::{PrivateFolder, SOCKET_PATH_BYTES_MAX, WORKER_SOCKET_BYTES_MAX};

/// What outcomes that wait may take of the disk, unless a topology says otherwise.
const LITTLE: u64 = 1 << 30;
/// With less nothing can be done at all.
const NOTHING: u64 = 16 << 20;

/// The private folder for sockets, made as a run makes it.
pub(super) fn sockets() -> Finding {
    const SUBJECT: &str = "sockets";
    let folder = match PrivateFolder::make() {
        Ok(folder) => folder,
        Err(error) => return Finding::of(SUBJECT, Health::Fail, error),
    };
    let path = folder.path();
    let bytes = path.as_os_str().len() + WORKER_SOCKET_BYTES_MAX;
    let base = path.parent().unwrap_or(path);
    let text =
        format!("in {}, paths of up to {bytes} bytes of {SOCKET_PATH_BYTES_MAX}", base.display());
    match env::var_os("XDG_RUNTIME_DIR").filter(|runtime| !runtime.is_empty()) {
        Some(runtime) if !path.starts_with(&runtime) => Finding::warn(
            SUBJECT,
            format!(
                "{text}; XDG_RUNTIME_DIR is {}, which is not there, not yours, not writable, or long",
                Path::new(&runtime).display()
            ),
            "unset XDG_RUNTIME_DIR, or have it made",
        ),
        _ => Finding::ok(SUBJECT, text),
    }
}

/// The current folder, where the runs of topologies in it are kept.
pub(super) fn runs() -> Finding {
    const SUBJECT: &str = "runs";
    let here = match env::current_dir() {
        Ok(here) => here,
        Err(error) => {
            return Finding::fail(
                SUBJECT,
                format!("the current folder can't be found: {error}"),
                "change to another one: cd",
            );
        }
    };
    let kept = here.join(".pipeline");
    let looked = if kept.is_dir() { kept.as_path() } else { &here };
    writable(SUBJECT, looked, "give --run-dir DIR, or --ephemeral")
        .unwrap_or_else(|| roomy(SUBJECT, looked))
}

/// Where temporary files lie.
pub(super) fn temporary() -> Finding {
    let folder = env::temp_dir();
    writable("temporary", &folder, "set TMPDIR to a folder that can be written")
        .unwrap_or_else(|| roomy("temporary", &folder))
}

/// Shared memory, which Python's own packages use.
pub(super) fn shared_memory() -> Finding {
    const SUBJECT: &str = "shm";
    let folder = Path::new("/dev/shm");
    match fs::metadata(folder) {
        Ok(data) if data.is_dir() && tempfile::tempfile_in(folder).is_ok() => Finding::ok(
            SUBJECT,
            format!("/dev/shm has {}", free(folder).map_or_else(|| "room".into(), shown)),
        ),
        _ => Finding::warn(
            SUBJECT,
            "/dev/shm can't be written; no run needs it, but functions in Python may",
            "run: mount -t tmpfs tmpfs /dev/shm (as root), or start the container with --shm-size 64m",
        ),
    }
}

fn writable(subject: &'static str, folder: &Path, mend: &str) -> Option<Finding> {
    let error = tempfile::tempfile_in(folder).err()?;
    Some(Finding::fail(subject, format!("{} can't be written: {error}", folder.display()), mend))
}

fn roomy(subject: &'static str, folder: &Path) -> Finding {
    let Some(free) = free(folder) else {
        return Finding::ok(subject, folder.display().to_string());
    };
    let text = format!("{} has {} of room", folder.display(), shown(free));
    let mend = format!("see what takes it: du -xh {} | sort -h | tail", folder.display());
    match free {
        free if free < NOTHING => Finding::fail(subject, text, mend),
        free if free < LITTLE => Finding::warn(subject, text, mend),
        _ => Finding::ok(subject, text),
    }
}

fn free(folder: &Path) -> Option<u64> {
    let found = statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn shown(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 1 << 30 => format!("{} GiB", bytes >> 30),
        bytes => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_fails_with_what_to_do() {
        let finding = writable("runs", Path::new("/no/such"), "give --run-dir DIR").unwrap();
        assert_eq!(finding.health, Health::Fail);
        assert!(finding.text.starts_with("/no/such can't be written: "), "{finding}");
    }

    #[test]
    fn room_is_told_in_units() {
        assert_eq!(shown(3 << 30), "3 GiB");
        assert_eq!(shown(5 << 20), "5 MiB");
    }
}
