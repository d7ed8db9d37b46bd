//! The sources: where units come from.
//!
//! Owns which one a specification means; each source has a file of its own, and so has the [trait](Source)
//! that they share.

mod blocks;
mod chunk;
mod compare;
mod copier;
mod decoded;
mod digests;
mod error;
mod feed;
mod files;
mod grown;
mod left_out;
mod listed;
mod listing;
mod own;
mod pattern;
mod peeked;
mod proven;
mod range;
mod reader;
mod records;
mod row;
mod rows;
mod signature;
mod spec;
mod spool;
mod text;
mod unpack;
mod values;
mod walk;

use std::{fs::File, io, path::Path};

use proven::{Proven, Unproven};

pub use chunk::Chunk;
pub use compare::{Depth, difference};
pub use digests::Difference;
pub use error::SourceError;
pub use feed::{STREAM_VARIABLE, is_fifo, is_own_stdin};
pub use files::Files;
pub use grown::{Growth, GrowthError, growth};
pub use pattern::{Pattern, PatternError};
pub use reader::{SourceThread, spawn};
pub use spec::{Accept, DelimiterError, ServiceSpec, SourceSpec, SourceSpecError, delimiter};
pub use values::Source;

/// Opens a source.
///
/// `run_dir` is where a source that can't be read twice is copied to, and where it is kept what was
/// read of one that can; without it, neither is.
///
/// # Errors
/// [`SourceError`] when the file is not there or the pattern is none.
pub fn open(spec: &SourceSpec, run_dir: Option<&Path>) -> Result<Box<dyn Source>, SourceError> {
    let source: Box<dyn Source> = match spec {
        SourceSpec::Range { from, to, step } => {
            return Ok(Box::new(range::Range::new(*from, *to, *step)));
        }
        SourceSpec::Service(_) => return Err(SourceError::Service),
        SourceSpec::Stdin => {
            let name = Path::new("standard input");
            let stdin = feed::Feed::stdin().map_err(|source| io_error(name, source))?;
            understood(spec, name, once(stdin, run_dir)?)
        }
        SourceSpec::Files { glob, folder, own } => {
            let folder = folder.as_deref().unwrap_or(Path::new(""));
            let spill = run_dir.map_or_else(std::env::temp_dir, Path::to_path_buf);
            let files = Box::new(Files::find(glob, folder, own, &spill)?);
            match run_dir {
                Some(run_dir) => Box::new(Proven::listing(spec, glob, run_dir, files)?),
                None => files,
            }
        }
        SourceSpec::Lines { path } | SourceSpec::Jsonl { path } | SourceSpec::Csv { path, .. } => {
            open_path(spec, path, run_dir)?
        }
    };
    Ok(match run_dir {
        Some(_) => source,
        None => Box::new(Unproven(source)),
    })
}

/// Opens what stands at a path, which may be no file.
fn open_path(
    spec: &SourceSpec,
    path: &Path,
    run_dir: Option<&Path>,
) -> Result<Box<dyn Source>, SourceError> {
    let stream = feed::at(path).map_err(|source| io_error(path, source))?;
    match (stream, run_dir) {
        (Some(stream), run_dir) => Ok(understood(spec, path, once(stream, run_dir)?)),
        (None, None) => {
            let file = File::open(path).map_err(|source| io_error(path, source))?;
            Ok(understood(spec, path, Box::new(file)))
        }
        (None, Some(run_dir)) => {
            let make = |bytes| understood(spec, path, bytes);
            Ok(Box::new(Proven::file(path, run_dir, make)?))
        }
    }
}

/// The values in the bytes of a file or a stream.
fn understood(spec: &SourceSpec, path: &Path, bytes: Box<dyn blocks::Input>) -> Box<dyn Source> {
    let stream = text::Stream::new(path, bytes);
    match spec {
        SourceSpec::Jsonl { .. } => Box::new(text::Jsonl::of(stream)),
        SourceSpec::Csv { delimiter, .. } => Box::new(rows::Rows::of(stream, *delimiter)),
        _ => Box::new(text::Lines::of(stream)),
    }
}

/// The bytes of a stream, by way of its copy if there is a place for one.
fn once(stream: feed::Feed, run_dir: Option<&Path>) -> Result<Box<dyn blocks::Input>, SourceError> {
    Ok(match run_dir {
        None => Box::new(stream),
        Some(run_dir) => Box::new(spool::Spool::open(run_dir, stream)?),
    })
}

fn io_error(path: &Path, source: io::Error) -> SourceError {
    SourceError::Io { path: path.into(), source }
}

