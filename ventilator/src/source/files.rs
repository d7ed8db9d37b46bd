//! The paths of files that match a pattern, as units.
//!
//! Owns the form of such a unit: a path is a text, or the bytes of it where it is no UTF-8. The
//! files are looked up once, before the first unit: what a run makes is not found by it.

use std::{
    ffi::OsString,
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use proto::value::push_str;
use serde_bytes::Bytes;

use super::{
    Chunk, Source, SourceError,
    left_out::LeftOut,
    own::Own,
    pattern::Pattern,
    records::{Cursor, Records},
    walk::{self, Ground, join},
};

/// Bytes of paths that are read at once.
const STEP_BYTES: usize = 64 << 10;
/// A record is a folder's path, or the name of a file in the folder before it.
const FOLDER: u8 = 0;
const NAME: u8 = 1;

/// Files in the order of their paths.
pub struct Files {
    pattern: String,
    spill: PathBuf,
    left_out: LeftOut,
    paths: Records,
    count: u64,
    next: u64,
    way: Way,
}

/// A way through the paths.
struct Way {
    cursor: Cursor,
    folder: PathBuf,
}

impl Way {
    fn through(paths: &Records) -> Self {
        Self { cursor: Cursor::over(0..paths.end(), STEP_BYTES), folder: PathBuf::new() }
    }

    fn next(&mut self, paths: &Records) -> io::Result<Option<PathBuf>> {
        while let Some((tag, bytes)) = self.cursor.next(paths)? {
            let bytes = OsString::from_vec(bytes);
            if tag == NAME {
                return Ok(Some(join(&self.folder, &bytes)));
            }
            self.folder = bytes.into();
        }
        Ok(None)
    }
}

impl Files {
    /// Looks the files up that match `pattern`, below `folder` unless it is absolute. What is in
    /// `own` is left out, as the run's own. A long list is kept in a file without a name in the
    /// folder `spill`.
    ///
    /// # Errors
    /// [`SourceError`] when the pattern is none, a folder can't be read, or there is no place for
    /// the list.
    pub fn find(
        pattern: &str,
        folder: &Path,
        own: &[PathBuf],
        spill: &Path,
    ) -> Result<Self, SourceError> {
        let parsed = Pattern::parse(pattern).map_err(|error| SourceError::Pattern {
            pattern: pattern.into(),
            problem: error.problem,
        })?;
        let (mut paths, mut count, mut last) = (Records::new(spill), 0, None);
        let ground = Ground { folder, own: &Own::new(own), spill };
        let left_out = walk::find(&parsed, ground, &mut |folder, name| {
            if last.as_deref() != Some(folder) {
                last = Some(folder.to_path_buf());
                paths.push(FOLDER, folder.as_os_str().as_bytes())?;
            }
            count += 1;
            paths.push(NAME, name.as_bytes())
        })?;
        let way = Way::through(&paths);
        let (pattern, spill) = (pattern.into(), spill.into());
        Ok(Self { pattern, spill, left_out, paths, count, next: 0, way })
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The paths, up to one that can't be had again.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let mut way = Way::through(&self.paths);
        std::iter::from_fn(move || way.next(&self.paths).ok().flatten())
    }

    /// What there is to say about the search, a sentence each.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        let none = self.is_empty().then(|| format!("no file matches `{}`", self.pattern));
        self.left_out.sentences().chain(none)
    }

    fn give(&mut self) -> Result<Option<PathBuf>, SourceError> {
        let lost = |source| SourceError::Io { path: self.spill.clone(), source };
        let path = self.way.next(&self.paths).map_err(lost)?;
        self.next += u64::from(path.is_some());
        Ok(path)
    }
}

impl Source for Files {
    fn read(&mut self, units_max: usize, chunk: &mut Chunk) -> Result<bool, SourceError> {
        if self.next == 0 {
            self.notes().for_each(|note| tracing::warn!("{note}"));
        }
        while !chunk.is_full(units_max) {
            let Some(path) = self.give()? else { break };
            match path.to_str() {
                Some(text) => {
                    push_str(&mut chunk.payload, text);
                    chunk.end_value();
                }
                None => chunk.push(&Bytes::new(path.as_os_str().as_bytes())),
            }
        }
        Ok(self.next < self.len())
    }

    fn skip(&mut self, units: u64) -> Result<(), SourceError> {
        let end = self.next.saturating_add(units);
        while self.next < end && self.give()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, fs, os::unix::fs::symlink};

    use super::*;

