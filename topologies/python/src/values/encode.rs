//! From objects to bytes.
//!
//! Owns the walk over objects that MessagePack has, and falls back to a pickle at the first one that it
//! has not. Whole numbers, floats and texts come by the million, so each is one comparison of types and
//! one append.

use std::sync::Arc;

use proto::value::push_uint;
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyNone, PyString, PyTuple},
};
use worker::Failure;

use super::{ext, shelved};
use crate::shelf::{Shelf, ShelfRoom};

/// Lists in lists beyond this depth, and those that hold themselves, are pickled.
const NATIVE_DEPTH_MAX: u32 = 64;

/// Why an object is not encoded.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Python said so.
    Raised(PyErr),
    /// It is too large.
    Refused(Failure),
}

impl From<PyErr> for Fault {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

/// `pipeline_zmq._pickling.dump`, which gives a pickle and its buffers.
static DUMP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Which objects are encoded as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Whatever MessagePack has.
    MessagePack,
    /// What JSON has too: no bytes, and no numbers that are none.
    Json,
}

/// Encodes objects.
#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    extent: Extent,
    // Where large buffers go, if there is such a place.
    shelf: Option<Arc<Shelf>>,
}

impl Encoder {
    /// For processes of this package.
    pub(crate) fn native() -> Self {
        Self { extent: Extent::MessagePack, shelf: None }
    }

    /// For processes of this package on this machine, where large buffers go by way of a shelf.
    pub(crate) fn with_shelf(shelf: Option<Arc<Shelf>>) -> Self {
        Self { extent: Extent::MessagePack, shelf }
    }

    /// For everybody.
    pub(crate) fn plain() -> Self {
        Self { extent: Extent::Json, shelf: None }
    }

    /// Whether it is for everybody.
    pub(crate) fn is_plain(&self) -> bool {
        self.extent == Extent::Json
    }

    /// Appends an object, as a pickle if it has to be.
    ///
    /// # Errors
    /// What Python says when it can be neither encoded nor pickled; the bytes are of no use then.
    #[inline]
    pub(crate) fn append(&self, object: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let start = out.len();
        if self.encode(object, out, 0) {
            return Ok(());
        }
        out.truncate(start);
        match self.extent {
            Extent::MessagePack => pickled(object, out, self.shelf.as_ref()),
            Extent::Json => Err(without_form(object)),
        }
    }

    /// Appends an object that needs no pickle.
    ///
    /// # Errors
    /// When it needs one; the bytes are of no use then.
    #[inline]
    pub(crate) fn append_native(
        &self,
        object: &Bound<'_, PyAny>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        match self.encode(object, out, 0) {
            true => Ok(()),
            false => Err(Fault::Refused(Failure::new("a value without a plain form"))),
        }
    }

    /// Appends an object of this extent; whether it is one.
    #[inline]
    fn encode(&self, object: &Bound<'_, PyAny>, out: &mut Vec<u8>, depth: u32) -> bool {
        if object.is_exact_instance_of::<PyInt>() {
            return integer(object, out);
        }
        if let Ok(text) = object.cast_exact::<PyString>() {
            return string(text, out);
        }
        if let Ok(number) = object.cast_exact::<PyFloat>() {
            let number = number.value();
            out.push(0xcb);
            out.extend_from_slice(&number.to_be_bytes());
            return self.extent == Extent::MessagePack || number.is_finite();
        }
        self.compound(object, out, depth)
    }

    fn compound(&self, object: &Bound<'_, PyAny>, out: &mut Vec<u8>, depth: u32) -> bool {
        if object.is_exact_instance_of::<PyNone>() {
            out.push(0xc0);
            return true;
        }
        if let Ok(truth) = object.cast_exact::<PyBool>() {
            out.push(if truth.is_true() { 0xc3 } else { 0xc2 });
            return true;
        }
        if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            return self.extent == Extent::MessagePack
                && rmp::encode::write_bin(out, bytes.as_bytes()).is_ok();
        }
        if depth == NATIVE_DEPTH_MAX {
            return false;
        }
        if let Ok(list) = object.cast_exact::<PyList>() {
            let Ok(len) = u32::try_from(list.len()) else { return false };
            return rmp::encode::write_array_len(out, len).is_ok()
                && list.iter().all(|item| self.encode(&item, out, depth + 1));
        }
        match object.cast_exact::<PyDict>() {
            Ok(map) => self.mapping(map, out, depth),
            Err(_) => false,
        }
    }

    fn mapping(&self, map: &Bound<'_, PyDict>, out: &mut Vec<u8>, depth: u32) -> bool {
        let Ok(len) = u32::try_from(map.len()) else { return false };
        rmp::encode::write_map_len(out, len).is_ok()
            && map.iter().all(|(key, value)| {
                key.cast_exact::<PyString>().is_ok_and(|key| string(key, out))
                    && self.encode(&value, out, depth + 1)
            })
    }
}

