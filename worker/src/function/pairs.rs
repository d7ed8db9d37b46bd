//! Values that carry what the source gave: an array of two, that and the value itself.
//!
//! Owns taking them apart and putting them together; refuses to look inside of either.

use proto::value::value_len;

use super::Failure;

const ARRAY_OF_TWO: u8 = 0x92;

/// What the source gave, and the value.
///
/// # Errors
/// When it is no pair.
pub(crate) fn split_pair(pair: &[u8]) -> Result<(&[u8], &[u8]), Failure> {
    let malformed = || Failure::new("a value that carries no input");
    let (marker, rest) = pair.split_first().ok_or_else(malformed)?;
    let input_len = value_len(rest).map_err(|_| malformed())?;
    if *marker != ARRAY_OF_TWO {
        return Err(malformed());
    }
    Ok(rest.split_at(input_len))
}

/// A value with what the source gave.
pub(crate) fn paired(input: &[u8], value: &[u8]) -> Vec<u8> {
    [&[ARRAY_OF_TWO], input, value].concat()
}
