//! What the first bytes of a source say that it is.
//!
//! Owns the signatures of what is read and of what is often given by mistake; refuses to read or
//! convert anything. A text goes on at once: only bytes that may still become a signature are
//! waited for.

/// What a source is, as far as its first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// More bytes are needed, if there are any.
    Undecided,
    /// Text, behind a byte order mark of so many bytes.
    Text(usize),
    /// Compressed, in a way that is read.
    Packed(Packing),
    /// What is not read: what it is, and what to do.
    Other(&'static str, &'static str),
}

/// The ways of compressing that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
}

/// How many bytes tell UTF-16 without a byte order mark from text with a NUL in it.
const SAMPLE_BYTES: usize = 32;
/// Where a tar archive says that it is one.
const TAR_AT: usize = 257;

const UTF_16: Content = Content::Other(
    "UTF-16 text",
    "only UTF-8 is read; convert it, as with: iconv -f UTF-16 -t UTF-8",
);
const UTF_16_LE: Content = Content::Other(
    "UTF-16 text without a byte order mark",
    "only UTF-8 is read; convert it, as with: iconv -f UTF-16LE -t UTF-8",
);
const UTF_16_BE: Content = Content::Other(
    "UTF-16 text without a byte order mark",
    "only UTF-8 is read; convert it, as with: iconv -f UTF-16BE -t UTF-8",
);
const UTF_32: Content = Content::Other(
    "UTF-32 text",
    "only UTF-8 is read; convert it, as with: iconv -f UTF-32 -t UTF-8",
);

/// Compressed in a way that is not read.
const fn packed(what: &'static str) -> Content {
    Content::Other(what, "only gzip and zstd are unpacked here; unpack it first")
}

/// The first bytes, and what they are a sign of. Those that could begin a text go on to a byte
/// that could not.
const SIGNATURES: &[(&[u8], Content)] = &[
    (b"\xef\xbb\xbf", Content::Text(3)),
    (b"\x1f\x8b", Content::Packed(Packing::Gzip)),
    (b"\x28\xb5\x2f\xfd", Content::Packed(Packing::Zstd)),
    (b"\xff\xfe\0\0", UTF_32),
    (b"\0\0\xfe\xff", UTF_32),
    (b"\xff\xfe", UTF_16),
    (b"\xfe\xff", UTF_16),
    (b"BZh91AY&SY", packed("compressed with bzip2")),
    (b"\xfd7zXZ\0", packed("compressed with xz")),
    (b"]\0\0", packed("compressed with lzma")),
    (b"LZIP\x01", packed("compressed with lzip")),
    (b"\x04\x22\x4d\x18", packed("compressed with lz4")),
    (b"\x02\x21\x4c\x18", packed("compressed with lz4")),
    (b"\x1f\x9d", packed("compressed with compress")),
    (b"\xff\x06\0\0sNaPpY", packed("compressed with snappy")),
    (
        b"PK\x03\x04",
        Content::Other(
            "a zip archive (or a file in such a form, as of Excel)",
            "unpack or export it first",
        ),
    ),
    (b"PK\x05\x06", Content::Other("an empty zip archive", "there is nothing in it")),
    (b"7z\xbc\xaf\x27\x1c", Content::Other("a 7z archive", "unpack it first")),
    (b"Rar!\x1a\x07", Content::Other("a rar archive", "unpack it first")),
    (b"PAR1\x15", Content::Other("a Parquet file", "export it as csv or JSON lines first")),
    (b"ARROW1\0", Content::Other("an Arrow file", "export it as csv or JSON lines first")),
    (b"ORC\x0a", Content::Other("an ORC file", "export it as csv or JSON lines first")),
    (b"Obj\x01", Content::Other("an Avro file", "export it as JSON lines first")),
    (
        b"SQLite format 3\0",
        Content::Other(
            "an SQLite database",
            "export what you need, as with: sqlite3 -csv -header FILE 'SELECT …'",
        ),
    ),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        Content::Other("an old Office file", "export it as csv first"),
    ),
    (b"\x89HDF\r\n\x1a\n", Content::Other("an HDF5 file", "export it as csv or JSON lines first")),
    (b"\x89PNG\r\n\x1a\n", Content::Other("a picture", "for files as units use kind = \"files\"")),
    (b"\xff\xd8\xff", Content::Other("a picture", "for files as units use kind = \"files\"")),
    (b"%PDF-", Content::Other("a PDF", "for files as units use kind = \"files\"")),
    (
        b"\x7fELF",
        Content::Other("a program", "to read what it prints, pipe that to kind = \"stdin\""),
    ),
];