#[inline]
fn integer(object: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> bool {
    if let Ok(number) = object.extract::<i64>() {
        push_int(out, number);
        return true;
    }
    object.extract::<u64>().map(|number| push_uint(out, number)).is_ok()
}

/// Appends a whole number.
#[inline]
pub(crate) fn push_int(out: &mut Vec<u8>, number: i64) {
    match u64::try_from(number) {
        Ok(number) => push_uint(out, number),
        // Memory is all that it needs.
        Err(_) => _ = rmp::encode::write_sint(out, number),
    }
}

#[inline]
fn string(text: &Bound<'_, PyString>, out: &mut Vec<u8>) -> bool {
    // A text with half a character in it has no UTF-8, and goes as a pickle.
    let Ok(text) = text.to_str() else { return false };
    if text.len() < 32 {
        out.push(0xa0 | text.len() as u8);
        out.extend_from_slice(text.as_bytes());
        return true;
    }
    rmp::encode::write_str(out, text).is_ok()
}

#[cold]
fn without_form(object: &Bound<'_, PyAny>) -> Fault {
    let kind = object.get_type().fully_qualified_name();
    let kind = kind.map_or_else(|_| "value".to_owned(), |name| name.to_string());
    Fault::Raised(PyTypeError::new_err(format!(
        "a {kind} is not, or holds something that is not, a plain number, text, list or dict, and codec='plain' sends nothing else"
    )))
}

/// Appends any object as a pickle.
#[cold]
fn pickled(
    object: &Bound<'_, PyAny>,
    out: &mut Vec<u8>,
    shelf: Option<&Arc<Shelf>>,
) -> Result<(), Fault> {
    let py = object.py();
    let dump = DUMP.import(py, "pipeline_zmq._pickling", "dump")?;
    let dumped = dump.call1((object, shelf.map(ShelfRoom::of)))?;
    if let Ok(pickle) = dumped.cast::<PyBytes>() {
        return extension(out, ext::PICKLE, pickle.as_bytes().len(), |out| {
            out.extend_from_slice(pickle.as_bytes());
            Ok(())
        });
    }
    if let Ok((pickle, lengths, place)) = dumped.extract::<(Bound<'_, PyBytes>, Vec<u64>, _)>() {
        return shelved::append(pickle.as_bytes(), &lengths, place, out);
    }
    let (pickle, buffers): (Bound<'_, PyBytes>, Bound<'_, PyTuple>) = dumped.extract()?;
    let pickle = pickle.as_bytes();
    let buffers: Vec<Bound<'_, PyBytes>> =
        buffers.iter().map(|buffer| Ok(buffer.cast_into()?)).collect::<PyResult<_>>()?;
    let bytes: usize = buffers.iter().map(|buffer| buffer.as_bytes().len()).sum();
    let len = 8 + 8 * buffers.len() + pickle.len() + bytes;
    extension(out, ext::BUFFERS, len, |out| {
        out.reserve(len);
        out.extend_from_slice(&(pickle.len() as u32).to_be_bytes());
        out.extend_from_slice(&(buffers.len() as u32).to_be_bytes());
        for buffer in &buffers {
            out.extend_from_slice(&(buffer.as_bytes().len() as u64).to_be_bytes());
        }
        out.extend_from_slice(pickle);
        buffers.iter().for_each(|buffer| out.extend_from_slice(buffer.as_bytes()));
        Ok(())
    })
}

/// Appends an extension whose content has this length.
pub(super) fn extension(
    out: &mut Vec<u8>,
    kind: u8,
    len: usize,
    content: impl FnOnce(&mut Vec<u8>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let too_large = || Failure::new(format!("a value of {len} bytes, more than 4 GiB"));
    let len = u32::try_from(len).map_err(|_| too_large())?;
    let head = rmp::encode::write_ext_meta(out, len, kind as i8);
    head.map_err(|error| Failure::new(error.to_string()))?;
    content(out)
}

/// Appends what a function raised, pickled already.
pub(crate) fn append_raised(pickle: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    extension(out, ext::RAISED, pickle.len(), |out| {
        out.extend_from_slice(pickle);
        Ok(())
    })
}

/// What is said of a value, which is `what` here, that is larger than one may be.
pub(crate) fn too_large(what: &str, failure: Failure) -> String {
    let told = failure.into_text().replacen("an output", what, 1);
    let ending = ", the most that an item or a result may have; pass a path, or cut it";
    told.replace(" (from the limit frame_bytes_max)", ending)
}