#[cfg(test)]
mod format_tests;

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    fn all(source: &mut dyn Source) -> Vec<serde_json::Value> {
        let mut values = Vec::new();
        loop {
            let mut chunk = Chunk::default();
            let more = source.read(3, &mut chunk).unwrap();
            let mut start = 0;
            for end in chunk.ends {
                let value = &chunk.payload[start as usize..end as usize];
                values.push(rmp_serde::from_slice::<serde_json::Value>(value).unwrap());
                start = end;
            }
            if !more {
                return values;
            }
        }
    }

    fn csv(path: PathBuf) -> SourceSpec {
        SourceSpec::Csv { path, delimiter: None }
    }

    fn of(text: &str, make: impl Fn(PathBuf) -> SourceSpec) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source");
        fs::write(&path, text).unwrap();
        let mut source = open(&make(path), None).map_err(|error| error.to_string())?;
        Ok(all(&mut *source).into_iter().map(|value| value.to_string()).collect())
    }

    #[test]
    fn a_range_is_inclusive_and_may_step_and_count_down() {
        let values =
            |from, to, step| all(&mut *open(&SourceSpec::Range { from, to, step }, None).unwrap());
        assert_eq!(values(1, 5, 1), [1, 2, 3, 4, 5]);
        assert_eq!(values(1, 6, 2), [1, 3, 5]);
        assert_eq!(values(2, -2, -2), [2, 0, -2]);
        assert!(values(5, 1, 1).is_empty());
        assert_eq!(values(i64::MAX - 1, i64::MAX, 1).len(), 2);
    }

    #[test]
    fn lines_keep_their_spaces_and_lose_their_ends() {
        let lines = of("a\n b \r\n\nlast", |path| SourceSpec::Lines { path }).unwrap();
        assert_eq!(lines, ["\"a\"", "\" b \"", "\"\"", "\"last\""]);
        assert!(of("", |path| SourceSpec::Lines { path }).unwrap().is_empty());
    }

    #[test]
    fn long_lines_come_whole_wherever_they_lie_and_whatever_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let lengths = [5, 400_000, 65_535, 0, 65_536, 131_071, 131_072, 1 << 20, 1 << 20, 3];
        let texts = lengths.iter().enumerate().map(|(n, len)| ["x", "é"][n % 2].repeat(*len));
        let mut lines: Vec<Vec<u8>> = texts.map(String::into_bytes).collect();
        lines.push([&[b'y'; 200_000][..], &[0xff]].concat());
        lines.push(vec![b'z'; 200_000]);
        for (between, after) in [("\n", ""), ("\n", "\n"), ("\r\n", "\r\n")] {
            let text = lines.join(between.as_bytes());
            fs::write(&path, [&text, after.as_bytes()].concat()).unwrap();
            let values = all(&mut *open(&SourceSpec::Lines { path: path.clone() }, None).unwrap());
            assert_eq!(values.len(), lines.len());
            for (value, line) in values.iter().zip(&lines) {
                assert!(value.as_str() == Some(&String::from_utf8_lossy(line)), "{}", line.len());
            }
        }
    }

    #[test]
    fn a_line_that_could_not_travel_is_named() {
        let most = (16 << 20) - 1;
        assert_eq!(of(&"x".repeat(most), |path| SourceSpec::Lines { path }).unwrap().len(), 1);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        fs::write(&path, format!("a\n{}\n", "x".repeat(most + 1))).unwrap();
        let mut source = open(&SourceSpec::Lines { path }, None).unwrap();
        let mut read = || source.read(9, &mut Chunk::default());
        let error = read().and_then(|_| read()).unwrap_err().to_string();
        assert!(error.ends_with("lines:2: a line of more than 16777216 bytes"), "{error}");
    }

    #[test]
    fn jsonl_gives_values_and_says_which_line_is_none() {
        let values = of("1\n\n{\"b\":[2]}\n", |path| SourceSpec::Jsonl { path }).unwrap();
        assert_eq!(values, ["1", "{\"b\":[2]}"]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.jsonl");
        fs::write(&path, "1\n{oops}\n").unwrap();
        let mut source = open(&SourceSpec::Jsonl { path }, None).unwrap();
        let error = source.read(9, &mut Chunk::default()).unwrap_err().to_string();
        assert!(error.contains("bad.jsonl:2: "), "{error}");
    }

    #[test]
    fn csv_gives_a_map_a_row() {
        let rows = of("name,n\nann,1\n\"b,c\",2\n", csv).unwrap();
        assert_eq!(rows, [r#"{"name":"ann","n":"1"}"#, r#"{"name":"b,c","n":"2"}"#]);
    }

    #[test]
    fn files_are_sorted_and_folders_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a.txt", "c.md"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("d.txt")).unwrap();
        let glob = folder.path().join("*.txt").display().to_string();
        let paths = all(&mut *open(&SourceSpec::files(glob), None).unwrap());
        assert_eq!(paths.len(), 2);
        assert!(paths[0].as_str().unwrap().ends_with("a.txt"));
    }

    #[test]
    fn skipping_passes_over_exactly_that_many() {
        let mut source = open(&SourceSpec::Range { from: 1, to: 50_000, step: 1 }, None).unwrap();
        source.skip(49_998).unwrap();
        assert_eq!(all(&mut *source), [49_999, 50_000]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        fs::write(&path, "a\nb\nc\n").unwrap();
        let mut source = open(&SourceSpec::Lines { path }, None).unwrap();
        source.skip(2).unwrap();
        assert_eq!(all(&mut *source), ["c"]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = open(&SourceSpec::Lines { path: "/no/such".into() }, None).err().unwrap();
        assert!(error.to_string().starts_with("/no/such: "));
    }
}
