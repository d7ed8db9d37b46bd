//! The dead-letter file: units that failed for good, each with its input and its error.
//!
//! Owns the file, which exists only once there is a [letter](DeadLetter) in it. Refuses to decide when
//! a unit is dead.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::claim::Claim;
use super::contract::Mark;
use super::error::OutputError;
use super::tail::{Tail, require_folder};
use crate::letter::DeadLetter;

/// Stands for the stage in the letter of a unit whose result the output cannot hold. No stage can
/// have this name. The letter's input is the result then.
pub const SINK_STAGE: &str = "[sink]";

/// The file of dead letters, one JSON object a line.
///
/// What [`Output`](crate::output::Output) says of marks, syncs and errors holds here too.
pub struct DeadLetters {
    path: PathBuf,
    claim: Claim,
    /// `None` until the first letter.
    tail: Option<Tail>,
    letters: u64,
}

impl DeadLetters {
    /// Prepares the file at `path`. Without a mark, or with an empty one, a file that this run or
    /// the one before it left there is removed, and anybody else's refused; with one, it is cut to
    /// it. A missing folder is found out here, not when hours later a unit dies.
    ///
    /// # Errors
    /// [`OutputError::NoFolder`], [`OutputError::Open`], [`OutputError::Shorter`],
    /// [`OutputError::Exists`], as for outputs.
    pub fn open(path: &Path, resume: Option<&Mark>, claim: &Claim) -> Result<Self, OutputError> {
        let mark = resume.filter(|mark| mark.bytes > 0);
        let tail = match mark {
            Some(mark) => Some(Tail::open(path, Some(mark.bytes), claim)?),
            None => {
                require_folder(path)?;
                remove_old(path, claim)?;
                None
            }
        };
        let letters = mark.map_or(0, |mark| mark.rows);
        Ok(DeadLetters { path: path.to_owned(), claim: claim.clone(), tail, letters })
    }

    /// Where the letters are, or would be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a letter; the first one makes the file.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn write(&mut self, letter: &DeadLetter) -> Result<(), OutputError> {
        let tail = match &mut self.tail {
            Some(tail) => tail,
            None => self.tail.insert(Tail::open(&self.path, None, &self.claim)?),
        };
        tail.append(|line| {
            serde_json::to_writer(&mut *line, letter)
                .map_err(|source| OutputError::Value { id: letter.id, source: source.into() })?;
            line.push(b'\n');
            Ok(())
        })?;
        self.letters += 1;
        Ok(())
    }

    /// Hands everything to the operating system.
    ///
    /// # Errors
    /// [`OutputError::Write`].
    pub fn flush(&mut self) -> Result<(), OutputError> {
        self.tail.as_mut().map_or(Ok(()), Tail::flush)
    }

    /// Makes everything durable, and says how far that is. Costs nothing while there is no letter.
    ///
    /// # Errors
    /// [`OutputError::Write`], [`OutputError::Sync`].
    pub fn sync(&mut self) -> Result<Mark, OutputError> {
        self.tail.as_mut().map_or(Ok(()), Tail::sync)?;
        Ok(self.mark())
    }

    /// How far the file has come, including what is not durable yet.
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.tail.as_ref().map_or(0, Tail::len), rows: self.letters, columns: None }
    }

    /// Takes back every letter after `to`.
    ///
    /// # Errors
    /// [`OutputError::Shorter`], [`OutputError::Write`].
    pub fn rewind(&mut self, to: &Mark) -> Result<(), OutputError> {
        match &mut self.tail {
            Some(tail) => tail.rewind(to.bytes)?,
            None if to.bytes > 0 => {
                return Err(OutputError::Shorter {
                    path: self.path.clone(),
                    unit: "bytes",
                    found: 0,
                    recorded: to.bytes,
                });
            }
            None => {}
        }
        self.letters = to.rows;
        Ok(())
    }
}