    /// A folder with these files; a name may be no UTF-8.
    fn folder_of(names: &[&[u8]]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(OsStr::from_bytes(name));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    fn found(folder: &Path, pattern: &str, own: &[&str]) -> (Vec<String>, Vec<String>) {
        let own: Vec<_> = own.iter().map(|name| folder.join(name)).collect();
        let files = Files::find(pattern, folder, &own, folder).unwrap();
        let below = |path: &Path| path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
        let paths = files.paths().map(|path| below(&path)).collect();
        let prefix = format!("{}/", folder.display());
        (paths, files.notes().map(|note| note.replace(&prefix, "")).collect())
    }

    fn matches(folder: &Path, pattern: &str) -> Vec<String> {
        found(folder, pattern, &[]).0
    }

    /// Patterns and what they match: the files of a folder, in the order of their paths.
    #[test]
    fn a_pattern_matches_as_in_a_shell_and_hidden_files_too() {
        let names: [&[u8]; 8] = [
            b"b.txt",
            b"a.txt",
            b".hidden.txt",
            b"c.md",
            b"d/e.txt",
            b"d/f/g.txt",
            b"d.txt/h",
            b"[x].txt",
        ];
        let folder = folder_of(&names);
        let matches = |pattern| matches(folder.path(), pattern);
        assert_eq!(matches("*.txt"), [".hidden.txt", "[x].txt", "a.txt", "b.txt"]);
        assert_eq!(matches("?.[tm]*"), ["a.txt", "b.txt", "c.md"]);
        assert_eq!(matches("d/*"), ["d/e.txt"]);
        assert_eq!(
            matches("**/*.txt"),
            [".hidden.txt", "[x].txt", "a.txt", "b.txt", "d/e.txt", "d/f/g.txt"]
        );
        assert_eq!(matches("**/f/**"), ["d/f/g.txt"]);
        assert_eq!(matches("**").len(), 8);
        assert_eq!(matches("**/**/**/g.txt"), ["d/f/g.txt"]);
        assert_eq!(matches("[[]x].txt"), ["[x].txt"]);
        assert_eq!(matches("d/../a.txt"), ["d/../a.txt"]);
        assert_eq!(matches("./d//f/g.txt"), ["d/f/g.txt"]);
        assert!(matches("a.txt/*").is_empty() && matches("nowhere/*").is_empty());
    }

    /// The folder of a topology is no part of its pattern.
    #[test]
    fn what_is_special_in_a_pattern_is_not_in_the_folders_own_name() {
        let outer = folder_of(&[
            b"run[1]/in.txt",
            b"run1/wrong",
            b"a*b/in.txt",
            b"aXb/wrong",
            b"q?/in.txt",
        ]);
        for name in ["run[1]", "a*b", "q?"] {
            assert_eq!(matches(&outer.path().join(name), "*"), ["in.txt"], "{name}");
        }
    }

    /// File names that are no UTF-8 were skipped.
    #[test]
    fn a_name_that_is_no_utf_8_is_matched_and_given_as_its_bytes() {
        let folder = folder_of(&[b"caf\xe9.txt", b"\xff\xfe/\x80", b"z.txt"]);
        let values = |pattern: &str| {
            let mut files = Files::find(pattern, folder.path(), &[], folder.path()).unwrap();
            let mut chunk = Chunk::default();
            assert!(!files.read(9, &mut chunk).unwrap());
            chunk
        };
        let chunk = values("*.txt");
        assert_eq!(chunk.len(), 2);
        let first: serde_bytes::ByteBuf = rmp_serde::from_slice(&chunk.payload).unwrap();
        assert!(first.ends_with(b"/caf\xe9.txt"));
        assert!(rmp_serde::from_slice::<&str>(&chunk.payload[chunk.ends[0] as usize..]).is_ok());
        assert_eq!(values("caf?.txt").len(), 1);
        assert_eq!(values("[!a]?/*").len(), 1);
        assert_eq!(values("**").len(), 3);
    }

    /// What a pattern matches and is no unit was left out silently.
    #[test]
    fn each_match_that_is_no_unit_is_told() {
        let folder = folder_of(&[b"a", b"d/b", b"out.jsonl", b"out.db-wal", b".pipeline/x/log"]);
        let at = |name: &str| folder.path().join(name);
        symlink("a", at("link")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink(".", at("d/circle")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let (paths, notes) = found(folder.path(), "**", &["out.jsonl", "out.db", ".pipeline/x"]);
        assert_eq!(paths, ["a", "d/b", "link"]);
        assert_eq!(
            notes,
            [
                "2 matches are left out: they are files that this run writes; the first is out.db-wal",
                "2 matches are left out: they are links that lead nowhere; the first is dangling",
                "d/circle is left out: it is a link to a folder, which `**` does not follow",
                "socket is left out: it is no regular file",
            ]
        );
        assert_eq!(matches(folder.path(), "d/circle/*"), ["d/circle/b"]);
        assert_eq!(matches(folder.path(), "*/*/b"), ["d/circle/b"]);
    }

    /// 10⁶ files as units: the paths were all in memory.
    #[test]
    fn paths_that_are_many_are_in_order_and_not_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let number = |n: usize| format!("{:0>200}", n * 7_919 % 8_000);
        for n in 0..8_000 {
            fs::write(folder.path().join(number(n)), "").unwrap();
        }
        let mut files = Files::find("*", folder.path(), &[], folder.path()).unwrap();
        assert_eq!(files.len(), 8_000);
        assert!(files.paths.end() > 1 << 20 && files.paths.in_memory() < 512 << 10);
        files.skip(3).unwrap();
        let mut chunk = Chunk::default();
        files.read(1, &mut chunk).unwrap();
        let third: String = rmp_serde::from_slice(&chunk.payload).unwrap();
        assert!(third.ends_with(&format!("{:0>200}", 3)));
        let names = files.paths().map(|path| path.file_name().unwrap().to_owned());
        assert!(names.eq((0..8_000).map(|n| OsString::from(format!("{n:0>200}")))));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 8_000, "nothing was added");
    }

    #[test]
    fn a_pattern_without_a_match_is_told() {
        let folder = folder_of(&[b"a"]);
        assert_eq!(found(folder.path(), "*.png", &[]).1, ["no file matches `*.png`"]);
        assert!(found(folder.path(), "a", &[]).1.is_empty());
    }

    /// A file that the run itself wrote has another name by way of a link.
    #[test]
    fn a_file_of_the_run_is_none_of_its_input_under_whatever_name() {
        let folder = folder_of(&[b"data/in", b"data/out.jsonl"]);
        symlink("data", folder.path().join("linked")).unwrap();
        assert_eq!(found(folder.path(), "linked/*", &["data/out.jsonl"]).0, ["linked/in"]);
        assert_eq!(found(folder.path(), "data/*", &["linked/out.jsonl"]).0, ["data/in"]);
        assert_eq!(found(folder.path(), "data/*", &["data/../data/out.jsonl"]).0, ["data/in"]);
    }
}
