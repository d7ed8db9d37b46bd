//! What a file holds against what its source expects: marks, packing, quotes, separators, places.

use std::{fs, io::Write, path::PathBuf};

use flate2::{Compression, write::GzEncoder};

use super::*;

/// Everything that a source over these bytes gives, as JSON, or else why not, without the folder.
fn read(bytes: &[u8], make: fn(PathBuf) -> SourceSpec) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source");
    fs::write(&path, bytes).unwrap();
    let shown = |error: SourceError| {
        error.to_string().replace(&format!("{}/", folder.path().display()), "")
    };
    let mut source = open(&make(path), None).map_err(shown)?;
    let mut values = Vec::new();
    loop {
        let mut chunk = Chunk::default();
        let more = source.read(7, &mut chunk).map_err(shown)?;
        let mut start = 0;
        for end in chunk.ends {
            let mut json = Vec::new();
            proto::value::to_json(&chunk.payload[start..end as usize], &mut json).unwrap();
            values.push(String::from_utf8(json).unwrap());
            start = end as usize;
        }
        if !more {
            return Ok(values);
        }
    }
}

fn lines(path: PathBuf) -> SourceSpec {
    SourceSpec::Lines { path }
}

fn jsonl(path: PathBuf) -> SourceSpec {
    SourceSpec::Jsonl { path }
}

fn csv(path: PathBuf) -> SourceSpec {
    SourceSpec::Csv { path, delimiter: None }
}

fn csv_by_semicolon(path: PathBuf) -> SourceSpec {
    SourceSpec::Csv { path, delimiter: Some(';') }
}

