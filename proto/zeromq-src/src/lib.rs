//! A stand-in for `zeromq-src` 0.2, as the build script of `zmq-sys` calls it.
//!
//! Owns the choice of libzmq (4.3.5, with CURVE by libsodium); refuses everything else: it is
//! three functions wide because that build script uses three.

use std::path::Path;

use libsodium_sys as _;

/// Builds libzmq with CURVE.
#[derive(Default)]
pub struct Build(());

impl Build {
    /// A build of libzmq 4.3.5.
    pub fn new() -> Self {
        Self(())
    }

    /// Accepted for the caller's sake; libsodium is always the one built by cargo.
    pub fn with_libsodium(&mut self, _unused: Option<()>) -> &mut Self {
        self
    }

    /// Compiles libzmq and prints what cargo needs to link it.
    pub fn build(&mut self) {
        let sodium = upstream::LibLocation::new(
            Path::new(env!("SODIUM_LIB")),
            Path::new(env!("SODIUM_INCLUDE")),
        );
        upstream::Build::new().with_libsodium(Some(sodium)).build();
    }
}
