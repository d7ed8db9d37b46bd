//! From bytes to objects.
//!
//! Owns the walk over encoded values. What is unpickled here comes from peers that have the key, or the
//! user's own rights.

use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyList, PySlice, PyString},
};

use super::{Raised, ext, shelved::Shelved};
use crate::shelf::{ITEMS, Shelf};

/// `pipeline_zmq._pickling.load`, which takes a pickle and its buffers.
static LOAD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Decodes values.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Decoder;

impl Decoder {
    /// The object that one encoded value is.
    ///
    /// # Errors
    /// What unpickling raised.
    #[inline]
    pub(crate) fn object<'py>(self, py: Python<'py>, value: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let mut rest = value;
        object(py, &mut rest)
    }
}

fn truncated() -> PyErr {
    PyValueError::new_err("a value ends before it is complete")
}

#[inline]
fn byte(rest: &mut &[u8]) -> PyResult<u8> {
    let (first, behind) = rest.split_first().ok_or_else(truncated)?;
    *rest = behind;
    Ok(*first)
}

#[inline]
fn chunk<'a, const N: usize>(rest: &mut &'a [u8]) -> PyResult<&'a [u8; N]> {
    let (first, behind) = rest.split_first_chunk().ok_or_else(truncated)?;
    *rest = behind;
    Ok(first)
}

#[inline]
fn bytes<'a>(rest: &mut &'a [u8], len: usize) -> PyResult<&'a [u8]> {
    let (first, behind) = rest.split_at_checked(len).ok_or_else(truncated)?;
    *rest = behind;
    Ok(first)
}

/// A number of this many bytes.
#[inline]
fn length(rest: &mut &[u8], width: usize) -> PyResult<usize> {
    let digits = bytes(rest, width)?;
    Ok(digits.iter().fold(0, |number, digit| number << 8 | usize::from(*digit)))
}

#[inline]
fn unsigned<'py>(py: Python<'py>, number: u64) -> PyResult<Bound<'py, PyAny>> {
    Ok(number.into_pyobject(py)?.into_any())
}

#[inline]
fn signed<'py>(py: Python<'py>, number: i64) -> PyResult<Bound<'py, PyAny>> {
    Ok(number.into_pyobject(py)?.into_any())
}

#[inline]
fn text<'py>(py: Python<'py>, rest: &mut &[u8], len: usize) -> PyResult<Bound<'py, PyAny>> {
    let text = std::str::from_utf8(bytes(rest, len)?)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(PyString::new(py, text).into_any())
}

#[inline]
fn object<'py>(py: Python<'py>, rest: &mut &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match byte(rest)? {
        small @ 0..=0x7f => signed(py, i64::from(small)),
        small @ 0xe0..=0xff => signed(py, i64::from(small as i8)),
        0xcc => signed(py, i64::from(byte(rest)?)),
        0xcd => signed(py, i64::from(u16::from_be_bytes(*chunk(rest)?))),
        0xce => signed(py, i64::from(u32::from_be_bytes(*chunk(rest)?))),
        0xcf => unsigned(py, u64::from_be_bytes(*chunk(rest)?)),
        0xcb => Ok(PyFloat::new(py, f64::from_be_bytes(*chunk(rest)?)).into_any()),
        marker @ 0xa0..=0xbf => text(py, rest, usize::from(marker & 0x1f)),
        marker => compound(py, marker, rest),
    }
}

