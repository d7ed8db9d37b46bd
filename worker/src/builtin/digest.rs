//! Digests of files.
//!
//! Owns reading a file as a stream, so that its size does not matter; refuses directories.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::file_name::FileName;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// A file, told apart by its content.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct FileDigest {
    /// As it was given.
    path: FileName,
    /// The size in bytes, as it was read.
    bytes: u64,
    /// In lower-case hexadecimal digits, as `sha256sum` prints it.
    sha256: String,
}

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{}`: {source}", path.0.display())]
pub(super) struct Unreadable {
    path: FileName,
    source: io::Error,
}

/// The digest of the file at `path`; a relative path starts at the worker's own folder.
pub(super) fn sha256(path: FileName) -> Result<FileDigest, Unreadable> {
    match read(&path.0) {
        Ok((bytes, sha256)) => Ok(FileDigest { path, bytes, sha256 }),
        Err(source) => Err(Unreadable { path, source }),
    }
}

fn read(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut digest = Sha256::new();
    let mut bytes = 0;
    loop {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(len) => {
                digest.update(&chunk[..len]);
                bytes += len as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((bytes, hex(&digest.finalize())))
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_file_is_told_by_its_path_its_size_and_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let expected = FileDigest {
            path: FileName(path.clone()),
            bytes: 3,
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into(),
        };
        assert_eq!(sha256(FileName(path)).unwrap(), expected);
    }

    #[test]
    fn a_file_of_many_chunks_has_the_digest_of_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, vec![b'a'; 1_000_000]).unwrap();
        let digest = sha256(FileName(path)).unwrap();
        assert_eq!(digest.bytes, 1_000_000);
        // The test vector of FIPS 180-2.
        assert_eq!(
            digest.sha256,
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error_that_names_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        for path in [missing, folder.path().to_owned()] {
            let text = sha256(FileName(path.clone())).unwrap_err().to_string();
            assert!(text.starts_with(&format!("cannot read `{}`: ", path.display())), "{text}");
        }
    }

    /// A file whose name is no UTF-8 could not be a unit.
    #[test]
    fn a_name_that_is_no_utf_8_is_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
        std::fs::write(&path, "abc").unwrap();
        let value = rmp_serde::to_vec(&FileName(path.clone())).unwrap();
        let name: FileName = rmp_serde::from_slice(&value).unwrap();
        assert_eq!(name, FileName(path));
        assert_eq!(sha256(name).unwrap().bytes, 3);
    }
}
