//! The program `pipeline`: topologies, and every role of a pipeline in one file.

use std::process::ExitCode;

fn main() -> ExitCode {
    proto::process::start_log();
    pipeline::cli::main()
}
