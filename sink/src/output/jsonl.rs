//! JSON lines: one result a line, to a file or standard output.
//!
//! Owns the form of a line: the value alone, or an object with the asked fields in the asked order.

use std::io;
use std::path::Path;

use super::claim::Claim;
use super::contract::{Mark, Row};
use super::error::OutputError;
use super::rows::{RowFormat, Rows};
use crate::config::{Field, Named};
use crate::walk::append_json;

/// MessagePack's null, for an input that was not kept.
pub(super) const NIL: u8 = 0xc0;

/// See the module.
pub(super) struct Jsonl {
    fields: Vec<Field>,
}

impl Jsonl {
    /// Lines on standard output.
    pub(super) fn stdout(fields: Vec<Field>) -> Rows<Self> {
        Rows::stream("standard output", Box::new(io::stdout()), Self { fields })
    }

    /// Lines in a file.
    pub(super) fn open(
        path: &Path,
        fields: Vec<Field>,
        resume: Option<Mark>,
        claim: &Claim,
    ) -> Result<Rows<Self>, OutputError> {
        Rows::open(path, Self { fields }, resume, claim)
    }
}

impl RowFormat for Jsonl {
    #[inline]
    fn append(&mut self, row: &Row<'_>, line: &mut Vec<u8>) -> Result<(), OutputError> {
        if self.fields.is_empty() {
            append_value(row.id, row.value, line)?;
        } else {
            append_object(row, &self.fields, line)?;
        }
        line.push(b'\n');
        Ok(())
    }
}

#[inline]
fn append_value(id: u64, value: &[u8], line: &mut Vec<u8>) -> Result<(), OutputError> {
    append_json(value, line).map_err(|source| OutputError::Value { id, source })
}

fn append_object(row: &Row<'_>, fields: &[Field], line: &mut Vec<u8>) -> Result<(), OutputError> {
    for (place, field) in fields.iter().enumerate() {
        line.push(if place == 0 { b'{' } else { b',' });
        append_field(row, *field, line)?;
    }
    line.push(b'}');
    Ok(())
}

fn append_field(row: &Row<'_>, field: Field, line: &mut Vec<u8>) -> Result<(), OutputError> {
    line.push(b'"');
    line.extend_from_slice(field.name().as_bytes());
    line.extend_from_slice(b"\":");
    let written = match field {
        Field::Input => return append_value(row.id, row.input.unwrap_or(&[NIL]), line),
        Field::Value => return append_value(row.id, row.value, line),
        Field::Id => serde_json::to_writer(line, &row.id),
        Field::Stage => serde_json::to_writer(line, row.stage),
        Field::Attempt => serde_json::to_writer(line, &row.attempt),
        Field::Worker => serde_json::to_writer(line, row.worker),
        Field::Ms => serde_json::to_writer(line, &round_ms(row.ms)),
    };
    written.map_err(|source| OutputError::Value { id: row.id, source: source.into() })
}

/// Whole microseconds: more digits would be noise.
pub(super) fn round_ms(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::test_rows::{claim, pack, row, write_all};
    use super::*;
    use crate::output::contract::Output;
    use std::fs;

    const ALL: [Field; 7] = [
        Field::Worker,
        Field::Id,
        Field::Input,
        Field::Value,
        Field::Stage,
        Field::Attempt,
        Field::Ms,
    ];

    #[test]
    fn a_line_is_the_value_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut output = Jsonl::open(&path, vec![], None, &claim(&folder)).unwrap();
        write_all(&mut output, 0, &["1", "\"a\\nb\"", r#"{"b":[1,null],"a":2.5}"#]);
        let mark = output.sync().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "1\n\"a\\nb\"\n{\"b\":[1,null],\"a\":2.5}\n");
        assert_eq!((mark.bytes, mark.rows), (text.len() as u64, 3));
    }

    #[test]
    fn asked_fields_come_in_the_asked_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut output = Jsonl::open(&path, ALL.to_vec(), None, &claim(&folder)).unwrap();
        output.write(&row(7, &pack("[1]"))).unwrap();
        let value = pack("3");
        let without_input = Row { input: None, ..row(8, &value) };
        output.write(&without_input).unwrap();
        output.flush().unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            r#"{"worker":"w1","id":7,"input":42,"value":[1],"stage":"square","attempt":1,"ms":0.123}
{"worker":"w1","id":8,"input":null,"value":3,"stage":"square","attempt":1,"ms":0.123}
"#
        );
    }

    #[test]
    fn a_crash_and_a_restart_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut output = Jsonl::open(&path, vec![], None, &claim(&folder)).unwrap();
        write_all(&mut output, 0, &["0", "1"]);
        let mark = output.sync().unwrap();
        write_all(&mut output, 2, &["2", "3"]);
        output.flush().unwrap();
        drop(output);
        let mut output = Jsonl::open(&path, vec![], Some(mark), &claim(&folder)).unwrap();
        write_all(&mut output, 2, &["2", "3"]);
        assert_eq!(output.sync().unwrap().rows, 4);
        assert_eq!(fs::read_to_string(&path).unwrap(), "0\n1\n2\n3\n");
    }

    #[test]
    fn a_value_without_a_json_form_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut output = Jsonl::open(&path, ALL.to_vec(), None, &claim(&folder)).unwrap();
        // A map that is keyed by an array.
        let error = output.write(&row(5, &[0x81, 0x91, 1, 2])).unwrap_err();
        assert!(matches!(error, OutputError::Value { id: 5, .. }));
        assert!(error.is_the_rows_fault());
        assert_eq!(output.sync().unwrap(), Mark::default());
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn nan_and_infinity_are_null() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut output = Jsonl::open(&path, vec![], None, &claim(&folder)).unwrap();
        for float in [f64::NAN, f64::INFINITY] {
            let value = rmp_serde::to_vec(&float).unwrap();
            output.write(&row(0, &value)).unwrap();
        }
        output.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "null\nnull\n");
    }
}
