//! Rows of one form behind each other, in a file or a stream.
//!
//! Owns what all such outputs have in common: the number of rows, the marks, and the [`Tail`] that they
//! are appended to. What a row looks like is its [`RowFormat`]'s: a new kind of file is one more of
//! those.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use proto::units::ValueIter;

use super::{
    claim::Claim,
    columns::Columns,
    contract::{Mark, Output, Row},
    error::OutputError,
    tail::Tail,
};

/// What a row looks like.
pub(super) trait RowFormat: Send {
    /// Appends a row. What it appends before an error is taken back; what it remembers then must be
    /// what it was before.
    ///
    /// # Errors
    /// [`OutputError`]; see [`OutputError::is_the_rows_fault`].
    fn append(&mut self, row: &Row<'_>, line: &mut Vec<u8>) -> Result<(), OutputError>;

    /// Appends what stands before the first row, if that is known before there is one.
    fn begin(&mut self, _line: &mut Vec<u8>) {}

    /// The columns, if there are any and they are fixed.
    fn columns(&self) -> Option<&Columns> {
        None
    }

    /// The columns are these again, as they were at a mark.
    fn restore(&mut self, _columns: Option<&Columns>) {}
}

/// See the module.
pub(super) struct Rows<F> {
    tail: Tail,
    format: F,
    rows: u64,
}

impl<F: RowFormat> Rows<F> {
    /// Opens the file at `path`, anew or as it was at a mark, if the claim lets it.
    pub(super) fn open(
        path: &Path,
        mut format: F,
        resume: Option<Mark>,
        claim: &Claim,
    ) -> Result<Self, OutputError> {
        let mut tail = Tail::open(path, resume.as_ref().map(|mark| mark.bytes), claim)?;
        let resume = resume.unwrap_or_default();
        format.restore(resume.columns.as_ref());
        tail.append(|line| {
            format.begin(line);
            Ok(())
        })?;
        Ok(Self { tail, format, rows: resume.rows })
    }

    /// Writes to something that can neither be synced nor taken back; `name` is its name in errors.
    pub(super) fn stream(name: &str, stream: Box<dyn Write + Send>, format: F) -> Self {
        Self { tail: Tail::stream(PathBuf::from(name), stream), format, rows: 0 }
    }
}

impl<F: RowFormat> Output for Rows<F> {
    fn write(&mut self, row: &Row<'_>) -> Result<(), OutputError> {
        let format = &mut self.format;
        self.tail.append(|line| format.append(row, line))?;
        self.rows += 1;
        Ok(())
    }

    fn write_run(&mut self, row: &Row<'_>, values: &mut ValueIter<'_>) -> Result<(), OutputError> {
        let (format, rows, mut id) = (&mut self.format, &mut self.rows, row.id);
        self.tail.append_all(|line| {
            let value = values.next()?;
            let added = format.append(&Row { id, value, ..*row }, line);
            id += 1;
            Some(added.map(|()| *rows += 1))
        })
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        self.tail.flush()
    }

    fn sync(&mut self) -> Result<Mark, OutputError> {
        self.tail.sync()?;
        Ok(self.mark())
    }

    fn mark(&self) -> Mark {
        let columns = self.format.columns().cloned();
        Mark { bytes: self.tail.len(), rows: self.rows, columns }
    }

    fn rewind(&mut self, to: &Mark) -> Result<(), OutputError> {
        self.tail.rewind(to.bytes)?;
        self.rows = to.rows;
        self.format.restore(to.columns.as_ref());
        Ok(())
    }

    fn tail(&mut self) -> Option<&mut Tail> {
        Some(&mut self.tail)
    }
}
