//! A terminal at which a program is started, and where somebody types.
//!
//! Owns both of its ends. The program is the leader of the terminal's session, and in its
//! foreground.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Where somebody types.
#[derive(Debug)]
pub struct Terminal {
    keyboard: File,
    screen: OwnedFd,
}

impl Terminal {
    /// A new one.
    ///
    /// # Panics
    /// When the system has none.
    pub fn new() -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("a terminal of our own");
        let name = ptsname(&keyboard, Vec::new()).expect("a terminal has a name");
        let path = Path::new(name.to_str().expect("its name is plain"));
        let flags = i32::try_from(rustix::fs::OFlags::NOCTTY.bits()).expect("flags fit");
        let mut options = OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
        let screen = options.read(true).write(true).open(path).expect("a terminal can be opened");
        Terminal { keyboard: keyboard.into(), screen: screen.into() }
    }

    /// Starts a command here; what it prints goes to `prints`.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(&self, command: &Command, prints: &Path) -> Child {
        let mut here = Command::new("setsid");
        here.arg("--ctty").arg("--wait").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => here.env(name, value),
                None => here.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            here.current_dir(folder);
        }
        let file = || File::create(prints).expect("the scenario's folder can be written");
        let screen = self.screen.try_clone().expect("a file can be had twice");
        here.stdin(screen).stdout(Stdio::null()).stderr(file()).spawn().expect("setsid starts")
    }

    /// Types a key.
    ///
    /// # Panics
    /// When nobody takes it.
    pub fn types(&mut self, key: u8) {
        self.keyboard.write_all(&[key]).expect("a terminal takes what is typed");
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}
