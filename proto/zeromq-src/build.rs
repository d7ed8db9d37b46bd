//! Hands libsodium's place, which cargo tells only to build scripts, on to the library.

use std::env;

fn main() {
    for (from, to) in [("DEP_SODIUM_INCLUDE", "SODIUM_INCLUDE"), ("DEP_SODIUM_LIB", "SODIUM_LIB")] {
        let place = env::var(from).unwrap_or_else(|_| {
            panic!("{from} is not set: libsodium-sys-stable did not say where it built")
        });
        println!("cargo:rustc-env={to}={place}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
