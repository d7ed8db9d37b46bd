//! An error as people read it: with everything that led to it.

use std::{error::Error, io};

/// An error with all of its causes, `cannot start: no such file`; none is told twice.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

/// An error in the system's own words, of one that somebody has wrapped with words of theirs.
pub fn innermost(error: io::Error) -> io::Error {
    let mut found = error.raw_os_error();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_code = inner.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        found = inner_code.or(found);
        cause = inner.source();
    }
    found.map_or(error, io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("no run")]
        Silent(#[source] io::Error),
        #[error("no run: {0}")]
        Loud(#[source] io::Error),
    }

    #[test]
    fn what_somebody_has_wrapped_is_told_in_the_systems_words() {
        let system = || io::Error::from_raw_os_error(5);
        let told = "Input/output error (os error 5)";
        assert_eq!(innermost(system()).to_string(), told);
        let wrapped = io::Error::other(Outer::Silent(system()));
        assert_eq!(innermost(wrapped).to_string(), told);
        assert_eq!(innermost(io::Error::other("words")).to_string(), "words");
    }

    #[test]
    fn each_cause_is_told_once() {
        let cause = || io::Error::other("no room");
        assert_eq!(with_causes(&Outer::Silent(cause())), "no run: no room");
        assert_eq!(with_causes(&Outer::Loud(cause())), "no run: no room");
    }
}
