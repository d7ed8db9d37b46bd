//! Comma-separated values: a header, and a row a result.
//!
//! Owns the choice of columns. With `fields` these are the columns. Without, the first result
//! decides: a map gives a column a key, anything else the single column `value`. A later map may
//! lack keys (empty cells), but not bring new ones: the header is written, so that is an error.
//! Strings stand as they are, null and NaN are empty, arrays and maps are JSON text.
#![cfg_attr(
    not(test),
    expect(
        clippy::indexing_slicing,
        clippy::expect_used,
        reason = "as many cells as columns; a vector takes every byte"
    )
)]

use std::path::Path;

use super::claim::Claim;
use super::columns::{Columns, key_text};
use super::contract::{Mark, Row};
use super::error::OutputError;
use super::jsonl::{NIL, round_ms};
use super::rows::{RowFormat, Rows};
use crate::config::Field;
use crate::walk::{Scalar, append_json, entries, scalar};

/// What a row of the csv crate's own buffer takes at first; it grows with the row.
const ROW_BYTES: usize = 1024;

/// See the module.
pub(super) struct Csv {
    fields: Vec<Field>,
    /// Fixed, and the header written; `None` before the first row.
    columns: Option<Columns>,
    /// The cells of one row, kept for their memory.
    cells: Vec<Vec<u8>>,
}

impl Csv {
    /// Rows in a file.
    pub(super) fn open(
        path: &Path,
        fields: Vec<Field>,
        resume: Option<Mark>,
        claim: &Claim,
    ) -> Result<Rows<Self>, OutputError> {
        let format = Self { fields, columns: None, cells: Vec::new() };
        Rows::open(path, format, resume, claim)
    }
}

impl RowFormat for Csv {
    fn append(&mut self, row: &Row<'_>, line: &mut Vec<u8>) -> Result<(), OutputError> {
        if let Some(columns) = &self.columns {
            return append_row(columns, row, &mut self.cells, line);
        }
        let columns = Columns::of(row.value);
        append_record(&columns.header(), line);
        append_row(&columns, row, &mut self.cells, line)?;
        // Only now: a row that could not be written takes the header with it.
        self.columns = Some(columns);
        Ok(())
    }

    fn begin(&mut self, line: &mut Vec<u8>) {
        if self.columns.is_none() && !self.fields.is_empty() {
            let columns = Columns::Fields(self.fields.clone());
            append_record(&columns.header(), line);
            self.columns = Some(columns);
        }
    }

    fn columns(&self) -> Option<&Columns> {
        self.columns.as_ref()
    }

    fn restore(&mut self, columns: Option<&Columns>) {
        self.columns = columns.cloned();
    }
}

fn append_row(
    columns: &Columns,
    row: &Row<'_>,
    cells: &mut Vec<Vec<u8>>,
    line: &mut Vec<u8>,
) -> Result<(), OutputError> {
    cells.resize_with(columns.count(), Vec::new);
    cells.iter_mut().for_each(Vec::clear);
    fill(columns, row, cells)?;
    append_record(cells, line);
    Ok(())
}

/// How many bytes stand before the first row of a file with these columns.
pub(super) fn header_bytes(columns: &Columns) -> u64 {
    let mut line = Vec::new();
    append_record(&columns.header(), &mut line);
    line.len() as u64
}

/// Appends one record, quoted where it must be.
fn append_record<T: AsRef<[u8]>>(cells: &[T], line: &mut Vec<u8>) {
    let mut writer = csv::WriterBuilder::new().buffer_capacity(ROW_BYTES).from_writer(line);
    writer
        .write_record(cells)
        .and_then(|()| Ok(writer.flush()?))
        .expect("a vector takes every byte, and one record has no other to differ from in length");
}

fn fill(columns: &Columns, row: &Row<'_>, cells: &mut [Vec<u8>]) -> Result<(), OutputError> {
    match columns {
        Columns::Value => append_cell(row.id, row.value, &mut cells[0]),
        Columns::Keys(keys) => fill_keys(keys, row, cells),
        Columns::Fields(fields) => {
            for (field, cell) in fields.iter().zip(cells) {
                append_field(row, *field, cell)?;
            }
            Ok(())
        }
    }
}

fn fill_keys(keys: &[String], row: &Row<'_>, cells: &mut [Vec<u8>]) -> Result<(), OutputError> {
    let fields = entries(row.value).ok_or(OutputError::NoFields { id: row.id })?;
    for (place, (key, value)) in fields.enumerate() {
        // Most workers give the keys in one order, so the key is mostly where it is expected.
        let column = match keys.get(place) {
            Some(expected) if scalar(key) == Scalar::Text(expected) => Some(place),
            _ => {
                let name = key_text(key);
                keys.iter().position(|column| *column == name)
            }
        };
        let column =
            column.ok_or_else(|| OutputError::UnknownColumn { id: row.id, key: key_text(key) })?;
        cells[column].clear();
        append_cell(row.id, value, &mut cells[column])?;
    }
    Ok(())
}

