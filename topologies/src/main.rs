//! The program `pipeline`: topologies, and every role of a pipeline in one file.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = proto::kin::guard::stand_if_asked() {
        return code;
    }
    pipeline::cli::main()
}
