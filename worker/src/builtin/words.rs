//! Functions over text, as counting words needs them.
//!
//! Owns what a word is here: a maximal run of ASCII letters, the same as of
//! `tr -cs 'A-Za-z' '\n'`. Refuses languages: other letters separate words.

use std::collections::HashSet;

use crate::{Failure, Function, Outputs, Unit};

/// What `stop-words` drops unless told otherwise.
const COMMON_WORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
    "because", "been", "before", "but", "by", "can", "could", "did", "do", "does", "for", "from",
    "had", "has", "have", "he", "her", "him", "his", "how", "i", "if", "in", "into", "is", "it",
    "its", "me", "more", "my", "no", "nor", "not", "of", "on", "one", "only", "or", "other", "our",
    "out", "over", "she", "so", "some", "such", "than", "that", "the", "their", "them", "then",
    "there", "these", "they", "this", "those", "to", "too", "up", "us", "was", "we", "were",
    "what", "when", "where", "which", "who", "will", "with", "would", "you", "your",
];

/// The string that `input` is, where it lies.
fn text(input: &[u8]) -> Result<&str, Failure> {
    rmp_serde::from_slice(input).map_err(|error| Failure::wrong_input::<String>(input, &error))
}

/// Each word of a string as an output of its own; a string can have none.
pub(super) struct SplitWords;

impl Function for SplitWords {
    fn call(&mut self, _: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        let before = out.len();
        let pushed = text(input)?
            .split(|letter: char| !letter.is_ascii_alphabetic())
            .filter(|word| !word.is_empty())
            .try_for_each(|word| out.push(word));
        if pushed.is_err() {
            out.truncate(before);
        }
        pushed
    }
}

/// A word as it is, unless it is in the list, whatever its case.
pub(super) struct StopWords {
    dropped: HashSet<String>,
}

impl StopWords {
    /// Drops `words`, or the common English ones when there are none.
    pub(super) fn new(words: &[String]) -> Self {
        let dropped = if words.is_empty() {
            COMMON_WORDS.iter().map(|word| String::from(*word)).collect()
        } else {
            words.iter().map(|word| word.to_lowercase()).collect()
        };
        Self { dropped }
    }

    fn drops(&self, word: &str) -> bool {
        let lower = word.bytes().all(|byte| byte.is_ascii_lowercase());
        if lower {
            self.dropped.contains(word)
        } else {
            self.dropped.contains(&word.to_lowercase())
        }
    }
}

impl Function for StopWords {
    fn call(&mut self, _: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        if self.drops(text(input)?) {
            return Ok(());
        }
        out.push_bytes(input)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::testing::{call, lines};

    fn words(text: &str) -> Vec<String> {
        let json = serde_json::to_string(text).unwrap();
        let words = call(&mut SplitWords, &json).unwrap();
        words.iter().map(|word| word.trim_matches('"').to_owned()).collect()
    }

    #[test]
    fn words_are_those_of_tr() {
        let text = "  It's the 2nd\tcafé--in O'Hare_street;na\u{ef}ve\nZZ9plural Z Alpha. ";
        let mut tr = Command::new("tr")
            .args(["-cs", "A-Za-z", "\\n"])
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = tr.stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        drop(stdin);
        let printed = String::from_utf8(tr.wait_with_output().unwrap().stdout).unwrap();
        let expected: Vec<&str> = printed.lines().filter(|line| !line.is_empty()).collect();
        assert!(expected.len() > 10);
        assert_eq!(words(text), expected);
    }

    #[test]
    fn a_line_without_letters_has_no_words() {
        assert!(words("").is_empty());
        assert!(words(" 12 -- é 。").is_empty());
    }

    #[test]
    fn a_value_that_is_no_text_is_a_failure() {
        for function in [&mut SplitWords as &mut dyn Function, &mut StopWords::new(&[])] {
            let text = call(function, "[1]").unwrap_err();
            assert_eq!(text, "expected a string, got a list");
        }
    }

    #[test]
    fn a_stop_word_is_dropped_in_any_case_and_every_other_word_is_kept_as_it_is() {
        let mut common = StopWords::new(&[]);
        for word in [r#""the""#, r#""The""#, r#""AND""#] {
            assert_eq!(call(&mut common, word), lines(""));
        }
        for word in [r#""whale""#, r#""Ahab""#, r#""""#] {
            assert_eq!(call(&mut common, word), lines(word));
        }
    }

    #[test]
    fn the_stages_arguments_replace_the_list() {
        let mut own = StopWords::new(&["Whale".into()]);
        assert_eq!(call(&mut own, r#""whale""#), lines(""));
        assert_eq!(call(&mut own, r#""the""#), lines(r#""the""#));
    }
}
