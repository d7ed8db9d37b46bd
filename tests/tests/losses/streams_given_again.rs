//! A stream can't be read twice: whoever is killed, and while it does what, the run gives what the
//! stream held, once. Whoever is started in the place of a killed one goes by what is on the disk.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::process::Stdio;
use std::thread::{self, JoinHandle};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::process::Signal;
use tests::place::Place;
use tests::process::{Ended, Process};
use tests::programs::program;
use tests::torture::{Role, kin};
use tests::wait;

const LINES: usize = 200_000;

/// How the launcher gets the stream, a FIFO called `pipe` in the scenario's folder.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// As its standard input.
    Stdin,
    /// By its path in the topology.
    Path,
    /// As its standard input, which the topology calls by its path.
    DevStdin,
    /// As a descriptor of its own, as a shell's `<(command)`.
    Descriptor,
}

const WAYS: [Way; 4] = [Way::Stdin, Way::Path, Way::DevStdin, Way::Descriptor];

fn topology(way: Way) -> String {
    let source = match way {
        Way::Stdin => "kind = \"stdin\"",
        Way::Path => "kind = \"lines\"\npath = \"pipe\"",
        Way::DevStdin => "kind = \"lines\"\npath = \"/dev/stdin\"",
        Way::Descriptor => "kind = \"lines\"\npath = \"/dev/fd/7\"",
    };
    format!(
        "name = \"course\"\n[source]\n{source}\n[[stage]]\nname = \"lower\"\nrun = \"lower\"\nworkers = 2\n[sink]\noutput = \"out.jsonl\"\n"
    )
}

fn content() -> String {
    (0..LINES).map(|number| format!("LINE {number}\n")).collect()
}

fn expected() -> String {
    (0..LINES).map(|number| format!("\"line {number}\"\n")).collect()
}

fn place(way: Way) -> Place {
    let place = Place::new();
    place.write("course.toml", topology(way));
    mknodat(CWD, place.path("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .expect("a fifo can be made");
    place
}

fn up(place: &Place, way: Way) -> Process {
    let script = match way {
        Way::Stdin | Way::DevStdin => "exec \"$0\" up course.toml < pipe",
        Way::Path => "exec \"$0\" up course.toml",
        Way::Descriptor => "exec \"$0\" up course.toml 7< <(cat pipe)",
    };
    let mut command = place.command("bash");
    command.env("XDG_RUNTIME_DIR", place.folder()).args(["-c", script]).arg(program("pipeline"));
    place.start_command("up", command)
}

/// The writing end, once somebody reads.
fn writer(place: &Place) -> File {
    OpenOptions::new().write(true).open(place.path("pipe")).expect("somebody reads the pipe")
}

/// Writes in the background, as far as anybody reads.
fn write(mut to: File, text: &[u8]) -> JoinHandle<File> {
    let text = text.to_vec();
    thread::spawn(move || {
        to.write_all(&text).expect("it is read");
        to
    })
}

fn copied(place: &Place) -> u64 {
    fs::metadata(place.path(".pipeline/course/stdin")).map_or(0, |data| data.len())
}

/// How much of a stream that is given again was compared.
fn given_again(place: &Place) -> u64 {
    let entries = fs::read_dir(place.path(".pipeline/course")).expect("the run is kept");
    let lengths = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let base: u64 = name.strip_prefix("stdin.again-")?.parse().ok()?;
        Some(base + entry.metadata().ok()?.len())
    });
    lengths.max().unwrap_or_default()
}

/// How much was taken of a stream that is given again, where so much was copied of the one before.
fn taken(place: &Place, copied_before: u64) -> u64 {
    let copied = copied(place);
    if copied > copied_before { copied } else { given_again(place) }
}

/// Kills a launcher, and waits until nobody of its run reads the pipe any more.
fn end(place: &Place, launcher: &mut Process, writer: File) {
    launcher.kill();
    drop(writer);
    wait::until("the run is down", || kin::dwellers(place.folder()).is_empty().then_some(()));
    // A process that ends has no environment any more, and still its files.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK;
    wait::until("nobody reads the pipe", || {
        open(place.path("pipe"), flags, Mode::empty()).is_err().then_some(())
    });
}

fn kill_ventilator(launcher: &Process) {
    wait::until("the ventilator is killed", || {
        let members = kin::members(launcher.id());
        let ventilator = members.iter().find(|member| member.role == Role::Ventilator)?;
        ventilator.kin.signal(Signal::KILL).then_some(())
    });
}

