//! Objects into values, and outcomes into objects or what to raise.
//!
//! Owns which error of Python stands for which of the client; how one is worded is `_service.py`'s.

use client::{Outcome, SubmitError, Undone, WaitError};
use pyo3::{
    exceptions::{PyRuntimeError, PyTimeoutError, PyValueError},
    prelude::*,
    types::PyList,
};

use crate::values::{Decoder, Encoder, Fault, Raised};

/// Where errors are made.
const ERRORS: &str = "pipeline_zmq._errors";

/// An error of this package, with this text.
pub(super) fn error_of(py: Python<'_>, name: &str, told: &str) -> PyErr {
    let made = py.import(ERRORS).and_then(|errors| errors.getattr(name)?.call1((told,)));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// How values are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// What MessagePack has, which workers of any language read.
    Plain,
    /// The rest as pickles, which workers of this package read.
    Auto,
}

impl Codec {
    /// The codec of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> PyResult<Self> {
        match name {
            "plain" => Ok(Self::Plain),
            "auto" => Ok(Self::Auto),
            _ => {
                let told = format!("codec must be 'plain' or 'auto', not {name:?}");
                Err(PyValueError::new_err(told))
            }
        }
    }

    /// A value as it is sent.
    ///
    /// # Errors
    /// When it has no such form: its type, and its place.
    #[inline]
    pub fn encode(self, value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
        let (mut out, encoder) = (Vec::new(), Encoder::native());
        let appended = match self {
            Self::Plain => encoder.append_native(value, &mut out),
            Self::Auto => encoder.append(value, &mut out),
        };
        match appended {
            Ok(()) => Ok(out),
            Err(fault) => Err(self.refused(value, fault)),
        }
    }

    #[cold]
    fn refused(self, value: &Bound<'_, PyAny>, fault: Fault) -> PyErr {
        match fault {
            Fault::Raised(error) => error,
            Fault::Refused(failure) if self == Self::Auto => {
                PyValueError::new_err(failure.into_text())
            }
            Fault::Refused(_) => {
                let told = value
                    .py()
                    .import("pipeline_zmq._service")
                    .and_then(|module| module.getattr("without_form")?.call1((value,)));
                told.map_or_else(|error| error, PyErr::from_value)
            }
        }
    }
}

/// The object that an outcome is.
///
/// # Errors
/// What is to be raised instead.
pub(super) fn object<'py>(py: Python<'py>, outcome: &Outcome) -> PyResult<Bound<'py, PyAny>> {
    match outcome {
        Outcome::Value(value) => one(py, value),
        Outcome::Values(values) => {
            let list = PyList::empty(py);
            values.iter().try_for_each(|value| list.append(one(py, value)?))?;
            Ok(list.into_any())
        }
        Outcome::Filtered => Ok(py.None().into_bound(py)),
        Outcome::Dead(failure) => Err(dead(py, failure)),
        Outcome::Undone(why) => Err(undone(py, *why)),
    }
}

#[inline]
pub(super) fn one<'py>(py: Python<'py>, value: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let object = Decoder.object(py, value)?;
    if !object.is_exact_instance_of::<Raised>() {
        return Ok(object);
    }
    let made =
        py.import(ERRORS).and_then(|errors| errors.getattr("unpacked")?.call1((object, py.None())));
    Err(made.map_or_else(|error| error, PyErr::from_value))
}

#[cold]
pub(super) fn dead(py: Python<'_>, failure: &client::Failure) -> PyErr {
    let input = Decoder.object(py, &failure.input);
    let input = input.map_or_else(|_| py.None(), Bound::unbind);
    let told = (failure.unit, failure.stage, input, &failure.error, failure.attempts);
    let made = py.import(ERRORS).and_then(|errors| errors.getattr("dead_unit")?.call1(told));
    made.map_or_else(|error| error, PyErr::from_value)
}

#[cold]
pub(super) fn undone(py: Python<'_>, why: Undone) -> PyErr {
    let name = match why {
        Undone::Expired | Undone::Unknown | Undone::OtherRun => "Expired",
        Undone::Declined(_) | Undone::Closed => "NoService",
    };
    error_of(py, name, &why.to_string())
}

/// What stands for a wait that has failed.
#[cold]
pub(super) fn unmet(py: Python<'_>, error: &WaitError) -> PyErr {
    match error {
        WaitError::Timeout => late(),
        WaitError::Undone(why) => undone(py, *why),
    }
}

/// Nothing has come in time.
#[cold]
pub(super) fn late() -> PyErr {
    PyTimeoutError::new_err("no outcome came in time")
}

/// What stands for a unit that was not submitted.
#[cold]
pub(super) fn unsubmitted(py: Python<'_>, error: &SubmitError) -> PyErr {
    let told = error.to_string();
    match error {
        SubmitError::NoWorkers => error_of(py, "NoWorkers", &told),
        SubmitError::Full => error_of(py, "Full", &told),
        SubmitError::Closed => error_of(py, "NoService", &told),
        SubmitError::Large { .. } | SubmitError::Value(_) | SubmitError::Terms(_) => {
            PyValueError::new_err(told)
        }
    }
}

/// What a fork has of a connection is neither its thread nor its sockets.
#[cold]
pub(super) fn forked() -> PyErr {
    PyRuntimeError::new_err(
        "this connection is another process's, of which this one is a fork; connect here",
    )
}
