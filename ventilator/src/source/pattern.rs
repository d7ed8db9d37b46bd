//! Shell patterns of paths, folder by folder.
//!
//! Owns what a pattern means: `*`, `?` and `[…]` stand for characters of one name, names that
//! begin with a dot included; `**` stands for any folders below. Refuses the disk: it says which
//! names match, and looks at none.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use thiserror::Error;

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{problem}")]
pub struct PatternError {
    /// Where in the text, in bytes.
    pub at: usize,
    /// What is wrong there.
    pub problem: String,
}

/// What stands between two slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// A name in which nothing is special.
    Name(OsString),
    /// A name with wildcards.
    Wild(glob::Pattern),
    /// `**`: any number of folders, or none.
    Below,
}

/// A pattern, cut at its slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    pub(super) absolute: bool,
    pub(super) parts: Vec<Part>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`] with the place of what is no pattern, or could match no file.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut parts = Vec::new();
        let mut at = 0;
        for word in text.split('/') {
            if let Some(part) = part(word, at, parts.last())? {
                parts.push(part);
            }
            at += word.len() + 1;
        }
        let refused = |problem: &str| PatternError {
            at: text.len().saturating_sub(1),
            problem: problem.into(),
        };
        if text.contains('\0') {
            return Err(refused("no name can hold a NUL"));
        }
        if text.is_empty() || text.ends_with('/') || names_folder(parts.last()) {
            return Err(refused(
                "it names folders, not files; end it with `/*` for the files in them",
            ));
        }
        if parts.last() == Some(&Part::Below) {
            parts.push(wild("*", at)?);
        }
        Ok(Self { absolute: text.starts_with('/'), parts })
    }
}

fn names_folder(last: Option<&Part>) -> bool {
    last.is_none_or(|last| matches!(last, Part::Name(name) if name == ".."))
}

/// What one word between slashes means; nothing for what leads nowhere else.
fn part(word: &str, at: usize, before: Option<&Part>) -> Result<Option<Part>, PatternError> {
    Ok(Some(match word {
        "" | "." => return Ok(None),
        "**" if before == Some(&Part::Below) => return Ok(None),
        "**" => Part::Below,
        ".." if before == Some(&Part::Below) => {
            let problem = "`..` cannot follow `**`".into();
            return Err(PatternError { at, problem });
        }
        plain if !plain.contains(['*', '?', '[']) => Part::Name(plain.into()),
        word => wild(word, at)?,
    }))
}

fn wild(word: &str, at: usize) -> Result<Part, PatternError> {
    glob::Pattern::new(word).map(Part::Wild).map_err(|error| {
        let stars = word.find("**");
        let bracket = word.char_indices().nth(error.pos).map(|(at, _)| at);
        let problem = match stars {
            Some(_) => "`**` stands for whole folders, alone between two slashes",
            None => "a `[` is not closed; write `[[]` for the character itself",
        };
        PatternError { at: at + stars.or(bracket).unwrap_or(0), problem: problem.into() }
    })
}

/// A name as the characters that a pattern sees: a byte that is no UTF-8 is one character.
pub(super) fn characters(name: &OsStr) -> String {
    // From the end of the last private plane, where no name has a character.
    const BYTES: u32 = 0x10_ff00 - 0x100;
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|b| char::from_u32(BYTES + u32::from(*b))));
    }
    text
}

impl Part {
    /// Whether a name is one that this stands for.
    pub(super) fn matches(&self, name: &OsStr, characters: &str) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Wild(pattern) => pattern.matches(characters),
            Self::Below => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pattern_is_told_with_its_place() {
        let refused = |text: &str| Pattern::parse(text).map(|_| ()).map_err(|error| error.at);
        assert_eq!(refused("a/b[1/c"), Err(3));
        assert_eq!(refused("ä/é[1"), Err(5));
        assert_eq!(refused("a/b**"), Err(3));
        assert_eq!(refused("a/*/"), Err(3));
        assert_eq!(refused("a/.."), Err(3));
        assert_eq!(refused("**/../a"), Err(3));
        assert_eq!(refused("a\0b"), Err(2));
        assert_eq!(refused(""), Err(0));
        assert_eq!(refused("/"), Err(0));
        for fine in ["*", "a", "**", "/a//./b/*.txt", "a/[[]x[]]", "../x?", "**/**/x"] {
            assert_eq!(refused(fine), Ok(()), "{fine}");
        }
    }
}
