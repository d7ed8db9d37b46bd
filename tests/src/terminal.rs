//! A terminal at which a program is started, and where somebody types.
//!
//! Owns both of its ends. The program is the leader of the terminal's session, and in its
//! foreground.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::screen::Screen;

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
        let mut here = at_a_terminal(command);
        let file = || File::create(prints).expect("the scenario's folder can be written");
        let screen = self.screen.try_clone().expect("a file can be had twice");
        here.stdin(screen).stdout(Stdio::null()).stderr(file()).spawn().expect("setsid starts")
    }

    /// Starts a command that shows a picture on a terminal of so many columns and lines.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start_shown(&self, command: &Command, columns: u16, lines: u16) -> Shown {
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.screen, size).expect("a terminal can be given a size");
        let screen = || self.screen.try_clone().expect("a file can be had twice");
        let mut here = at_a_terminal(command);
        here.stdin(screen()).stdout(screen()).stderr(screen());
        let child = here.spawn().expect("setsid starts");
        let mut sent = self.keyboard.try_clone().expect("a file can be had twice");
        let seen = Arc::new(Mutex::new((Screen::new(columns, lines), Vec::new())));
        let seeing = seen.clone();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = sent.read(&mut piece) {
                let mut seen = seeing.lock().expect("no thread panics with it");
                seen.0.take(&piece[..count]);
                seen.1.extend_from_slice(&piece[..count]);
            }
        });
        Shown { child, seen }
    }

    /// Types a key.
    ///
    /// # Panics
    /// When nobody takes it.
    pub fn types(&mut self, key: u8) {
        self.keyboard.write_all(&[key]).expect("a terminal takes what is typed");
    }
}

/// The command as the leader of the session of the terminal that is its standard input.
fn at_a_terminal(command: &Command) -> Command {
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
    here
}

/// A program with a picture, and what is seen of it.
#[derive(Debug)]
pub struct Shown {
    child: Child,
    // And all that was sent.
    seen: Arc<Mutex<(Screen, Vec<u8>)>>,
}

impl Shown {
    /// What stands on the screen now.
    ///
    /// # Panics
    /// When what was sent could not be taken.
    pub fn text(&self) -> String {
        self.seen.lock().expect("no thread panics with it").0.text()
    }

    /// All that was ever sent to the terminal.
    ///
    /// # Panics
    /// As [`Shown::text`].
    pub fn sent(&self) -> String {
        let seen = self.seen.lock().expect("no thread panics with it");
        String::from_utf8_lossy(&seen.1).into_owned()
    }

    /// Its exit code, once it has ended.
    ///
    /// # Panics
    /// When it can't be waited for.
    pub fn has_ended(&mut self) -> Option<Option<i32>> {
        let ended = self.child.try_wait().expect("a child can be waited for");
        ended.map(|status| status.code())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        // One that has ended can't be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}
