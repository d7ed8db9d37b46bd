//! Functions that look at no value: `echo` passes every one, `fail` none.
//!
//! Owns the two ends that pipelines are tried and measured with; refuses to decode.

use crate::function::{Batch, Outcomes, shown};
use crate::{Failure, Function, Outputs, Unit};

/// Gives each value back, which is never decoded.
pub(super) struct Echo;

impl Function for Echo {
    #[inline]
    fn call(&mut self, _: &Unit<'_>, input: &[u8], out: &mut Outputs) -> Result<(), Failure> {
        out.push_bytes(input)
    }

    fn call_all(&mut self, batch: &mut Batch<'_>, out: &mut Outputs, outcomes: &mut Outcomes) {
        while let Some((_, value)) = batch.next_unit() {
            outcomes.pass(value, out.limits());
        }
    }
}

/// Fails each unit, with its value in the text.
pub(super) struct Fail;

impl Function for Fail {
    fn call(&mut self, _: &Unit<'_>, input: &[u8], _: &mut Outputs) -> Result<(), Failure> {
        Err(Failure::new(format!("asked to fail, with {}", shown(input))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, lines, unit};

    #[test]
    fn echo_gives_back_the_very_bytes_even_in_an_unusual_encoding() {
        // The number 1 in nine bytes.
        let input = [0xcf, 0, 0, 0, 0, 0, 0, 0, 1];
        let mut out = Outputs::default();
        Echo.call(&unit(), &input, &mut out).unwrap();
        assert_eq!(out.payload(), input);
        assert_eq!(call(&mut Echo, r#"{"a":[1,null]}"#), lines(r#"{"a":[1,null]}"#));
    }

    #[test]
    fn fail_says_which_value_it_failed_with() {
        assert_eq!(call(&mut Fail, r#"{"a":1}"#), Err(r#"asked to fail, with {"a":1}"#.into()));
    }
}
