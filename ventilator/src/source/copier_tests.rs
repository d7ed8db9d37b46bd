use std::{
    cell::Cell,
    io::{Seek, SeekFrom, Write, pipe},
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use super::*;

thread_local! {
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Ends what runs in this thread after so many moments, as a kill would: all later ones fail too.
pub(super) fn moment() -> io::Result<()> {
    LEFT.with(|left| match left.get() {
        None => Ok(()),
        Some(0) => Err(io::Error::other("killed")),
        Some(count) => {
            left.set(Some(count - 1));
            Ok(())
        }
    })
}

/// One life of a ventilator, killed after so many moments; whether it came to its end.
fn live(folder: &Path, fd: &OwnedFd, held: Option<&str>, moments: u32) -> Option<io::Result<End>> {
    LEFT.with(|left| left.set(Some(moments)));
    let feed = Feed::new(fd.try_clone().unwrap(), held.map(Into::into)).unwrap();
    let outcome = Copier::open(folder, feed).and_then(|mut copier| copier.run(|_| {}));
    let was_killed = LEFT.with(|left| left.replace(None) == Some(0));
    (!was_killed || outcome.is_ok()).then_some(outcome)
}

/// What a launcher that was given `content` holds for its ventilators.
fn offer(content: &[u8]) -> OwnedFd {
    let (reader, mut writer) = pipe().unwrap();
    let content = content.to_vec();
    std::thread::spawn(move || drop(writer.write_all(&content)));
    reader.into()
}

/// Lines of which each has its number, and lines of which each is as the other: these look the same
/// from wherever they are read.
fn contents() -> [Vec<u8>; 2] {
    let numbered: String = (0..90_000).map(|line| format!("{line}\n")).collect();
    [numbered.into_bytes(), b"the same\n".repeat(60_000)]
}

fn copied(folder: &Path) -> Vec<u8> {
    assert!(folder.join(ENDED_FILE).exists());
    fs::read(folder.join(FILE)).unwrap()
}

/// A random number below `below`, by xorshift: the same for the same seed.
fn draw(seed: &mut u64, below: u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed % below
}

/// Standard input given again, and the ventilator killed while it compares: its successor took the
/// pipe to stand where the copy ends.
#[test]
fn a_ventilator_that_is_killed_at_any_moment_leaves_its_successor_the_rest_of_the_stream() {
    for content in contents() {
        for first in [0, 1, 3, 4, 7, 12] {
            for moments in 0..14 {
                let folder = tempfile::tempdir().unwrap();
                let begun = offer(&content);
                let ended = live(folder.path(), &begun, None, first);
                drop(begun);
                let again = offer(&content);
                let mut lives = moments..;
                let ended = ended.or_else(|| {
                    lives.find_map(|moments| live(folder.path(), &again, None, moments))
                });
                assert!(matches!(ended, Some(Ok(End::Whole))), "{first} {moments} {ended:?}");
                assert!(copied(folder.path()) == content, "{first} {moments}");
            }
        }
    }
}

/// Launchers and ventilators die in any order: each launcher is given the whole input again.
#[test]
fn whoever_is_killed_and_how_often_the_copy_is_the_input() {
    for seed in 1..80_u64 {
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let content = &contents()[draw(&mut dice, 2) as usize];
        let folder = tempfile::tempdir().unwrap();
        let mut stream = offer(content);
        let mut ended = None;
        for round in 0..200 {
            let moments = draw(&mut dice, 12) as u32 + round / 4;
            ended = live(folder.path(), &stream, None, moments);
            if ended.is_some() && draw(&mut dice, 3) > 0 {
                break;
            }
            if draw(&mut dice, 3) == 0 {
                stream = offer(content);
            }
        }
        assert!(matches!(ended, Some(Ok(End::Whole))), "seed {seed}: {ended:?}");
        assert!(copied(folder.path()) == *content, "seed {seed}");
    }
}

/// A regular file that is read from its middle on, as what a shell's `read` has left of it.
#[test]
fn a_file_of_which_somebody_has_read_a_part_is_copied_from_there_on() {
    for held in [Some("launcher"), None] {
        for moments in 0..12 {
            let (content, folder) = (&contents()[1], tempfile::tempdir().unwrap());
            let path = folder.path().join("input");
            fs::write(&path, [b"header\n", &content[..]].concat()).unwrap();
            let mut input = File::open(&path).unwrap();
            input.seek(SeekFrom::Start(7)).unwrap();
            let input = OwnedFd::from(input);
            let ended = (moments..).find_map(|count| live(folder.path(), &input, held, count));
            assert!(matches!(ended, Some(Ok(End::Whole))), "{moments} {ended:?}");
            assert!(copied(folder.path()) == *content, "{held:?} {moments}");
        }
    }
}

#[test]
fn another_stream_is_refused_whoever_compares_it() {
    let (content, folder) = (&contents()[0], tempfile::tempdir().unwrap());
    assert!(live(folder.path(), &offer(content), None, u32::MAX).is_some());
    for (other, told) in [
        (content[..400_000].to_vec(), "it ends at byte 400000"),
        ([&content[..300_000], b"x", &content[300_001..]].concat(), "it differs at byte 300000"),
        ([&content[..], b"more\n"].concat(), "it goes on at byte 528890 (line 90001)"),
    ] {
        for moments in [2, 5, 9, 300] {
            let again = offer(&other);
            let mut lives = (moments..).map(|moments| live(folder.path(), &again, None, moments));
            let error = lives.find_map(|ended| ended).unwrap().unwrap_err().to_string();
            assert!(error.contains(told), "{moments}: {error}");
        }
    }
}

/// Half a line became a unit when nobody gave the rest.
#[test]
fn a_copy_that_ends_within_a_line_is_not_taken_for_all() {
    for (text, whole) in [(&b"a\nb\n"[..], true), (b"a\nhalf", false)] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), text).unwrap();
        for _ in 0..2 {
            let ended = live(folder.path(), &offer(b""), None, u32::MAX).unwrap().unwrap();
            assert_eq!(ended == End::Whole, whole);
            assert_eq!(folder.path().join(ENDED_FILE).exists(), whole);
        }
    }
}