fn append_field(row: &Row<'_>, field: Field, cell: &mut Vec<u8>) -> Result<(), OutputError> {
    let text = match field {
        Field::Input => return append_cell(row.id, row.input.unwrap_or(&[NIL]), cell),
        Field::Value => return append_cell(row.id, row.value, cell),
        Field::Stage => row.stage,
        Field::Worker => row.worker,
        Field::Id => &row.id.to_string(),
        Field::Attempt => &row.attempt.to_string(),
        Field::Ms => &round_ms(row.ms).to_string(),
    };
    cell.extend_from_slice(text.as_bytes());
    Ok(())
}

fn append_cell(id: u64, value: &[u8], cell: &mut Vec<u8>) -> Result<(), OutputError> {
    match scalar(value) {
        Scalar::Nil => Ok(()),
        Scalar::Float(float) if !float.is_finite() => Ok(()),
        Scalar::Text(text) => {
            cell.extend_from_slice(text.as_bytes());
            Ok(())
        }
        _ => append_json(value, cell).map_err(|source| OutputError::Value { id, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_rows::{claim, pack, row, write_all};
    use super::*;
    use crate::output::contract::Output;
    use std::fs;

    /// What a file holds after these results.
    fn written(fields: &[Field], values: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let mut output = Csv::open(&path, fields.to_vec(), None, &claim(&folder)).unwrap();
        write_all(&mut output, 0, values);
        output.sync().unwrap();
        fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn scalars_stand_in_one_column() {
        assert_eq!(
            written(&[], &["1", "\"a,b\"", "\"say \\\"x\\\"\"", "null", "1.5", "[1,2]", "true"]),
            "value\n1\n\"a,b\"\n\"say \"\"x\"\"\"\n\"\"\n1.5\n\"[1,2]\"\ntrue\n"
        );
    }

    #[test]
    fn the_first_map_fixes_the_columns() {
        assert_eq!(
            written(
                &[],
                &[
                    r#"{"name":"x","size":3}"#,
                    r#"{"size":4,"name":"y\nz"}"#,
                    r#"{"size":5}"#,
                    r#"{"name":{"a":1}}"#
                ]
            ),
            "name,size\nx,3\n\"y\nz\",4\n,5\n\"{\"\"a\"\":1}\",\n"
        );
    }

    #[test]
    fn asked_fields_are_the_columns_even_without_a_result() {
        let fields = [Field::Id, Field::Value, Field::Input, Field::Worker, Field::Ms];
        assert_eq!(written(&fields, &[]), "id,value,input,worker,ms\n");
        assert_eq!(
            written(&fields, &[r#"{"a":1}"#]),
            "id,value,input,worker,ms\n0,\"{\"\"a\"\":1}\",42,w1,0.123\n"
        );
        assert_eq!(written(&[], &[]), "");
    }

    #[test]
    fn a_key_without_a_column_is_an_error_that_names_unit_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let mut output =
            Csv::open(&folder.path().join("a.csv"), vec![], None, &claim(&folder)).unwrap();
        write_all(&mut output, 0, &[r#"{"a":1}"#]);
        let before = output.mark();
        let error = output.write(&row(7, &pack(r#"{"a":1,"b":2}"#))).unwrap_err();
        assert!(error.is_the_rows_fault());
        assert_eq!(
            error.to_string(),
            "the result of unit 7 has the field `b`, for which the csv header has no column"
        );
        let error = output.write(&row(8, &pack("5"))).unwrap_err();
        assert!(matches!(error, OutputError::NoFields { id: 8 }));
        assert_eq!(output.mark(), before);
    }

    #[test]
    fn a_restart_goes_on_under_the_same_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let mut output = Csv::open(&path, vec![], None, &claim(&folder)).unwrap();
        write_all(&mut output, 0, &[r#"{"a":1,"b":2}"#]);
        let mark = output.sync().unwrap();
        write_all(&mut output, 1, &[r#"{"a":3,"b":4}"#]);
        output.flush().unwrap();
        drop(output);
        let mark: Mark = serde_json::from_str(&serde_json::to_string(&mark).unwrap()).unwrap();
        let mut output = Csv::open(&path, vec![], Some(mark), &claim(&folder)).unwrap();
        write_all(&mut output, 1, &[r#"{"b":6}"#]);
        output.sync().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a,b\n1,2\n,6\n");
    }

    #[test]
    fn rewinding_before_the_first_row_forgets_the_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let mut output = Csv::open(&path, vec![], None, &claim(&folder)).unwrap();
        let start = output.mark();
        write_all(&mut output, 0, &[r#"{"a":1}"#]);
        output.rewind(&start).unwrap();
        write_all(&mut output, 0, &["2"]);
        output.sync().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "value\n2\n");
    }

    #[test]
    fn nan_is_an_empty_cell_and_keys_need_not_be_strings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let mut output = Csv::open(&path, vec![], None, &claim(&folder)).unwrap();
        let mut value = vec![0x82, 0x01];
        value.extend(rmp_serde::to_vec(&f64::NAN).unwrap());
        value.extend([0xa1, b'b', 0x05]);
        output.write(&row(0, &value)).unwrap();
        output.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1,b\n,5\n");
    }
}