fn remove_old(path: &Path, claim: &Claim) -> Result<(), OutputError> {
    let failed = |source| OutputError::Open { path: path.to_owned(), source };
    let data = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed)?,
    };
    // A device or pipe is somebody else's: `--dead /dev/stderr`.
    if !data.is_file() {
        return Ok(());
    }
    claim.check(path, &data, 0)?;
    if data.len() == 0 && !claim.owns(&data) {
        return Ok(());
    }
    // A link stays one.
    match fs::canonicalize(path).and_then(fs::remove_file) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(failed(source)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proto::unit::Step;

    use super::*;
    use crate::output::{claim::Existing, test_rows::claim};

    fn letter(id: u64) -> DeadLetter {
        DeadLetter {
            id,
            stage: "square".to_owned(),
            input: serde_json::json!({"n": 3}),
            error: "not a \"number\"".to_owned(),
            attempts: 3,
            worker: "w1".to_owned(),
            path: Vec::new(),
            offset_bytes: None,
        }
    }

    #[test]
    fn there_is_no_file_without_a_letter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let mut earlier = DeadLetters::open(&path, None, &claim(&folder)).unwrap();
        earlier.write(&letter(1)).unwrap();
        earlier.flush().unwrap();
        drop(earlier);
        let mut dead = DeadLetters::open(&path, None, &claim(&folder)).unwrap();
        assert_eq!(dead.sync().unwrap(), Mark::default());
        assert!(!path.exists());
    }

    /// No harm: `dead = "notes.txt"` removes nothing of a user's, whether units die or not.
    #[test]
    fn a_file_that_no_run_made_is_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        fs::write(&path, "a thesis").unwrap();
        for mark in [None, Some(Mark::default())] {
            let opened = DeadLetters::open(&path, mark.as_ref(), &claim(&folder));
            assert!(matches!(opened.err(), Some(OutputError::Exists { .. })));
            assert_eq!(fs::read(&path).unwrap(), b"a thesis");
        }
        fs::write(&path, "").unwrap();
        drop(DeadLetters::open(&path, None, &claim(&folder)).unwrap());
        assert!(path.exists(), "an empty file is somebody's too");
        fs::write(&path, "a thesis").unwrap();
        let over = Claim { existing: Existing::Overwrite, ..Claim::default() };
        drop(DeadLetters::open(&path, None, &over).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_letter_is_a_line_that_can_be_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let mut dead = DeadLetters::open(&path, None, &claim(&folder)).unwrap();
        let deep = DeadLetter {
            path: DeadLetter::path_of(&[Step { execution: 7, index: 2, of: 3 }]),
            ..letter(9)
        };
        dead.write(&letter(8)).unwrap();
        dead.write(&deep).unwrap();
        dead.sync().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text.lines().next().unwrap(),
            r#"{"id":8,"stage":"square","input":{"n":3},"error":"not a \"number\"","attempts":3,"worker":"w1"}"#
        );
        let read: Vec<DeadLetter> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, [letter(8), deep]);
    }

    #[test]
    fn a_restart_takes_back_the_letters_after_the_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dead.jsonl");
        let mut dead = DeadLetters::open(&path, None, &claim(&folder)).unwrap();
        let none = dead.mark();
        dead.write(&letter(1)).unwrap();
        let one = dead.sync().unwrap();
        let before = fs::read(&path).unwrap();
        dead.write(&letter(2)).unwrap();
        dead.flush().unwrap();
        drop(dead);
        let mut dead = DeadLetters::open(&path, Some(&one), &claim(&folder)).unwrap();
        assert_eq!(dead.mark(), one);
        dead.write(&letter(3)).unwrap();
        dead.rewind(&one).unwrap();
        dead.flush().unwrap();
        assert_eq!(fs::read(&path).unwrap(), before);
        DeadLetters::open(&path, Some(&none), &claim(&folder)).unwrap();
        assert!(!path.exists());
        assert!(DeadLetters::open(&path, Some(&one), &claim(&folder)).is_err());
    }

    #[test]
    fn an_input_without_a_json_form_is_kept_all_the_same() {
        assert_eq!(DeadLetter::input_of(&[0x93, 1, 2, 3]), serde_json::json!([1, 2, 3]));
        assert_eq!(
            DeadLetter::input_of(&[0x81, 0x91, 1, 2]),
            serde_json::json!({"messagepack": "81910102"})
        );
    }
}
