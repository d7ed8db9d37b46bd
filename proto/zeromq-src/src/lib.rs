//! A stand-in for `zeromq-src` 0.2, as the build script of `zmq-sys` calls it.
//!
//! Owns the choice of libzmq (4.3.5, with CURVE by libsodium); refuses everything else: it is
//! three functions wide because that build script uses three. Beside it, `accept.c` and `settings.hpp`.

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
        add_defines();
        upstream::Build::new().with_libsodium(Some(sodium)).build();
        // Behind libzmq, which calls it.
        println!("cargo:rerun-if-changed={ACCEPT}");
        cc::Build::new().file(ACCEPT).compile("pipeline_accept");
    }
}

/// What stands in for accept(2): it says itself why.
const ACCEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/accept.c");

/// What libzmq's own build finds out about Linux and `zeromq-src`, which compiles with an empty
/// `platform.hpp`, does not: threads wake each other by an eventfd instead of a socket pair, which
/// takes fewer system calls; dead connections are noticed; inherited descriptors are closed. And what
/// it calls to accept a connection is ours, in this library alone.
const DEFINES: [&str; 10] = [
    "-DZMQ_HAVE_EVENTFD=1",
    "-DZMQ_HAVE_EVENTFD_CLOEXEC=1",
    "-DZMQ_HAVE_SOCK_CLOEXEC=1",
    "-DZMQ_HAVE_O_CLOEXEC=1",
    "-DZMQ_HAVE_SO_KEEPALIVE=1",
    "-DZMQ_HAVE_TCP_KEEPCNT=1",
    "-DZMQ_HAVE_TCP_KEEPIDLE=1",
    "-DZMQ_HAVE_TCP_KEEPINTVL=1",
    "-DZMQ_HAVE_SO_PEERCRED=1",
    "-Daccept=pipeline_accept",
];

/// Stands in for libzmq's compile-time settings. The compiler looks for it in the folders of a variable, since
/// flags are cut at spaces.
const SETTINGS: &str = "settings.hpp";
const SETTINGS_AT: &str = env!("CARGO_MANIFEST_DIR");

/// The compiler's flags are the only way in: they are read from the environment.
fn add_defines() {
    let known = |name| std::env::var(name).unwrap_or_default();
    let flags = format!("{} {} -include {SETTINGS}", known("CXXFLAGS"), DEFINES.join(" "));
    std::env::set_var("CXXFLAGS", flags);
    let folders = match known("CPLUS_INCLUDE_PATH") {
        folders if folders.is_empty() => SETTINGS_AT.to_owned(),
        folders => format!("{SETTINGS_AT}:{folders}"),
    };
    std::env::set_var("CPLUS_INCLUDE_PATH", folders);
    println!("cargo:rerun-if-changed={SETTINGS_AT}/{SETTINGS}");
}
