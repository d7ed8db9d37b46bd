use std::fs;

use super::super::open;
use super::*;

const BLOCK: usize = BLOCK_BYTES as usize;

fn read_all(source: &mut dyn Source, units: u64) -> Result<u64, SourceError> {
    let mut count = 0;
    loop {
        let mut chunk = Chunk::default();
        let more = source.read(1000, &mut chunk)?;
        count += chunk.len() as u64;
        if !more || count >= units {
            return Ok(count);
        }
    }
}

/// A ventilator of `run` that goes on at a unit and then reads so many more; what it says.
fn ventilate(spec: &SourceSpec, folder: &Path, run: RunId, at: u64, units: u64) -> String {
    let mut source = open(spec, Some(folder)).unwrap();
    let outcome = source.go_on(run, at).and_then(|()| match units {
        0 => Ok(0),
        units => read_all(&mut *source, units),
    });
    match outcome {
        Ok(count) => format!("{count}"),
        Err(error) => error.to_string().replace(&format!("{}/", folder.display()), ""),
    }
}

/// Numbered lines of 64 bytes.
fn lines(count: usize) -> Vec<u8> {
    (0..count).flat_map(|line| format!("{line:063}\n").into_bytes()).collect()
}

/// A durable run read its whole source before the first unit left: it's digested while it is read.
#[test]
fn a_source_is_compared_as_far_as_it_was_read_wherever_the_run_goes_on() {
    let content = lines(3 * BLOCK / 64 + 1000);
    for (read, at) in [(100, 0), (100, 90), (70_000, 0), (70_000, 69_000), (150_000, 66_000)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in");
        let spec = SourceSpec::Lines { path: path.clone() };
        fs::write(&path, &content).unwrap();
        assert!(ventilate(&spec, folder.path(), 7, 0, read).parse::<u64>().unwrap() >= read);
        let known = Known::read(folder.path(), BLOCK_BYTES).unwrap().unwrap().bytes();
        assert!((read * 64..read * 64 + 2 * BLOCK_BYTES).contains(&known), "{read} {known}");
        for place in [0, at * 64, read * 64 - 1, known - 1] {
            let mut changed = content.clone();
            changed[place as usize] ^= 1;
            fs::write(&path, &changed).unwrap();
            let said = ventilate(&spec, folder.path(), 7, at, 0);
            let block = place / BLOCK_BYTES * BLOCK_BYTES;
            let told = format!(
                "the content of the source has changed: in differs between bytes {block} and "
            );
            assert!(said.starts_with(&told), "{read} {at} {place}: {said}");
            let seen = difference(&spec, folder.path(), 7, Depth::Content).unwrap();
            assert!(matches!(seen, Some(Difference::Bytes { from, .. }) if from == block));
        }
        // What was not read yet is read as it is.
        let mut changed = content.clone();
        changed[known as usize] ^= 1;
        fs::write(&path, &changed).unwrap();
        assert_eq!(ventilate(&spec, folder.path(), 7, at, 0), "0");
        assert_eq!(difference(&spec, folder.path(), 7, Depth::Content).unwrap(), None);
        assert_ne!(ventilate(&spec, folder.path(), 7, at, u64::MAX), "0");
        assert_eq!(difference(&spec, folder.path(), 7, Depth::Content).unwrap(), None);
    }
}

/// A source that only grew is recognisable as such.
#[test]
fn a_source_that_has_grown_or_was_cut_is_told_apart_from_another_one() {
    for (read, at) in [(10, 5), (u64::MAX, 1000)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in");
        let spec = SourceSpec::Lines { path: path.clone() };
        fs::write(&path, lines(1000)).unwrap();
        ventilate(&spec, folder.path(), 7, 0, read);
        let said = |content: &[u8], depth| {
            fs::write(&path, content).unwrap();
            let seen = difference(&spec, folder.path(), 7, depth).unwrap();
            let said = ventilate(&spec, folder.path(), 7, at, 0);
            assert_eq!(seen.is_some(), said != "0", "{said}");
            if let Some(seen) = seen {
                assert_eq!(said, format!("the content of the source has changed: in {seen}"));
            }
            said
        };
        for depth in [Depth::Length, Depth::Content] {
            let grown = said(&lines(1002), depth);
            assert!(grown.contains("in has grown by 128 bytes since"), "{grown}");
            let cut = said(&lines(999), depth);
            assert!(cut.contains("in is 64 bytes shorter than it was"), "{cut}");
            let mut other = lines(1002);
            other[0] = b'x';
            let other = said(&other, depth);
            assert!(other.contains("in differs between bytes 0 and "), "{other}");
            assert_eq!(said(&lines(1000), depth), "0");
        }
    }
}

#[test]
fn another_run_knows_nothing_of_what_an_earlier_one_has_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in");
    let spec = SourceSpec::Jsonl { path: path.clone() };
    fs::write(&path, "1\n2\n3\n").unwrap();
    assert_eq!(ventilate(&spec, folder.path(), 7, 0, 9), "3");
    fs::write(&path, "4\n5\n").unwrap();
    assert_eq!(difference(&spec, folder.path(), 8, Depth::Content).unwrap(), None);
    assert_eq!(ventilate(&spec, folder.path(), 8, 0, 9), "2");
    assert_eq!(ventilate(&spec, folder.path(), 8, 1, 9), "1");
    assert!(ventilate(&spec, folder.path(), 7, 1, 9).parse::<u64>().is_ok());
}