fn csv_by_comma(path: PathBuf) -> SourceSpec {
    SourceSpec::Csv { path, delimiter: Some(',') }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    // As the program `zstd` does, with a checksum.
    let mut packed = ::zstd::Encoder::new(Vec::new(), 3).unwrap();
    packed.include_checksum(true).unwrap();
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn problem(bytes: &[u8], make: fn(PathBuf) -> SourceSpec) -> String {
    read(bytes, make).map(|values| values.len()).unwrap_err()
}

/// A byte order mark was text in lines, a fault in JSON lines and passed over in csv.
#[test]
fn a_byte_order_mark_is_no_part_of_any_text() {
    let marked = |text: &str| [b"\xef\xbb\xbf", text.as_bytes()].concat();
    assert_eq!(read(&marked("a\nb"), lines), Ok(vec![r#""a""#.into(), r#""b""#.into()]));
    assert_eq!(read(&marked("1\n"), jsonl), Ok(vec!["1".into()]));
    assert_eq!(read(&marked("\"a\",b\n1,2\n"), csv), Ok(vec![r#"{"a":"1","b":"2"}"#.into()]));
    assert_eq!(read(&marked(""), lines), Ok(vec![]));
    assert_eq!(read(&gzip(&marked("a")), lines), Ok(vec![r#""a""#.into()]));
    // Only the first one is a mark.
    assert_eq!(read(&marked("\u{feff}a"), lines), Ok(vec!["\"\u{feff}a\"".into()]));
}

/// Texts of wide characters became lines with NULs in them.
#[test]
fn a_text_that_is_no_utf_8_is_named_with_what_to_do() {
    let little: Vec<u8> = "id,n\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = "id,n\n1,2\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    for bytes in
        [&little, &big, &[&b"\xff\xfe"[..], &little].concat(), &[&b"\xfe\xff"[..], &big].concat()]
    {
        for make in [lines, jsonl, csv] {
            for bytes in [bytes.clone(), gzip(bytes), zstd(bytes)] {
                let problem = problem(&bytes, make);
                assert!(problem.starts_with("source:1: it is UTF-16 text"), "{problem}");
                assert!(problem.contains("iconv -f UTF-16"), "{problem}");
            }
        }
    }
    let wide: Vec<u8> = "ab\n".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    assert!(problem(&wide, lines).contains("UTF-32"));
    // A NUL alone is a character like others.
    assert_eq!(read(b"a\0b\n\0", lines), Ok(vec![r#""a\u0000b""#.into(), r#""\u0000""#.into()]));
}

/// A compressed file was read as garbage, with exit code 0.
#[test]
fn gzip_and_zstd_are_read_whatever_the_file_is_called() {
    let texts: Vec<String> = (0..60_000).map(|n| format!("{{\"n\":{n}}}")).collect();
    let text = texts.join("\n");
    let (first, second) = text.as_bytes().split_at(text.len() / 3);
    for packed in [
        gzip(text.as_bytes()),
        zstd(text.as_bytes()),
        [gzip(first), gzip(second)].concat(),
        [zstd(first), zstd(second)].concat(),
        [gzip(first), gzip(b""), gzip(second), vec![0; 700]].concat(),
        [b"\x51*M\x18\x03\0\0\0abc", &zstd(text.as_bytes())[..]].concat(),
        gzip(&zstd(text.as_bytes())),
    ] {
        assert!(read(&packed, jsonl).unwrap() == texts);
    }
    assert_eq!(read(&gzip(b""), lines), Ok(vec![]));
    assert_eq!(read(&gzip(b"a,b\n1,2\n"), csv), Ok(vec![r#"{"a":"1","b":"2"}"#.into()]));
    let long = "x".repeat(3 << 20);
    assert_eq!(read(&zstd(long.as_bytes()), lines).unwrap()[0].len(), long.len() + 2);
}

/// The rest of a damaged file must not be missing silently.
#[test]
fn packed_data_that_is_cut_off_or_damaged_is_told_with_its_place() {
    let text: String = (0..50_000).map(|n| format!("{}\n", n * 7_919 % 10_007)).collect();
    for (name, packed) in [("gzip", gzip(text.as_bytes())), ("zstd", zstd(text.as_bytes()))] {
        for len in [5, packed.len() / 2, packed.len() - 1] {
            let problem = problem(&packed[..len], lines);
            assert!(
                problem.contains(&format!("its {name} data is cut off: it ends at byte {len}")),
                "{problem}"
            );
        }
        let mut damaged = packed.clone();
        let middle = packed.len() / 2;
        damaged[middle..middle + 8].fill(0x55);
        let problem = problem(&damaged, lines);
        assert!(problem.contains(&format!("its {name} data is damaged, at byte ")), "{problem}");
    }
    let mut changed = gzip(text.as_bytes());
    let check = changed.len() - 8;
    changed[check] ^= 1;
    assert!(problem(&changed, lines).contains("its gzip data is damaged"));
    let garbage = [gzip(b"a\n"), b"more".to_vec()].concat();
    assert!(
        problem(&garbage, lines).contains("something else follows"),
        "{}",
        problem(&garbage, lines)
    );
    assert!(
        problem(&[zstd(b"a\n"), b"more".to_vec()].concat(), lines)
            .contains("its zstd data is damaged")
    );
}

#[test]
fn what_is_not_read_is_named() {
    let mut tar = vec![b'a'; 257];
    tar.extend_from_slice(b"ustar\x0000");
    for (bytes, name) in [
        (&b"BZh91AY&SY\x01\x02"[..], "bzip2"),
        (b"BZh31AY&SY\x01\x02", "bzip2"),
        (b"\xfd7zXZ\0\0", "xz"),
        (b"\x04\x22\x4d\x18xx", "lz4"),
        (b"PK\x03\x04xx", "zip archive"),
        (b"7z\xbc\xaf\x27\x1cxx", "7z"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"SQLite format 3\0xx", "SQLite"),
        (&tar, "tar archive"),
        (&gzip(&tar), "tar archive"),
    ] {
        for make in [lines, jsonl, csv] {
            let problem = problem(bytes, make);
            assert!(problem.starts_with("source:1: it is ") && problem.contains(name), "{problem}");
        }
    }
}

/// An unclosed quote swallowed all rows behind it, with exit code 0.
#[test]
fn a_quote_that_is_never_closed_is_told_where_it_was_opened() {
    assert_eq!(
        problem(b"a,b\n1,2\n3,\"4\n5,6\n7,8\n", csv),
        "source:3: column 3: a quote is opened here and never closed"
    );
    assert_eq!(
        problem(b"a,b\n\"x\ny\",\"4\n", csv),
        "source:3: column 4: a quote is opened here and never closed"
    );
    assert!(problem(b"a,\"b\n1,2\n", csv).starts_with("source:1: column 3: "));
    assert!(problem(b"a\n\"", csv).starts_with("source:2: column 1: a quote"));
    let endless = format!("a\n1\n\"{}", "x\n".repeat(9 << 20));
    let told = problem(endless.as_bytes(), csv);
    assert!(told.starts_with("source:3: column 1: a row of more than 16777216 bytes"), "{told}");
}

/// A quote too many took the rows up to the next one into one cell.
#[test]
fn a_quote_that_swallows_rows_is_told() {
    let told = problem(b"a,b\n1,\"2\n3,4\n5,\"6\"\n", csv);
    assert!(told.starts_with("source:4: column 4: text follows a closing quote"), "{told}");
    let told = problem(b"a,b\n\"1,2\n3,4\"\n5,6\n", csv);
    assert!(
        told.starts_with("source:3: column 5: 1 cell where the header names 2 columns"),
        "{told}"
    );
    let told = problem("a\nä,\"say \"hi\"\"\n".as_bytes(), csv_by_comma);
    assert!(told.starts_with("source:2: column 9: text follows a closing quote"), "{told}");
}

#[test]
fn rows_that_are_whole_come_whole() {
    let rows = read(b"a,b\r\n\"x\r\ny\",\"\"\"\"\r\n\r\n5\" pipe,\r\n", csv).unwrap();
    assert_eq!(rows, [r#"{"a":"x\r\ny","b":"\""}"#, r#"{"a":"5\" pipe","b":""}"#]);
    let wide = |n: usize| (0..n).map(|i| format!("c{i}")).collect::<Vec<_>>().join(",");
    for columns in [15, 16, 70_000] {
        let row = read(format!("{0}\n{0}\n", wide(columns)).as_bytes(), csv).unwrap();
        let value: serde_json::Value = serde_json::from_str(&row[0]).unwrap();
        assert_eq!(value.as_object().unwrap().len(), columns);
    }
}

#[test]
fn rows_that_disagree_with_the_header_are_told_with_line_and_column() {
    assert_eq!(
        problem(b"a,b,c\n1,2,3\n4,5\n", csv),
        "source:3: column 4: 2 cells where the header names 3 columns: there is nothing for `c`"
    );
    assert_eq!(
        problem(b"a,b\n1,2\n\n4,5,6,7\n", csv),
        "source:4: column 5: 4 cells where the header names 2 columns: here is one too many"
    );
    assert_eq!(problem(b"a,b\nx,\xff\n", csv), "source:2: column 3: a byte that is no UTF-8");
    assert!(problem(b"a,b\r1,2\r", csv).starts_with("source:1: column 4: a carriage return"));
}

/// A header that names a column twice lost one, silently.
#[test]
fn a_column_that_is_named_twice_is_refused() {
    assert_eq!(
        problem(b"id,x,\"id\"\n1,2,3\n", csv),
        "source:1: column 6: columns 1 and 3 are both called `id`; give each a name of its own"
    );
    assert!(problem(b"a,,\n1,2,3\n", csv).contains("columns 2 and 3 are both called ``"));
    // As a table with an index without a name: nothing is lost.
    assert_eq!(read(b",a\n0,1\n", csv), Ok(vec![r#"{"":"0","a":"1"}"#.into()]));
}

/// `;` or tabs as separators made one column of all.
#[test]
fn another_separator_is_taken_when_told_and_hinted_at_when_not() {
    assert_eq!(read(b"a;b\n1,5;2\n", csv_by_semicolon), Ok(vec![r#"{"a":"1,5","b":"2"}"#.into()]));
    for (separator, name) in [(";", ";"), ("\t", "tab"), ("|", "|")] {
        let told = problem(format!("a{separator}b\n1{separator}2\n").as_bytes(), csv);
        assert!(told.starts_with("source:1: column 2: the header is one column"), "{told}");
        assert!(told.contains(&format!("delimiter = \"{name}\"")), "{told}");
    }
    assert_eq!(read(b"a;b\n1;2\n", csv_by_comma), Ok(vec![r#"{"a;b":"1;2"}"#.into()]));
    assert!(read(b"a;b,c\n1,2\n", csv).is_ok());
    assert_eq!([delimiter(";"), delimiter("tab"), delimiter("\t")], [Ok(';'), Ok('\t'), Ok('\t')]);
    for wrong in ["", "ab", "a", "\"", "\n", "§", "1", "comma"] {
        assert!(delimiter(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn json_lines_that_are_none_are_told_with_line_column_and_what_to_do() {
    let told = problem(b"1\n{\"a\":1} {\"b\":2}\n", jsonl);
    assert!(told.starts_with("source:2: column 9: more follows the value"), "{told}");
    for document in
        ["[\n{\"a\":1},\n{\"a\":2}\n]\n", "{\n \"a\": 1\n}\n", "[{\"a\":1},\n{\"a\":2}]\n"]
    {
        let told = problem(document.as_bytes(), jsonl);
        assert!(told.starts_with("source:1: column "), "{told}");
        assert!(
            told.contains("the value goes on in the next line") && told.contains("jq -c"),
            "{told}"
        );
    }
    assert!(problem(b"1\nnope\n", jsonl).starts_with("source:2: column "));
    assert!(problem(b"1\n2\n}\n", jsonl).starts_with("source:3: column 1: "));
    assert_eq!(read(b"[1,2]\n", jsonl), Ok(vec!["[1,2]".into()]));
}

/// An input that gives so many bytes at a time, and then waits for ever.
struct Trickle(Vec<u8>, usize);

impl blocks::Input for Trickle {
    fn append(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        assert!(!self.0.is_empty(), "more was waited for");
        let count = self.1.min(self.0.len());
        to.extend(self.0.drain(..count));
        Ok(count)
    }
}

#[test]
fn a_line_that_is_there_does_not_wait_for_what_follows_it_packed_or_not() {
    let mut flushed = GzEncoder::new(Vec::new(), Compression::default());
    flushed.write_all(b"a\n").unwrap();
    flushed.flush().unwrap();
    let packed = flushed.get_ref().clone();
    for bytes in [b"a\n".to_vec(), b"\xef\xbb\xbfa\n".to_vec(), packed] {
        for step in [1, 2, 100] {
            let mut text = decoded::Decoded::new(Box::new(Trickle(bytes.clone(), step)));
            let mut got = Vec::with_capacity(100);
            while got != b"a\n" {
                blocks::Input::append(&mut text, &mut got).unwrap();
            }
        }
    }
}
