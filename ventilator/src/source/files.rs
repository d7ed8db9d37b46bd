//! The paths of files that match a pattern, as units.
//!
//! Owns the form of such a unit: a path is a text, or the bytes of it where it is no UTF-8. The
//! files are looked up once, before the first unit: what a run makes is not found by it.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use proto::value::push_str;
use serde_bytes::Bytes;

use super::{
    Chunk, Source, SourceError,
    own::Own,
    pattern::Pattern,
    walk::{self, Found},
};

/// Files in the order of their paths.
pub struct Files {
    pattern: String,
    found: Found,
    next: usize,
}

impl Files {
    /// Looks the files up that match `pattern`, below `folder` unless it is absolute. What is in
    /// `own` is left out, as the run's own.
    ///
    /// # Errors
    /// [`SourceError`] when the pattern is none, or a folder can't be read.
    pub fn find(pattern: &str, folder: &Path, own: &[PathBuf]) -> Result<Self, SourceError> {
        let parsed = Pattern::parse(pattern).map_err(|error| SourceError::Pattern {
            pattern: pattern.into(),
            problem: error.problem,
        })?;
        let found = walk::find(&parsed, folder, &Own::new(own))?;
        Ok(Self { pattern: pattern.into(), found, next: 0 })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.found.paths.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The paths.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.found.paths.iter()
    }

    /// What there is to say about the search, a sentence each.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        let none = self.is_empty().then(|| format!("no file matches `{}`", self.pattern));
        self.found.left_out.sentences().chain(none)
    }
}

impl Source for Files {
    fn read(&mut self, units_max: usize, chunk: &mut Chunk) -> Result<bool, SourceError> {
        if self.next == 0 {
            self.notes().for_each(|note| tracing::warn!("{note}"));
        }
        while !chunk.is_full(units_max) {
            let Some(path) = self.found.paths.get(self.next) else { break };
            self.next += 1;
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
        let units = usize::try_from(units).unwrap_or(usize::MAX);
        self.next = self.next.saturating_add(units).min(self.len());
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
        let files = Files::find(pattern, folder, &own).unwrap();
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
            let mut files = Files::find(pattern, folder.path(), &[]).unwrap();
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
