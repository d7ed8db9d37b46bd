//! The private folders that the list of runs may lie in.
//!
//! Owns where they are, and that nobody but this user has a hand in them; refuses to know what lies
//! in them. There are several, since a run may be started by a service or over ssh, where less is
//! known of the user than at the desk: a run is listed in the first that can be used, and looked for
//! in all, and in the usual runtime folder even where nothing names it, as under cron or `su`.

use std::{
    env,
    ffi::OsStr,
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::process::getuid;

/// Where the system has the users' runtime folders.
const USUAL: &str = "/run/user";
/// The permissions of anyone else.
const OTHERS: u32 = 0o077;

/// Where the list may be, best first; none of them has to be there.
pub fn candidates() -> Vec<PathBuf> {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| is_own(path));
    let runtime = runtime.map(|path| listed_in(&path));
    let temporary = Path::new("/tmp").join(format!("pipeline-runs-{}", getuid().as_raw()));
    let state = state().map(|path| path.join("runs"));
    runtime.into_iter().chain(state).chain([temporary]).collect()
}

fn listed_in(runtime: &Path) -> PathBuf {
    runtime.join("pipeline")
}

/// Where runs may be listed: where this process would, and where one would that knows more of the user.
pub fn looked_in() -> Vec<PathBuf> {
    let given = env::var_os("XDG_RUNTIME_DIR");
    let usual = usual(given.as_deref(), Path::new(USUAL));
    usual.into_iter().chain(candidates()).collect()
}

/// The list in this user's runtime folder, unless the variable names one, or is empty: then there is none.
fn usual(given: Option<&OsStr>, base: &Path) -> Option<PathBuf> {
    let runtime = base.join(getuid().as_raw().to_string());
    (given.is_none() && is_own(&runtime)).then(|| listed_in(&runtime))
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
    looked_in().into_iter().filter(|path| is_private(path)).collect()
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

    /// Without the variable, as under cron and `su`, a service that was started at the desk was not found.
    #[test]
    fn the_usual_runtime_folder_is_looked_in_if_no_variable_says_where_it_is() {
        let base = tempfile::tempdir().unwrap();
        assert_eq!(usual(None, base.path()), None, "it is not there");
        let own = base.path().join(getuid().as_raw().to_string());
        fs::create_dir(&own).unwrap();
        assert_eq!(usual(None, base.path()), Some(own.join("pipeline")));
        for given in ["/run/user/7", ""] {
            assert_eq!(usual(Some(OsStr::new(given)), base.path()), None, "{given:?}");
        }
    }

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
