//! Waiting without the interpreter, in slices after which signals are looked at.

use std::time::{Duration, Instant};

use pyo3::{exceptions::PyValueError, prelude::*};

/// How long a wait lasts before signals are looked at.
const SLICE: Duration = Duration::from_millis(40);

/// A time in seconds as Python has it; none is for ever.
///
/// # Errors
/// When it is no time.
pub(super) fn duration(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    let Some(seconds) = seconds else { return Ok(None) };
    if seconds.is_nan() {
        return Err(PyValueError::new_err("a time must be a number of seconds, not nan"));
    }
    Ok(Some(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX / 4)))
}

/// Waits for what `wait` finds within the time that it is given; none when the whole time has passed.
///
/// # Errors
/// What a signal's handler raised.
pub(super) fn patiently<T: Send>(
    py: Python<'_>,
    patience: Option<Duration>,
    mut wait: impl FnMut(Duration) -> Option<T> + Send,
) -> PyResult<Option<T>> {
    let until = patience.and_then(|patience| Instant::now().checked_add(patience));
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let slice = left.map_or(SLICE, |left| left.min(SLICE));
        if let Some(found) = py.detach(|| wait(slice)) {
            return Ok(Some(found));
        }
        py.check_signals()?;
        if left.is_some_and(|left| left <= slice) {
            return Ok(None);
        }
    }
}
