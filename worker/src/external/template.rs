//! Arguments with places for a unit's value: `{}` and its kin, as GNU parallel writes them.
//!
//! Owns what stands for what, and quoting for a shell. Refuses to start anything.
//!
//! | place | what stands there |
//! | --- | --- |
//! | `{}` | the value; of several, all of them with a space between |
//! | `{.}` | without its last ending: `a/b.tar.gz` is `a/b.tar` |
//! | `{/}` | without its folders: `b.tar.gz` |
//! | `{//}` | its folder: `a`, or `.` |
//! | `{/.}` | both taken away: `b.tar` |
//! | `{#}` | the unit's number, from 1 |
//! | `{%}` | the number of the place where it is worked on, from 1 to as many as are open at once |
//! | `{1}`, `{2.}`, `{-1}` | the first, the second, the last of several values, in any of these forms |
//!
//! Any other braces are text, so that `awk '{print $1}'` and a shell's `${1}` need no care; only what looks like one of
//! these and is none is [found](unknown_place), for whoever checks what people write.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

/// What of a value is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    NoEnding,
    Name,
    Folder,
    Stem,
}

/// Which of several values: counted from the first or from the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    First(usize),
    Last(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(OsString),
    Value(Which, Form),
    Number,
    Slot,
}

/// What is put into the places.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The unit's values; of a unit with a single one that one.
    pub values: &'a [OsString],
    /// Its number, from 1.
    pub number: u64,
    /// Where it is worked on, from 1.
    pub slot: u32,
}

/// Who reads what was filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A program: an argument is an argument.
    Program,
    /// A shell: each value is quoted.
    Shell,
}

/// A text with places in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

impl Template {
    /// Finds the places in a text. `whole` is what stands for the value there, `{}` unless somebody
    /// chose another word.
    pub fn new(text: &OsStr, whole: &OsStr) -> Self {
        let mut parts = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text.as_bytes();
        while let Some(byte) = rest.first() {
            let chosen = rest.strip_prefix(whole.as_bytes()).filter(|_| !whole.is_empty());
            let place = match chosen {
                Some(after) => Some((Part::Value(Which::All, Form::Whole), after)),
                // A shell's `${1}` is the shell's.
                None if plain.last() == Some(&b'$') => None,
                None => place(rest),
            };
            match place {
                Some((part, after)) => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(OsString::from_vec(std::mem::take(&mut plain))));
                    }
                    parts.push(part);
                    rest = after;
                }
                None => {
                    plain.push(*byte);
                    rest = rest.get(1..).unwrap_or_default();
                }
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(OsString::from_vec(plain)));
        }
        Self(parts)
    }

    /// Whether a value stands anywhere in it.
    pub fn has_value(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Value(..)))
    }

    /// Whether anything stands in it that a unit decides.
    pub fn has_place(&self) -> bool {
        self.0.iter().any(|part| !matches!(part, Part::Text(_)))
    }

    /// The text that it was made from, with `{}` for all values.
    pub fn source(&self) -> String {
        self.0.iter().map(|part| part.source()).collect()
    }

    /// A command line for `sh` that takes its places as arguments, and so needs no quoting.
    pub fn for_shell(&self) -> Vec<String> {
        let (mut line, mut arguments) = (String::new(), Vec::new());
        for part in &self.0 {
            match part {
                Part::Text(text) => line.push_str(&text.to_string_lossy()),
                place => {
                    arguments.push(place.source());
                    line.push_str(&format!("\"${{{}}}\"", arguments.len()));
                }
            }
        }
        let words = ["sh".to_owned(), "-c".to_owned(), line, "sh".to_owned()];
        words.into_iter().chain(arguments).collect()
    }

    /// The same as arguments of a program: one that is nothing but a place for all values is as many
    /// arguments as there are.
    pub fn fill_words(&self, values: Values<'_>) -> Vec<OsString> {
        match self.0.as_slice() {
            [Part::Value(Which::All, form)] => {
                values.values.iter().map(|value| OsString::from_vec(form.of(value))).collect()
            }
            _ => vec![self.fill(values, Reader::Program)],
        }
    }

    /// The text with everything in its place. A value that is not there is nothing.
    pub fn fill(&self, values: Values<'_>, reader: Reader) -> OsString {
        let mut filled = OsString::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push(text),
                Part::Number => filled.push(values.number.to_string()),
                Part::Slot => filled.push(values.slot.to_string()),
                Part::Value(which, form) => {
                    for (index, value) in which.of(values.values).iter().enumerate() {
                        if index > 0 {
                            filled.push(" ");
                        }
                        let value = form.of(value);
                        match reader {
                            Reader::Program => filled.push(OsStr::from_bytes(&value)),
                            Reader::Shell => filled.push(quoted(OsStr::from_bytes(&value))),
                        }
                    }
                }
            }
        }
        filled
    }
}

