//! From a place in a string to the place in the TOML that it was written in.
//!
//! Owns the quotes and the escapes of TOML strings, as far as positions depend on them; refuses to
//! read values, which is the parser's.

/// Where byte `offset` of a string stands in `written`, the TOML of it with its quotes; a string of
/// a flag may have none. Beyond its end, that is where its content ends.
pub(super) fn place_in(written: &str, value: &str, offset: usize) -> usize {
    if written == value {
        return offset.min(value.len());
    }
    let (opening, escapes) = opening(written);
    let mut at = opening;
    let mut told = 0;
    for character in value.chars() {
        if escapes {
            at += continuation(tail(written, at));
        }
        if told >= offset {
            break;
        }
        told += character.len_utf8();
        at += one(tail(written, at), character, escapes);
    }
    at.min(written.len())
}

fn tail(written: &str, at: usize) -> &str {
    written.get(at..).unwrap_or("")
}

/// How long the quotes are that open a string, with the line end that belongs to them, and whether
/// a backslash is more than itself in it.
fn opening(written: &str) -> (usize, bool) {
    let escapes = written.starts_with('"');
    let is_long = written.starts_with("\"\"\"") || written.starts_with("'''");
    let quotes = if is_long { 3 } else { 1 };
    let line_end = match tail(written, quotes) {
        rest if is_long && rest.starts_with("\r\n") => 2,
        rest if is_long && rest.starts_with('\n') => 1,
        _ => 0,
    };
    (quotes + line_end, escapes)
}

/// The bytes of backslashes at line ends, with the white space that they take away.
fn continuation(rest: &str) -> usize {
    let mut taken = 0;
    while let Some(behind) = tail(rest, taken).strip_prefix('\\') {
        let white = behind.len() - behind.trim_start().len();
        if !behind.get(..white).is_some_and(|white| white.contains('\n')) {
            break;
        }
        taken += 1 + white;
    }
    taken
}

/// How many bytes stand for one character.
fn one(rest: &str, character: char, escapes: bool) -> usize {
    if escapes && rest.starts_with('\\') {
        return match rest.as_bytes().get(1) {
            Some(b'x') => 4,
            Some(b'u') => 6,
            Some(b'U') => 10,
            _ => 2,
        };
    }
    // A parser may take line ends of two characters for one.
    if character == '\n' && rest.starts_with("\r\n") { 2 } else { character.len_utf8() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_found_whatever_the_quotes() {
        for (written, value) in [
            ("bare", "bare"),
            ("'a\\b'", "a\\b"),
            (r#""a\tb\u00e9\U0001F600é\"x""#, "a\tb\u{e9}\u{1f600}é\"x"),
            ("\"\"\"\nab\n  c\"\"\"", "ab\n  c"),
            ("'''\r\nab\r\nc'''", "ab\r\nc"),
            ("'''\r\nab\r\nc'''", "ab\nc"),
            ("\"\"\"\\\n   ab\\\n\n  \\\n c\"\"\"", "abc"),
            ("\"\"\"x\"\"\"", "x"),
        ] {
            let document = format!("v = {written}");
            let mut last = None;
            for (offset, character) in value.char_indices() {
                let at = place_in(written, value, offset);
                let found = &written[at..];
                let found = found.strip_prefix('\r').filter(|_| character == '\n').unwrap_or(found);
                assert!(
                    found.starts_with(character) || found.starts_with('\\'),
                    "{document}: {character:?} at {found:?}"
                );
                assert!(last.is_none_or(|last| at > last), "{document}");
                last = Some(at);
            }
            let end = place_in(written, value, value.len());
            let quotes = written[end..].chars().all(|c| matches!(c, '"' | '\''));
            assert!(quotes, "{document}: ends at {:?}", &written[end..]);
        }
    }
}
