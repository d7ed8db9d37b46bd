//! The functions that every worker brings along, by name.
//!
//! Owns the registry; the functions themselves live in the files beside it, one subject a file.
//! Refuses anything that needs a configuration beyond a list of arguments.

mod digest;
mod file_name;
mod numbers;
mod pass;
mod waits;
mod words;

use crate::Function;
use crate::concurrent::Alone;

/// Every built-in with one line of help, sorted by name.
const NAMES: &[(&str, &str)] = &[
    ("echo", "gives the value back as it is"),
    ("factor-sum", "the sum of a number's prime factors: 12 = 2 * 2 * 3 gives 7"),
    ("fail", "fails every unit, with the value in the error"),
    ("lower", "a string in lower case"),
    ("sha256", "a file's path, size and SHA-256 digest"),
    ("sleep", "waits for as many milliseconds as the value says, and gives it back"),
    ("spin", "computes for as many microseconds as the value says, and gives it back"),
    ("split-words", "every run of ASCII letters in a string, each as an output of its own"),
    ("square", "a number times itself"),
    ("stop-words", "a word, unless it is in the list (args; by default common English words)"),
];

/// Why there is no such built-in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuiltinError {
    /// No built-in has this name.
    #[error("there is no built-in function `{name}`")]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The built-in that was probably meant.
        nearest: Option<&'static str>,
    },
    /// The built-in takes no arguments.
    #[error("the built-in function `{name}` takes no arguments, not even `{}`", .args.join(" "))]
    ArgumentsRefused {
        /// The built-in.
        name: String,
        /// What it was given.
        args: Vec<String>,
    },
}

/// Every built-in's name with one line of help, sorted by name.
pub fn names() -> &'static [(&'static str, &'static str)] {
    NAMES
}

/// The built-in whose name is most like `name`, if one is alike at all.
pub fn nearest(name: &str) -> Option<&'static str> {
    NAMES
        .iter()
        .map(|(known, _)| (strsim::damerau_levenshtein(name, known), *known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min()
        .map(|(_, known)| known)
}

/// Makes the built-in called `name`, with a stage's arguments.
///
/// # Errors
/// [`BuiltinError`] when there is none, or it takes no arguments but was given some.
pub fn by_name(name: &str, args: &[String]) -> Result<Box<dyn Function>, BuiltinError> {
    let function: Box<dyn Function> = match name {
        "stop-words" => return Ok(Box::new(words::StopWords::new(args))),
        "echo" => Box::new(pass::Echo),
        "factor-sum" => Box::new(crate::try_map(numbers::factor_sum)),
        "fail" => Box::new(pass::Fail),
        "lower" => Box::new(crate::map(|text: String| text.to_lowercase())),
        "sha256" => Box::new(crate::try_map(digest::sha256)),
        "sleep" => Box::new(crate::map(waits::sleep)),
        "spin" => Box::new(crate::map(waits::spin)),
        "split-words" => Box::new(words::SplitWords),
        "square" => Box::new(numbers::Square),
        _ => {
            return Err(BuiltinError::Unknown { name: name.to_owned(), nearest: nearest(name) });
        }
    };
    if args.is_empty() {
        Ok(function)
    } else {
        Err(BuiltinError::ArgumentsRefused { name: name.to_owned(), args: args.to_vec() })
    }
}

/// The built-in called `name` for several units at once; none if it is not made for that.
pub fn concurrent(name: &str) -> Option<Box<dyn Function>> {
    match name {
        "sleep" => Some(Box::new(Alone::new(waits::Sleeps::default()))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, lines};

    #[test]
    fn every_name_in_the_list_makes_a_function_and_the_list_is_sorted() {
        for (name, help) in names() {
            assert!(by_name(name, &[]).is_ok(), "{name}");
            assert!(!help.is_empty() && help.len() < 80, "{name}");
        }
        assert!(names().is_sorted());
    }

    #[test]
    fn a_misspelt_name_is_answered_with_the_nearest_one() {
        let unknown = |name| match by_name(name, &[]).err() {
            Some(BuiltinError::Unknown { nearest, .. }) => nearest,
            other => panic!("{other:?}"),
        };
        assert_eq!(unknown("sqare"), Some("square"));
        assert_eq!(unknown("factorsum"), Some("factor-sum"));
        assert_eq!(unknown("split_words"), Some("split-words"));
        assert_eq!(unknown("thumbnail"), None);
        assert_eq!(unknown(""), None);
    }

    #[test]
    fn arguments_are_refused_where_none_are_taken() {
        let args = ["2".to_owned(), "3".to_owned()];
        assert_eq!(
            by_name("square", &args).err().map(|error| error.to_string()),
            Some("the built-in function `square` takes no arguments, not even `2 3`".into())
        );
        assert!(by_name("stop-words", &args).is_ok());
    }

    #[test]
    fn lower_knows_more_than_ascii() {
        let mut lower = by_name("lower", &[]).unwrap();
        assert_eq!(call(&mut lower, r#""ÄBc""#), lines(r#""äbc""#));
    }
}
