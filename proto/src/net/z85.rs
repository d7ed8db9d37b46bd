//! The text form of keys; see <https://rfc.zeromq.org/spec/32/>.
//!
//! Owns the way back to bytes. The `zmq` crate's leaves a copy of the text, a secret key perhaps,
//! in memory for good, and takes characters that the form does not have.

const DIGITS: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// The bytes of a text: four for each five characters; none if it is no Z85.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let (groups, []) = text.as_bytes().as_chunks::<5>() else { return None };
    let mut bytes = Vec::with_capacity(groups.len() * 4);
    for group in groups {
        let number = group.iter().try_fold(0_u32, |number, character| {
            let digit = DIGITS.iter().position(|digit| digit == character)?;
            number.checked_mul(85)?.checked_add(u32::try_from(digit).ok()?)
        })?;
        bytes.extend(number.to_be_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rfc_s_example_and_each_digit_come_back() {
        let bytes = [0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b];
        assert_eq!(decode("HelloWorld").unwrap(), bytes);
        // Each digit in the last place of a group.
        let digits = DIGITS.chunks(1).map(|digit| [b"0000", digit].concat());
        let numbers: Vec<u8> = (0..85).flat_map(u32::to_be_bytes).collect();
        assert_eq!(decode(&String::from_utf8(digits.flatten().collect()).unwrap()), Some(numbers));
        assert_eq!(decode("%nSc0").unwrap(), [0xff; 4]);
    }

    #[test]
    fn what_is_no_z85_is_refused() {
        for text in ["Hell", "Hell~", "Hell\0", "#####", "%nSc1", "Hellö"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
