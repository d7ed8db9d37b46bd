//! What a function's result, or its exception, means.
//!
//! Owns the two manners. In a pool a unit gives exactly one output, whatever the function returns: None and
//! generators are values there, and what it raises is an output too, unless the unit is to be tried again. In
//! a stage of a topology None filters the unit, an iterator expands it, and an exception fails it; values
//! take the plain forms that every output has.

use pyo3::{exceptions::PyRuntimeError, prelude::*, types::PyBytes};
use worker::{Failure, Outputs};

use crate::values::{Encoder, Fault, append_raised, too_large};

/// In which manner results are taken.
#[derive(Debug, Clone)]
pub(super) enum Manner {
    /// Whatever is returned is the one result.
    Value {
        /// How often a unit is tried again that raised.
        retries: u32,
        /// How results are encoded.
        encoder: Encoder,
    },
    /// None, one or many outputs.
    Stage,
}

/// What results mean, and who helps with them.
#[derive(Debug)]
pub(super) struct Terms {
    /// `pipeline_zmq._worker`.
    pub host: Py<PyAny>,
    pub manner: Manner,
}

impl Terms {
    /// Appends what a function returned: how many outputs, or how the unit fails.
    #[inline]
    pub fn give(
        &self,
        result: &Bound<'_, PyAny>,
        attempt: u32,
        out: &mut Outputs,
    ) -> Result<u32, Failure> {
        let given = match &self.manner {
            Manner::Value { encoder, .. } => {
                out.push_written(|out| encoder.append(result, out)).map(|()| 1)
            }
            Manner::Stage if result.is_none() => return Ok(0),
            Manner::Stage => self.outputs(result, out),
        };
        match given {
            Ok(outputs) => Ok(outputs),
            Err(Fault::Raised(error)) => self.raise(result.py(), error, attempt, out),
            Err(Fault::Refused(failure)) => self.refuse(result.py(), failure, attempt, out),
        }
    }

    /// The outputs of a stage's function: one, or those of an iterator.
    fn outputs(&self, result: &Bound<'_, PyAny>, out: &mut Outputs) -> Result<u32, Fault> {
        let start = out.len();
        if out.push_written(|out| Encoder::plain().append_native(result, out)).is_ok() {
            return Ok(1);
        }
        if !result.hasattr("__next__")? {
            return self.output(result, out).map(|()| 1);
        }
        for output in result.try_iter()? {
            let output = output?;
            if let Err(fault) = self.output(&output, out) {
                out.truncate(start);
                // An endless generator is told that nobody wants more.
                let _ = result.call_method0("close");
                return Err(fault);
            }
        }
        Ok((out.len() - start) as u32)
    }

    fn output(&self, output: &Bound<'_, PyAny>, out: &mut Outputs) -> Result<(), Fault> {
        let plain = self.host.bind(output.py()).call_method1("plain", (output,))?;
        out.push_written(|out| Encoder::plain().append_native(&plain, out))
    }

    /// A unit's exception.
    pub fn raise(
        &self,
        py: Python<'_>,
        error: PyErr,
        attempt: u32,
        out: &mut Outputs,
    ) -> Result<u32, Failure> {
        let Manner::Value { retries, .. } = self.manner else {
            return Err(Failure::new(self.story(py, &error)));
        };
        if attempt <= retries {
            return Err(Failure::new(self.story(py, &error)));
        }
        self.pack(py, error, attempt, out).map_err(|fault| match fault {
            Fault::Refused(failure) => failure,
            Fault::Raised(error) => Failure::new(self.story(py, &error)),
        })
    }

    fn pack(
        &self,
        py: Python<'_>,
        error: PyErr,
        attempt: u32,
        out: &mut Outputs,
    ) -> Result<u32, Fault> {
        let packed = self.host.bind(py).call_method1("pack", (error.into_value(py), attempt))?;
        let packed = packed.cast::<PyBytes>().map_err(PyErr::from)?;
        out.push_written(|out| append_raised(packed.as_bytes(), out))?;
        Ok(1)
    }

    /// A result that is too large.
    fn refuse(
        &self,
        py: Python<'_>,
        failure: Failure,
        attempt: u32,
        out: &mut Outputs,
    ) -> Result<u32, Failure> {
        match self.manner {
            Manner::Stage => Err(failure),
            Manner::Value { .. } => {
                let told = too_large("a result", failure);
                self.raise(py, PyRuntimeError::new_err(told), attempt, out)
            }
        }
    }

    /// An exception with its traceback, as text.
    pub fn story(&self, py: Python<'_>, error: &PyErr) -> String {
        let told = self.host.bind(py).call_method1("story", (error.value(py),));
        let told = told.and_then(|told| told.extract::<String>());
        told.map_or_else(|_| error.to_string(), |told| told.trim_end().to_owned())
    }
}