fn compound<'py>(py: Python<'py>, marker: u8, rest: &mut &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match marker {
        0xc0 => Ok(py.None().into_bound(py)),
        0xc2 | 0xc3 => Ok(PyBool::new(py, marker == 0xc3).to_owned().into_any()),
        0xd0 => signed(py, i64::from(byte(rest)? as i8)),
        0xd1 => signed(py, i64::from(i16::from_be_bytes(*chunk(rest)?))),
        0xd2 => signed(py, i64::from(i32::from_be_bytes(*chunk(rest)?))),
        0xd3 => signed(py, i64::from_be_bytes(*chunk(rest)?)),
        0xca => {
            let number = f32::from_be_bytes(*chunk(rest)?);
            Ok(PyFloat::new(py, f64::from(number)).into_any())
        }
        0xd9..=0xdb => {
            let len = length(rest, 1 << (marker - 0xd9))?;
            text(py, rest, len)
        }
        0xc4..=0xc6 => {
            let len = length(rest, 1 << (marker - 0xc4))?;
            Ok(PyBytes::new(py, bytes(rest, len)?).into_any())
        }
        0x90..=0x9f => list(py, rest, usize::from(marker & 0x0f)),
        0xdc | 0xdd => {
            let len = length(rest, 2 << (marker - 0xdc))?;
            list(py, rest, len)
        }
        0x80..=0x8f => map(py, rest, usize::from(marker & 0x0f)),
        0xde | 0xdf => {
            let len = length(rest, 2 << (marker - 0xde))?;
            map(py, rest, len)
        }
        0xd4..=0xd8 => extension(py, rest, 1 << (marker - 0xd4)),
        0xc7..=0xc9 => {
            let len = length(rest, 1 << (marker - 0xc7))?;
            extension(py, rest, len)
        }
        _ => Err(PyValueError::new_err("a value begins with 0xc1, which is no marker")),
    }
}

fn list<'py>(py: Python<'py>, rest: &mut &[u8], len: usize) -> PyResult<Bound<'py, PyAny>> {
    let list = PyList::empty(py);
    for _ in 0..len {
        list.append(object(py, rest)?)?;
    }
    Ok(list.into_any())
}

fn map<'py>(py: Python<'py>, rest: &mut &[u8], len: usize) -> PyResult<Bound<'py, PyAny>> {
    let map = PyDict::new(py);
    for _ in 0..len {
        let key = object(py, rest)?;
        map.set_item(key, object(py, rest)?)?;
    }
    Ok(map.into_any())
}

#[cold]
fn extension<'py>(py: Python<'py>, rest: &mut &[u8], len: usize) -> PyResult<Bound<'py, PyAny>> {
    let kind = byte(rest)?;
    let content = bytes(rest, len)?;
    match kind {
        ext::PICKLE => load(py)?.call1((PyBytes::new(py, content),)),
        ext::BUFFERS => buffered(py, content),
        ext::SHELVED => from_shelf(py, content),
        ext::RAISED => Ok(Raised::pickled(py, content).into_pyobject(py)?.into_any()),
        _ => Err(PyValueError::new_err(format!(
            "a value is a MessagePack extension of type {kind}, which Python has no object for"
        ))),
    }
}

fn load<'py>(py: Python<'py>) -> PyResult<&'py Bound<'py, PyAny>> {
    LOAD.import(py, "pipeline_zmq._pickling", "load")
}

fn from_shelf<'py>(py: Python<'py>, content: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let Shelved { place, lengths, pickle } = Shelved::read(content).ok_or_else(truncated)?;
    let shelf = ITEMS.get().filter(|shelf| shelf.id() == place.shelf);
    let shelf = shelf.ok_or_else(|| {
        PyValueError::new_err("the item is in memory that only the own workers of its pool share")
    })?;
    let buffers = PyList::empty(py);
    let memory = shelf.memory(py)?;
    let mut offset = Shelf::offset(place);
    for len in lengths {
        let lies =
            memory.get_item(PySlice::new(py, offset as isize, (offset + len) as isize, 1))?;
        // Arrays in it can be written to, as those of a pickle can.
        buffers.append(PyByteArray::from(&lies)?)?;
        offset += len;
    }
    shelf.check(place)?;
    load(py)?.call1((PyBytes::new(py, pickle), buffers))
}

fn buffered<'py>(py: Python<'py>, mut rest: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let pickle = length(&mut rest, 4)?;
    let count = length(&mut rest, 4)?;
    let lengths = (0..count).map(|_| length(&mut rest, 8)).collect::<PyResult<Vec<_>>>()?;
    let pickle = PyBytes::new(py, bytes(&mut rest, pickle)?);
    let buffers = PyList::empty(py);
    for len in lengths {
        // Arrays in it can be written to, as those of a pickle can.
        buffers.append(PyByteArray::new(py, bytes(&mut rest, len)?))?;
    }
    load(py)?.call1((pickle, buffers))
}
