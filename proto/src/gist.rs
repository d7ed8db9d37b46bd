//! The one line of an error that says what happened.
//!
//! Owns the forms in which programs of several languages print an error over many lines; refuses
//! to change a word of it. The whole text stays where it is kept: in the dead letter.

/// The line of an error's text that says most: of a traceback the exception, of a panic its message,
/// of anything else the last line.
pub fn gist(text: &str) -> &str {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let found = python(&lines).or_else(|| rust(&lines)).or_else(|| go(&lines));
    let found = found.or_else(|| stack(&lines)).or_else(|| lines.last().copied());
    found.unwrap_or_default().trim()
}

/// The first characters of a text, with a mark if there is more.
pub fn beginning(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
        None => text.to_owned(),
    }
}

/// Behind the last traceback's frames, which are indented: `ValueError: 3 is odd`.
fn python<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let head = lines.iter().rposition(|line| line.contains("Traceback (most recent call last)"))?;
    let behind = lines.get(head + 1..)?;
    let frame = |line: &&&str| !line.starts_with(char::is_whitespace);
    behind.iter().find(frame).or(behind.last()).copied()
}

/// `thread 'main' panicked at src/main.rs:2:5:`, and the message in the next line.
fn rust<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let head = lines.iter().rposition(|line| line.contains("panicked at "))?;
    let line = lines.get(head)?;
    if line.ends_with(':') { lines.get(head + 1).or(Some(line)).copied() } else { Some(line) }
}

/// `panic: boom`, before what each goroutine did.
fn go<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let is_dump = lines.iter().any(|line| line.starts_with("goroutine "));
    lines.iter().find(|line| is_dump && line.contains("panic: ")).copied()
}

/// Java's and JavaScript's `at …` below the message; the last cause is the first one.
fn stack<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let is_frame =
        |line: &&str| line.trim_start().starts_with("at ") && line.starts_with([' ', '\t']);
    let first = lines.iter().position(is_frame)?;
    let cause = lines.iter().rev().find(|line| line.starts_with("Caused by: "));
    cause.copied().or_else(|| lines.get(first.checked_sub(1)?).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dead letter's line in the log shows what happened, and not the first line of a traceback.
    #[test]
    fn of_many_lines_the_one_that_says_what_happened_is_told() {
        for (text, told) in [
            ("no such file", "no such file"),
            ("", ""),
            ("reading\nopening\nno such file\n\n", "no such file"),
            (
                "Traceback (most recent call last):\n  File \"<python>\", line 2, in work\n    x()\nValueError: 3 is odd",
                "ValueError: 3 is odd",
            ),
            (
                "Traceback (most recent call last):\n  File \"a\", line 1\nKeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"b\", line 2\nmy.Error: it is\nlong",
                "my.Error: it is",
            ),
            (
                "`python3` ended with exit status: 1: Traceback (most recent call last):\n  File \"x.py\", line 1\nTypeError: no",
                "TypeError: no",
            ),
            (
                "`./a` ended with signal: 6: thread 'main' panicked at src/main.rs:2:5:\nexplicit panic\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
                "explicit panic",
            ),
            (
                "thread 'main' panicked at 'old', a.rs:1:1\nnote: run",
                "thread 'main' panicked at 'old', a.rs:1:1",
            ),
            (
                "Exception in thread \"main\" java.lang.RuntimeException: boom\n\tat A.main(A.java:3)\n",
                "Exception in thread \"main\" java.lang.RuntimeException: boom",
            ),
            (
                "java.lang.RuntimeException: outer\n\tat A.b(A.java:3)\nCaused by: java.io.IOException: inner\n\tat A.c(A.java:9)\n\t... 1 more",
                "Caused by: java.io.IOException: inner",
            ),
            (
                "/a.js:1\nthrow new Error('x')\n^\n\nError: x\n    at Object.<anonymous> (/a.js:1:7)\n\nNode.js v20",
                "Error: x",
            ),
            (
                "panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:4 +0x2c\nexit status 2",
                "panic: boom",
            ),
        ] {
            assert_eq!(gist(text), told, "{text}");
        }
    }
}