impl Part {
    fn source(&self) -> String {
        let form = |form: &Form| match form {
            Form::Whole => "",
            Form::NoEnding => ".",
            Form::Name => "/",
            Form::Folder => "//",
            Form::Stem => "/.",
        };
        match self {
            Self::Text(text) => text.to_string_lossy().into_owned(),
            Self::Number => "{#}".into(),
            Self::Slot => "{%}".into(),
            Self::Value(Which::All, of) => format!("{{{}}}", form(of)),
            Self::Value(Which::First(number), of) => format!("{{{number}{}}}", form(of)),
            Self::Value(Which::Last(number), of) => format!("{{-{number}{}}}", form(of)),
        }
    }
}

impl Which {
    fn of(self, values: &[OsString]) -> &[OsString] {
        let one = |index: Option<usize>| {
            index.and_then(|index| values.get(index..=index)).unwrap_or_default()
        };
        match self {
            Self::All => values,
            Self::First(number) => one(number.checked_sub(1)),
            Self::Last(number) => one(values.len().checked_sub(number)),
        }
    }
}

impl Form {
    fn of(self, value: &OsStr) -> Vec<u8> {
        let bytes = value.as_bytes();
        match self {
            Self::Whole => bytes.to_vec(),
            Self::NoEnding => without_ending(bytes).to_vec(),
            Self::Name => name(bytes).to_vec(),
            Self::Folder => folder(bytes).to_vec(),
            Self::Stem => without_ending(name(bytes)).to_vec(),
        }
    }
}

fn without_ending(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| matches!(byte, b'.' | b'/')) {
        Some(at) if path.get(at) == Some(&b'.') => path.get(..at).unwrap_or(path),
        _ => path,
    }
}

fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// As `dirname` has it.
fn folder(path: &[u8]) -> &[u8] {
    let trimmed = without_slashes_behind(path);
    match trimmed.iter().rposition(|byte| *byte == b'/') {
        Some(at) => match without_slashes_behind(trimmed.get(..at).unwrap_or_default()) {
            [] => b"/",
            folder => folder,
        },
        None if trimmed.is_empty() && !path.is_empty() => b"/",
        None => b".",
    }
}

fn without_slashes_behind(path: &[u8]) -> &[u8] {
    let len = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    path.get(..len).unwrap_or(path)
}

/// The place that a text begins with, and what follows.
fn place(text: &[u8]) -> Option<(Part, &[u8])> {
    let inside = text.strip_prefix(b"{")?;
    let len = inside.iter().take(PLACE_BYTES_MAX).position(|byte| *byte == b'}')?;
    let part = part(str::from_utf8(inside.get(..len)?).ok()?)?;
    Some((part, inside.get(len + 1..)?))
}

/// The longest that anything between two braces can be to mean a place.
const PLACE_BYTES_MAX: usize = 12;

fn part(inside: &str) -> Option<Part> {
    match inside {
        "#" => return Some(Part::Number),
        "%" => return Some(Part::Slot),
        _ => {}
    }
    let digits = inside.trim_start_matches('-');
    let form = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = inside.strip_suffix(form)?;
    let which = match (number, number.strip_prefix('-')) {
        ("", _) => Which::All,
        (_, Some(number)) => Which::Last(number.parse().ok().filter(|number| *number > 0)?),
        (number, None) => Which::First(number.parse().ok().filter(|number| *number > 0)?),
    };
    let form = match form {
        "" => Form::Whole,
        "." => Form::NoEnding,
        "/" => Form::Name,
        "//" => Form::Folder,
        "/." => Form::Stem,
        _ => return None,
    };
    Some(Part::Value(which, form))
}

