//! The private folders that the list of runs may lie in.
//!
//! Owns where they are, and that nobody but this user has a hand in them; refuses to know what lies
//! in them. There are several, since a run may be started by a service or over ssh, where less is
//! known of the user than at the desk: a run is listed in the first that can be used, and looked for
//! in all.

use std::{
    env,
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::process::getuid;

/// The permissions of anyone else.
const OTHERS: u32 = 0o077;

/// Where the list may be, best first; none of them has to be there.
pub fn candidates() -> Vec<PathBuf> {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| is_own(path));
    let runtime = runtime.map(|path| path.join("pipeline"));
    let temporary = Path::new("/tmp").join(format!("pipeline-runs-{}", getuid().as_raw()));
    let state = state().map(|path| path.join("runs"));
    runtime.into_iter().chain(state).chain([temporary]).collect()
}

/// What this program keeps for its user: `pipeline` in the state directory, if there is a home.
pub fn state() -> Option<PathBuf> {
    let given = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::home_dir().filter(|home| home.is_absolute() && home.is_dir());
    let state = given.or_else(|| Some(home()?.join(".local/state")))?;
    Some(state.join("pipeline"))
}

/// The first that can be used; it is made if it is not there.
pub fn make() -> Option<PathBuf> {
    candidates().into_iter().find(|path| make_private(path))
}

/// Makes a folder, for this user alone; whether it is that now.
pub fn make_private(path: &Path) -> bool {
    // Those above it may be of any kind.
    let _ = path.parent().map(fs::create_dir_all);
    let _ = DirBuilder::new().mode(0o700).create(path);
    is_private(path) && rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

/// Those that are there.
pub fn existing() -> Vec<PathBuf> {
    candidates().into_iter().filter(|path| is_private(path)).collect()
}

/// Whether it is a folder, no link to one, that only this user may enter.
pub fn is_private(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|data| {
        data.is_dir() && data.uid() == getuid().as_raw() && data.mode() & OTHERS == 0
    })
}

/// Whether it is a folder of this user's.
fn is_own(path: &Path) -> bool {
    let is_own = |data: fs::Metadata| data.is_dir() && data.uid() == getuid().as_raw();
    path.is_absolute() && fs::metadata(path).is_ok_and(is_own)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_a_folder_that_nobody_else_may_enter_is_used() {
        let base = tempfile::tempdir().unwrap();
        let path = |name: &str| base.path().join(name);
        assert!(make_private(&path("new")) && make_private(&path("new")), "twice");
        assert!(make_private(&path("a/b/deep")));
        fs::create_dir(path("open")).unwrap();
        fs::set_permissions(path("open"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path("file"), "").unwrap();
        std::os::unix::fs::symlink(path("new"), path("link")).unwrap();
        for name in ["open", "file", "link"] {
            assert!(!make_private(&path(name)), "{name}");
        }
    }
}
