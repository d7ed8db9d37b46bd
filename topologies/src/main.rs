//! The program `pipeline`: topologies, and every role of a pipeline in one file.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = proto::kin::guard::stand_if_asked() {
        // Whoever was guarded was killed, and could not take away what it had made.
        pipeline::up::workplace::remove_left();
        pipeline::runs::entry::sweep();
        return code;
    }
    pipeline::cli::main()
}
