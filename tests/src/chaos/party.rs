//! The processes of a case, and who starts them again.
//!
//! Owns both ways of starting: a launcher, whose children it finds through the system and which
//! it starts again itself; and programs by hand, of which it is the launcher. Refuses to decide who
//! is hit.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cases::{self, Case, Script, Way};
use crate::place::{Place, Transport};
use crate::process::{Ended, Process};
use crate::programs::program;
use crate::torture::kin::{self, Kin, Member};
use crate::torture::{Role, Trouble, trial};

/// What a process says that finds nobody.
const WAITS: &str = "can be reached there; waiting for one";
/// By hand there are so many workers.
const WORKERS: usize = 2;

/// Who takes part in one run.
pub struct Party<'a> {
    place: &'a Place,
    case: &'a Case,
    folder: PathBuf,
    input_lasts: Duration,
    crew: Crew,
}

enum Crew {
    Launched(Process),
    ByHand { endpoints: [String; 2], all: Vec<Post> },
}

/// A program by hand: its role, and its process now.
struct Post {
    role: Role,
    process: Process,
    has_left: bool,
}

impl<'a> Party<'a> {
    /// Starts a case in `folder`, where it is laid out; input by a pipe takes `input_lasts`.
    pub fn begin(place: &'a Place, case: &'a Case, folder: &Path, input_lasts: Duration) -> Self {
        let folder = folder.to_path_buf();
        let crew = match case.way {
            Way::Up => Crew::Launched(cases::start(
                case,
                place,
                &folder,
                case.up(place, &folder),
                input_lasts,
            )),
            Way::Hand(transport) => by_hand(place, case, &folder, transport),
        };
        Party { place, case, folder, input_lasts, crew }
    }

    /// Who runs now, the launcher among them.
    pub fn members(&mut self) -> Vec<Member> {
        match &mut self.crew {
            Crew::Launched(launcher) => match launcher.is_running() {
                true => with_children(launcher.id()),
                false => Vec::new(),
            },
            Crew::ByHand { all, .. } => all.iter_mut().filter_map(Post::member).collect(),
        }
    }

    /// Starts again who was killed; whether the run goes on.
    ///
    /// # Errors
    /// [`Trouble::Code`] when somebody has ended by itself, and not well.
    pub fn tend(&mut self) -> Result<bool, Trouble> {
        let code = self.case.code;
        match &mut self.crew {
            Crew::Launched(launcher) => match launcher.has_ended() {
                None => Ok(true),
                Some(None) => {
                    let command = self.case.up(self.place, &self.folder);
                    let (place, folder) = (self.place, &self.folder);
                    *launcher = cases::start(self.case, place, folder, command, self.input_lasts);
                    Ok(true)
                }
                Some(Some(found)) if found == code => Ok(false),
                Some(Some(_)) => Err(failed(launcher.name().to_owned(), launcher.ends())),
            },
            Crew::ByHand { .. } => self.tend_posts(),
        }
    }

    /// Who starts it again is nobody once the sink has left: the run is over then.
    fn tend_posts(&mut self) -> Result<bool, Trouble> {
        let Crew::ByHand { endpoints, all } = &mut self.crew else { return Ok(false) };
        let mut killed = Vec::new();
        // Each is looked at once, and the sink last: who is looked at again may have left meanwhile.
        for (index, post) in all.iter_mut().enumerate().rev().filter(|(_, post)| !post.has_left) {
            match post.process.has_ended() {
                Some(Some(code)) if code == self.case.code => post.has_left = true,
                Some(Some(_)) => {
                    return Err(failed(post.process.name().to_owned(), post.process.ends()));
                }
                Some(None) => killed.push(index),
                None => {}
            }
        }
        let is_over = all.iter().any(|post| post.role == Role::Sink && post.has_left);
        let killed = all.iter_mut().enumerate().filter(|(index, _)| killed.contains(index));
        for (_, post) in killed {
            post.has_left = is_over;
            if !is_over {
                let command = command(self.place, self.case, &self.folder, endpoints, post.role);
                post.process = self.place.start_command(&post.role.to_string(), command);
            }
        }
        for post in all.iter_mut().filter(|post| is_over && !post.has_left) {
            post.go_if_too_late();
        }
        Ok(all.iter().any(|post| !post.has_left))
    }

    /// Everyone's state, in words.
    pub fn states(&mut self) -> String {
        match &self.crew {
            Crew::Launched(launcher) => kin::states(launcher.id()),
            Crew::ByHand { all, .. } => {
                let state = |post: &Post| {
                    let word = if post.has_left { "has left" } else { "is there" };
                    format!("{} {word}", post.process.name())
                };
                all.iter().map(state).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// Whether there is no launcher.
    pub fn is_by_hand(&self) -> bool {
        matches!(self.crew, Crew::ByHand { .. })
    }
}

impl Post {
    /// Who was started again when the others were about to leave meets nobody, says so and waits: whoever
    /// started it ends it.
    fn go_if_too_late(&mut self) {
        if self.process.stderr().contains(WAITS) {
            self.process.kill();
            self.has_left = true;
        }
    }

    fn member(&mut self) -> Option<Member> {
        let is_there = self.process.is_running();
        let kin = Kin::of(self.process.id()).filter(|_| is_there)?;
        Some(Member { kin, role: self.role })
    }
}

fn with_children(launcher: u32) -> Vec<Member> {
    let mut members = kin::members(launcher);
    members.extend(Kin::of(launcher).map(|kin| Member { kin, role: Role::Launcher }));
    members
}

fn failed(program: String, ended: Ended) -> Trouble {
    Trouble::Code { program, code: ended.code, last_words: trial::last_words(&ended.stderr) }
}

fn by_hand(place: &Place, case: &Case, folder: &Path, transport: Transport) -> Crew {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let endpoints = ["v", "s"].map(|role| place.endpoint(transport, &format!("{name}-{role}")));
    let mut roles = vec![Role::Sink, Role::Ventilator];
    roles.extend([Role::Worker; WORKERS]);
    let post = |role: Role| {
        let command = command(place, case, folder, &endpoints, role);
        Post { role, process: place.start_command(&role.to_string(), command), has_left: false }
    };
    let all = roles.into_iter().map(post).collect();
    Crew::ByHand { endpoints, all }
}

fn command(
    place: &Place,
    case: &Case,
    folder: &Path,
    [ventilator, sink]: &[String; 2],
    role: Role,
) -> Command {
    let Script::Flags(flags) = &case.script else { panic!("{} is started by hand", case.name) };
    let (name, own, index) = match role {
        Role::Sink => ("sink", vec!["--bind", sink], 0),
        Role::Ventilator => ("ventilator", vec!["--bind", ventilator, "--sink", sink], 1),
        Role::Worker | Role::Launcher => ("worker", vec!["--ventilator", ventilator], 2),
    };
    let mut command = place.command(program(name));
    command.current_dir(folder).env("XDG_RUNTIME_DIR", folder).args(own).args(&flags[index]);
    command
}
