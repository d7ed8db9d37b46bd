//! Compiles what libzmq calls to accept a connection; `src/net/accept.c` says why.

const ACCEPT: &str = "src/net/accept.c";

fn main() {
    println!("cargo:rerun-if-changed={ACCEPT}");
    cc::Build::new().file(ACCEPT).cargo_metadata(false).compile("pipeline_accept");
    let folder = std::env::var("OUT_DIR").expect("cargo sets it");
    println!("cargo:rustc-link-search=native={folder}");
    // As a whole: by the time that libzmq asks for it, the linker would take that of the C library.
    println!("cargo:rustc-link-lib=static:+whole-archive=pipeline_accept");
}