/// The first thing in a text that looks like a place and is none, as `{..}` or `{1:}`.
pub fn unknown_place(text: &str) -> Option<&str> {
    let looks = |inside: &str| {
        !inside.is_empty()
            && inside.len() <= PLACE_BYTES_MAX
            && inside.bytes().all(|byte| byte.is_ascii_digit() || b"./#%+:-".contains(&byte))
            // As regular expressions and printf count.
            && !inside.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('{') {
        if let Some((inside, _)) = after.split_once('}')
            && looks(inside)
            && part(inside).is_none()
        {
            let start = text.len() - after.len() - 1;
            return text.get(start..start + inside.len() + 2);
        }
        rest = after;
    }
    None
}

/// A word that a shell reads as this text.
pub fn quoted(text: &OsStr) -> OsString {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+=:,./@%^".contains(byte);
    let bytes = text.as_bytes();
    if !bytes.is_empty() && bytes.iter().all(is_plain) {
        return text.to_owned();
    }
    let mut quoted = vec![b'\''];
    for byte in bytes {
        match byte {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    OsString::from_vec(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, values: &[&str], reader: Reader) -> String {
        let values: Vec<OsString> = values.iter().map(Into::into).collect();
        let values = Values { values: &values, number: 7, slot: 2 };
        let template = Template::new(text.as_ref(), "{}".as_ref());
        template.fill(values, reader).into_string().unwrap()
    }

    fn plain(text: &str, values: &[&str]) -> String {
        filled(text, values, Reader::Program)
    }

    #[test]
    fn each_form_takes_away_what_it_says() {
        let forms = |value| ["{}", "{.}", "{/}", "{//}", "{/.}"].map(|form| plain(form, &[value]));
        assert_eq!(forms("a/b.tar.gz"), ["a/b.tar.gz", "a/b.tar", "b.tar.gz", "a", "b.tar"]);
        assert_eq!(forms("plain"), ["plain", "plain", "plain", ".", "plain"]);
        assert_eq!(forms("d.d/plain"), ["d.d/plain", "d.d/plain", "plain", "d.d", "plain"]);
        assert_eq!(forms("/x"), ["/x", "/x", "x", "/", "x"]);
        assert_eq!(forms("a//b"), ["a//b", "a//b", "b", "a", "b"]);
        assert_eq!(forms("/"), ["/", "/", "", "/", ""]);
        assert_eq!(forms(""), ["", "", "", ".", ""]);
    }

    #[test]
    fn several_values_stand_where_their_numbers_do() {
        assert_eq!(plain("{2}-{1.}-{-1/}", &["a.b", "c/d"]), "c/d-a-d");
        assert_eq!(plain("<{}>", &["a", "b c"]), "<a b c>");
        assert_eq!(plain("<{3}{-3}>", &["a", "b"]), "<>");
    }

    #[test]
    fn numbers_and_places_are_the_units() {
        assert_eq!(plain("{#}.{%}", &["x"]), "7.2");
    }

    #[test]
    fn other_braces_are_text() {
        for text in [
            "{print $1}",
            "{a,b}",
            "{",
            "{}}",
            "{0}",
            "{1x}",
            "${HOME}",
            "{\"a\": 1}",
            "${1}",
            "${#}",
        ] {
            assert_eq!(plain(text, &["V"]), text.replace("{}", "V"), "{text}");
        }
    }

    #[test]
    fn what_looks_like_a_place_and_is_none_is_found() {
        assert_eq!(unknown_place("x{..}y"), Some("{..}"));
        assert_eq!(unknown_place("{}{1:}"), Some("{1:}"));
        assert_eq!(unknown_place("{a{/..}"), Some("{/..}"));
        for text in ["{}{.}{/}{//}{/.}{#}{%}{2}{-1/.}", "{print}", "[0-9]{3}", "{1,2}", "{"] {
            assert_eq!(unknown_place(text), None, "{text}");
        }
    }

    #[test]
    fn another_word_may_stand_for_the_value() {
        let template = Template::new("xFILEx{}".as_ref(), "FILE".as_ref());
        let values = [OsString::from("v")];
        let values = Values { values: &values, number: 1, slot: 1 };
        assert_eq!(template.fill(values, Reader::Program), "xvxv");
    }

    #[test]
    fn a_shell_reads_what_was_quoted_as_it_was() {
        for text in ["a b", "it's", "", "$HOME `x` \\", "*", "a\nb", "-n", "~", "ü", "#x"] {
            let line = filled("printf %s {}", &[text], Reader::Shell);
            let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text, "{line}");
        }
        assert_eq!(filled("{}", &["a", "b c"], Reader::Shell), "a 'b c'");
    }
}