#[test]
fn a_socket_that_was_read_before_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, mut other) = UnixStream::pair().unwrap();
    other.write_all(b"a\nb\n").unwrap();
    let socket = OwnedFd::from(socket);
    assert!(live(folder.path(), &socket, None, 2).is_none());
    drop(other);
    let error = live(folder.path(), &socket, None, u32::MAX).unwrap().unwrap_err().to_string();
    assert!(error.starts_with("how far a socket or a device was read"), "{error}");
}

#[test]
fn a_record_of_another_version_or_of_somebody_else_is_refused_by_name_and_stays() {
    for (record, problem) in [
        (&br#"{"format":2,"streams":[]}"#[..], "is in format 2, and this version reads format 1"),
        (br#"{"format":1,"streams":[]}"#, "is no record of a stream"),
        (b"a thesis", "is no record of a stream"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "1\n").unwrap();
        fs::write(folder.path().join(STANDING_FILE), record).unwrap();
        let refused = live(folder.path(), &offer(b"1\n2\n"), None, u32::MAX).unwrap();
        let told = refused.unwrap_err().to_string();
        assert!(told.starts_with(&format!("{STANDING_FILE} {problem}")), "{told}");
        assert!(fs::read(folder.path().join(STANDING_FILE)).unwrap() == record);
    }
    for torn in
        [&b""[..], &[0; 50], br#"{"format":1,"stream":"pipe 1"#, b"{\"format\":1,\"str\0\0\0"]
    {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(STANDING_FILE), torn).unwrap();
        let whole = live(folder.path(), &offer(b"1\n2\n"), None, u32::MAX).unwrap();
        assert_eq!(whole.unwrap(), End::Whole);
    }
    // As it was before formats were numbered.
    let folder = tempfile::tempdir().unwrap();
    let old = br#"{"stream":"a","file":null,"start":0,"phase":"Copying"}"#;
    fs::write(folder.path().join(STANDING_FILE), old).unwrap();
    assert_eq!(Progress::read(folder.path()).unwrap().unwrap().stream.as_deref(), Some("a"));
}
