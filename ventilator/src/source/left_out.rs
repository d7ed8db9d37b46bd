//! What a pattern matches and is no unit, and why.
//!
//! Owns the count and the words; tells the first of each kind by its name, since there may be
//! thousands.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// Why a match is no unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// The run writes it.
    Own,
    /// The link leads nowhere.
    DanglingLink,
    /// A link to a folder, which `**` does not follow.
    LinkedFolder,
    /// A pipe, a socket, a device.
    NoFile,
}

/// Everything that was left out.
#[derive(Debug, Default)]
pub(super) struct LeftOut(BTreeMap<Reason, (u64, PathBuf)>);

impl LeftOut {
    pub(super) fn note(&mut self, path: &Path, reason: Reason) {
        self.0.entry(reason).or_insert_with(|| (0, path.into())).0 += 1;
    }

    /// A sentence for each reason.
    pub(super) fn sentences(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(reason, (count, first))| {
            let first = first.display();
            match count {
                1 => format!("{first} is left out: it is {}", Words(*reason, 1)),
                _ => format!(
                    "{count} matches are left out: they are {}; the first is {first}",
                    Words(*reason, *count)
                ),
            }
        })
    }
}

struct Words(Reason, u64);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.0, self.1) {
            (Reason::Own, 1) => "a file that this run writes",
            (Reason::Own, _) => "files that this run writes",
            (Reason::DanglingLink, 1) => "a link that leads nowhere",
            (Reason::DanglingLink, _) => "links that lead nowhere",
            (Reason::LinkedFolder, 1) => "a link to a folder, which `**` does not follow",
            (Reason::LinkedFolder, _) => "links to folders, which `**` does not follow",
            (Reason::NoFile, 1) => "no regular file",
            (Reason::NoFile, _) => "no regular files",
        })
    }
}
