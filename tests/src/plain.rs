//! A worker in plain Python, which shares nothing with this project but `proto/PROTOCOL.md`.
//!
//! Owns where its interpreter is, and how it is started; the worker itself is
//! `tests/plain_worker/`.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::hand::Hand;
use crate::place::Transport;
use crate::process::Process;
use crate::programs;

/// The variable that names a Python with `pyzmq` and `msgpack` instead of `python3`.
pub const PYTHON_VARIABLE: &str = "PIPELINE_TEST_PYTHON";

/// How such workers of one scenario are started.
#[derive(Debug)]
pub struct Plain {
    interpreter: PathBuf,
    started: AtomicUsize,
}

impl Plain {
    /// Finds the interpreter; without one that has both packages, says so, and the scenario is skipped.
    pub fn or_skip() -> Option<Self> {
        let named = std::env::var_os(PYTHON_VARIABLE);
        let interpreter = PathBuf::from(named.unwrap_or_else(|| "python3".into()));
        let mut trial = Command::new(&interpreter);
        trial.args(["-c", "import zmq, msgpack"]).stderr(Stdio::null());
        if trial.status().is_ok_and(|status| status.success()) {
            return Some(Plain { interpreter, started: AtomicUsize::new(0) });
        }
        eprintln!(
            "SKIPPED: {} has no pyzmq and msgpack; {PYTHON_VARIABLE} names one that has",
            interpreter.display()
        );
        None
    }

    /// Starts one for `hand`, called `plain`; over tcp it needs the key, which somebody has made.
    pub fn worker(&self, hand: &Hand, transport: Transport, more: &[&str]) -> Process {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let script = programs::repository().join("tests/plain_worker/worker.py");
        let mut command = hand.place.command(&self.interpreter);
        command.arg("-B").arg(script).args(["--ventilator", hand.ventilator_endpoint()]);
        match transport {
            Transport::Tcp => {
                let key = hand.place.config().join("pipeline/key");
                command.args(["--bind", "tcp://127.0.0.1", "--key"]).arg(key);
            }
            Transport::Ipc => {
                let socket = hand.place.path(&format!("plain-{number}.ipc"));
                command.arg("--bind").arg(format!("ipc://{}", socket.display()));
            }
        }
        command.args(more);
        hand.place.start_command("plain", command)
    }
}