/// The change is what is told, not what could not be understood because of it.
#[test]
fn a_change_that_can_not_be_understood_is_told_as_a_change() {
    for (kind, text) in [("jsonl", "oops\n2\n3\n4\n"), ("csv", "a,b,c\n1,2\n3,4\n5,6\n")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in");
        fs::write(&path, ["1\n2\n3\n4\n", "a,b\n1,2\n3,4\n5,6\n"][usize::from(kind == "csv")])
            .unwrap();
        let spec: SourceSpec = format!("{kind}:{}", path.display()).parse().unwrap();
        ventilate(&spec, folder.path(), 7, 0, 9);
        fs::write(&path, text).unwrap();
        let said = ventilate(&spec, folder.path(), 7, 2, 9);
        assert!(said.starts_with("the content of the source has changed: in "), "{said}");
    }
}

#[test]
fn files_are_compared_by_their_names_lengths_and_times() {
    let folder = tempfile::tempdir().unwrap();
    let (files, run_dir) = (folder.path().join("files"), folder.path().join("run"));
    fs::create_dir_all(&files).unwrap();
    fs::create_dir_all(&run_dir).unwrap();
    let file = |number: u32| files.join(format!("{number:04}"));
    (0..600).for_each(|number| fs::write(file(number), "x").unwrap());
    let spec: SourceSpec = format!("files:{}/*", files.display()).parse().unwrap();
    let said = |at| ventilate(&spec, &run_dir, 7, at, u64::MAX);
    let seen = || difference(&spec, &run_dir, 7, Depth::Content).unwrap();
    assert_eq!(said(0), "600");
    assert_eq!((said(400).as_str(), seen()), ("200", None));
    fs::write(file(300), "xx").unwrap();
    let told = said(0);
    assert!(matches!(seen(), Some(Difference::Files { .. })), "{:?}", seen());
    assert!(told.contains("their names, lengths or times of change differ"), "{told}");
    fs::write(file(300), "x").unwrap();
    (0..300).for_each(|number| fs::remove_file(file(number)).unwrap());
    assert!(seen().is_some());
    (0..600).for_each(|number| fs::write(file(number), "x").unwrap());
    assert!(seen().is_some(), "their times are others");
    let fresh = || ventilate(&spec, &run_dir, 8, 0, u64::MAX);
    assert_eq!(fresh(), "600");
    fs::write(file(600), "x").unwrap();
    fs::write(file(601), "x").unwrap();
    let grown = difference(&spec, &run_dir, 8, Depth::Content).unwrap();
    assert_eq!(grown, Some(Difference::MoreFiles { count: 2 }));
    (599..602).for_each(|number| fs::remove_file(file(number)).unwrap());
    let fewer = difference(&spec, &run_dir, 8, Depth::Content).unwrap();
    assert_eq!(fewer, Some(Difference::FewerFiles));
}

/// What a loss of power takes of the table is not taken for granted.
#[test]
fn a_table_that_lost_its_end_asks_for_a_file_that_looks_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in");
    let spec = SourceSpec::Lines { path: path.clone() };
    fs::write(&path, lines(200_000)).unwrap();
    assert_eq!(ventilate(&spec, folder.path(), 7, 0, 150_000).parse::<u64>().unwrap() / 1000, 150);
    let table = folder.path().join(super::super::digests::FILE);
    let bytes = fs::read(&table).unwrap();
    for kept in [bytes.len() - 1, 64 + 41, 64] {
        fs::write(&table, &bytes[..kept]).unwrap();
        assert_eq!(ventilate(&spec, folder.path(), 7, 150_000, 0), "0", "{kept}");
        fs::write(&table, &bytes[..kept]).unwrap();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
        let said = ventilate(&spec, folder.path(), 7, 150_000, 0);
        assert!(said.contains("were lost with the machine's power"), "{kept}: {said}");
        file.set_modified(before).unwrap();
    }
}

#[test]
fn digests_of_another_version_or_of_somebody_else_are_refused_by_name_and_stay() {
    for (table, problem) in [
        (&b"digests2, in another form"[..], "is in format 2, and this version reads format 1"),
        (b"digests", "is torn"),
        (b"a thesis", "is no table of digests"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in");
        fs::write(&path, lines(10)).unwrap();
        let file = folder.path().join(super::super::digests::FILE);
        fs::write(&file, table).unwrap();
        let spec = SourceSpec::Lines { path };
        match open(&spec, Some(folder.path())) {
            Err(error) => {
                let told = error.to_string();
                assert!(
                    told.contains(&format!("{} {problem}", super::super::digests::FILE)),
                    "{told}"
                );
                assert!(fs::read(&file).unwrap() == table);
            }
            Ok(_) => assert_eq!(table, b"digests", "what a kill has torn is begun anew"),
        }
    }
}
