//! The name of a file, as the `files` source gives it.
//!
//! Owns its two forms: a text, or bytes where the name is no UTF-8. Refuses to open anything.

use std::{
    ffi::OsString,
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A path that comes in and goes out in the form that fits it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileName(pub(super) PathBuf);

impl Serialize for FileName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Some(text) => to.serialize_str(text),
            None => to.serialize_bytes(self.0.as_os_str().as_bytes()),
        }
    }
}

impl<'de> Deserialize<'de> for FileName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = FileName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file's path")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FileName, E> {
                Ok(FileName(text.into()))
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<FileName, E> {
                Ok(FileName(OsString::from_vec(bytes.to_vec()).into()))
            }
        }
        from.deserialize_any(Visitor)
    }
}