/// A run that is killed, launcher and all, when so many bytes were copied.
fn begun_and_killed(way: Way, bytes: usize) -> Place {
    let place = place(way);
    let mut launcher = up(&place, way);
    let text = content();
    let writes = write(writer(&place), &text.as_bytes()[..bytes]).join().expect("it is written");
    wait::until("it is copied", || (copied(&place) == bytes as u64).then_some(()));
    end(&place, &mut launcher, writes);
    place
}

fn is_right(place: &Place, ended: &Ended, what: &str) {
    assert_eq!(ended.code, Some(0), "{what}: {}", ended.stderr);
    let found = fs::read_to_string(place.path("out.jsonl")).expect("the output is there");
    assert!(found == expected(), "{what}: {} lines", found.lines().count());
    assert_eq!(place.run("pipeline", &["verify"]).code, Some(0), "{what}");
}

/// Standard input given again after the launcher's death, and the ventilator killed while it
/// compares; 26,832 results came of 20,000 lines.
#[test]
fn a_ventilator_that_is_killed_while_it_compares_leaves_the_rest_of_the_stream_to_the_next_one() {
    let text = content();
    for way in WAYS {
        let place = begun_and_killed(way, 700_001);
        let mut launcher = up(&place, way);
        let (mut open, mut at) = (writer(&place), 0);
        for part in [50_000, 300_000, 650_000, 1_000_000] {
            open = write(open, &text.as_bytes()[at..part]).join().expect("written");
            at = part;
            wait::until("that is taken", || (taken(&place, 700_001) >= part as u64).then_some(()));
            kill_ventilator(&launcher);
        }
        drop(write(open, &text.as_bytes()[at..]).join());
        is_right(&place, &launcher.ends(), &format!("{way:?}"));
    }
}

/// The launcher is killed again and again, also while a stream that is given again is compared.
#[test]
fn a_launcher_that_is_killed_however_often_goes_on_with_the_stream_that_is_given_again() {
    let text = content();
    for way in WAYS {
        let place = begun_and_killed(way, 300_001);
        let mut copied_before = 300_001;
        for (part, ventilator) in [(1, true), (280_000, false), (300_000, true), (900_000, true)] {
            let mut launcher = up(&place, way);
            let open = write(writer(&place), &text.as_bytes()[..part]).join().expect("written");
            wait::until("that is taken", || {
                (taken(&place, copied_before) >= part as u64).then_some(())
            });
            copied_before = copied(&place);
            if ventilator {
                kill_ventilator(&launcher);
            }
            end(&place, &mut launcher, open);
        }
        let mut launcher = up(&place, way);
        let (to, all) = (writer(&place), text.clone());
        // The stream ends when all is written.
        let written = thread::spawn(move || drop(write(to, all.as_bytes()).join()));
        let ended = launcher.ends();
        written.join().expect("it is written");
        is_right(&place, &ended, &format!("{way:?}"));
    }
}

/// A writer that has said everything and left is no writer to wait for.
#[test]
fn a_ventilator_that_is_killed_after_the_stream_has_ended_finds_what_is_left_in_it() {
    for way in WAYS {
        let place = place(way);
        let mut launcher = up(&place, way);
        let text = content();
        let open = write(writer(&place), &text.as_bytes()[..500_000]).join().expect("written");
        wait::until("something is copied", || (copied(&place) > 0).then_some(()));
        kill_ventilator(&launcher);
        drop(write(open, &text.as_bytes()[500_000..]).join());
        kill_ventilator(&launcher);
        is_right(&place, &launcher.ends(), &format!("{way:?}"));
    }
}

/// A socket as standard input: what a killed ventilator had read of it and not written was lost.
#[test]
fn a_socket_is_held_for_the_ventilators_to_come() {
    let place = Place::new();
    place.write("course.toml", topology(Way::Stdin));
    let (socket, ours) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    let mut command = place.command("bash");
    // The harness gives no input; this one comes by another descriptor.
    let inherited = rustix::io::fcntl_dupfd_cloexec(&socket, 20).expect("a descriptor is left");
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).expect("it is inherited");
    let number = std::os::fd::AsRawFd::as_raw_fd(&inherited).to_string();
    command
        .env("XDG_RUNTIME_DIR", place.folder())
        .stdin(Stdio::null())
        .args(["-c", &format!("exec \"$0\" up course.toml 0<&{number}")])
        .arg(program("pipeline"));
    let mut launcher = place.start_command("up", command);
    drop((socket, inherited));
    let text = content();
    let mut ours = ours;
    for (number, part) in text.as_bytes().chunks(400_000).enumerate() {
        ours.write_all(part).expect("it is read");
        let before = copied(&place);
        wait::until("something is copied", || {
            (copied(&place) > before.max(number as u64)).then_some(())
        });
        kill_ventilator(&launcher);
    }
    drop(ours);
    is_right(&place, &launcher.ends(), "socket");
}