/// What a source is that begins with `head`; with `ended` there is no more of it.
pub(super) fn content(head: &[u8], ended: bool) -> Content {
    let more = !ended;
    let unsure =
        |signature: &[u8]| more && head.len() < signature.len() && signature.starts_with(head);
    if SIGNATURES.iter().any(|(signature, _)| unsure(signature)) {
        return Content::Undecided;
    }
    let known = SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature));
    if let Some((_, content)) = known {
        return *content;
    }
    if let [0x50..=0x5f, b'*', b'M', 0x18, ..] = head {
        return Content::Packed(Packing::Zstd); // begins with a frame that is to be skipped
    }
    if let [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y', ..] = head {
        return packed("compressed with bzip2");
    }
    if head.get(TAR_AT..).is_some_and(|rest| rest.starts_with(b"ustar")) {
        return Content::Other("a tar archive", "unpack it first, as with: tar -xf");
    }
    wide(head, more)
}

/// Whether a text that has NULs at its beginning is one of wide characters.
fn wide(head: &[u8], more: bool) -> Content {
    let sample = &head[..head.len().min(SAMPLE_BYTES)];
    if !sample.iter().take(4).any(|byte| *byte == 0) {
        return Content::Text(0);
    }
    if more && sample.len() < 4 {
        return Content::Undecided;
    }
    // Every whole character of the sample has its NULs at the same places, and only there.
    let all = |nulls: &[bool]| {
        sample.len() >= 4
            && sample.chunks_exact(nulls.len()).all(|character| {
                character.iter().zip(nulls).all(|(byte, null)| (*byte == 0) == *null)
            })
    };
    if all(&[false, true]) {
        UTF_16_LE
    } else if all(&[true, false]) {
        UTF_16_BE
    } else if all(&[false, true, true, true]) || all(&[true, true, true, false]) {
        UTF_32
    } else {
        Content::Text(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_never_waited_for() {
        for text in [
            "a",
            "1\n",
            "{",
            "[1]",
            " ",
            "é",
            "B\n",
            "BZ2",
            "PAR2",
            "PK",
            "LZIPPER",
            "x\0y",
            "\0",
            "a\0b\0\0c",
        ] {
            let last = content(text.as_bytes(), false);
            let waits = matches!(text, "PK" | "x\0y" | "\0");
            assert_eq!(last, if waits { Content::Undecided } else { Content::Text(0) }, "{text:?}");
            assert_eq!(content(text.as_bytes(), true), Content::Text(0), "{text:?}");
        }
        assert_eq!(content(b"", true), Content::Text(0));
    }

    #[test]
    fn a_signature_is_known_however_it_comes_in() {
        for (signature, expected) in SIGNATURES {
            for len in 1..signature.len() {
                let early = content(&signature[..len], false);
                assert!(early == Content::Undecided || early == *expected, "{signature:?} {len}");
            }
            assert_eq!(content(signature, true), *expected, "{signature:?}");
            assert_eq!(content(&[signature, &b"xyz123"[..]].concat(), false), *expected);
        }
        for (bytes, wide) in [
            (&b"a\0b\0\n\0"[..], UTF_16_LE),
            (b"\0a\0b\0\n", UTF_16_BE),
            (b"a\0\0\0\n\0\0\0", UTF_32),
            (b"\0\0\0a\0\0\0\n", UTF_32),
            (b"\xff\xfea\0", UTF_16),
            (b"\xff\xfe", UTF_16),
            (b"\xfe\xff\0a", UTF_16),
            (b"\xff\xfe\0\0a\0\0\0", UTF_32),
        ] {
            assert_eq!(content(bytes, true), wide, "{bytes:?}");
        }
    }
}
