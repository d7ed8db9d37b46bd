//! An error as people read it: with everything that led to it.

use std::error::Error;

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
    fn each_cause_is_told_once() {
        let cause = || io::Error::other("no room");
        assert_eq!(with_causes(&Outer::Silent(cause())), "no run: no room");
        assert_eq!(with_causes(&Outer::Loud(cause())), "no run: no room");
    }
}
