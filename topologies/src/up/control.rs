//! Where others speak to the launcher of a run: a Unix socket in the run's private folder.
//!
//! Owns the threads that listen there, and the bounds of what is heard: so many at a time, a line of
//! so many bytes, in so many seconds. What is asked goes to the one thread that decides, as an
//! [`Incident`]; refuses to answer anything itself. Nobody waits for who speaks here: the thread that
//! decides leaves its answer, and these threads carry it.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{exit, incident::Incident};
use crate::runs::wire::{Answer, LINE_BYTES_MAX, Reply, Request, VERSION};

/// So many are heard at a time; more are turned away.
const VISITORS_MAX: usize = 64;
/// How long someone may take to say what is wanted, and to take the answer.
const SPEECH: Duration = Duration::from_secs(2);
/// How often it is looked whether who waits for an answer is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How long the last answers may take at the end of the run.
const FAREWELL: Duration = Duration::from_millis(500);
/// After a failure to take a connection, as when no descriptor is left.
const PAUSE: Duration = Duration::from_millis(100);
const STACK_BYTES: usize = 128 << 10;

/// Where an answer is left; whoever asked may be gone.
pub type Asker = SyncSender<Reply>;

/// The socket, and who is being answered.
#[derive(Debug)]
pub struct Control {
    owed: Arc<Owed>,
}

impl Control {
    /// Listens at `path`, where nothing may be yet; what is asked is sent as `incidents`.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(path: &Path, incidents: SyncSender<Incident>) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        let owed = Arc::new(Owed::default());
        let room = Room { incidents, owed: owed.clone(), visitors: Arc::default() };
        named("control").spawn(move || room.receive(&listener))?;
        Ok(Self { owed })
    }

    /// Waits a moment until everyone who was answered has the answer.
    pub fn see_off(&self) {
        self.owed.settled(FAREWELL);
    }
}

/// How many answers are under way.
#[derive(Debug, Default)]
struct Owed {
    count: Mutex<usize>,
    settled: Condvar,
}

impl Owed {
    fn add(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    fn settle(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.settled.notify_all();
    }

    fn settled(&self, limit: Duration) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.settled.wait_timeout_while(count, limit, |count| *count > 0);
    }
}

#[derive(Clone)]
struct Room {
    incidents: SyncSender<Incident>,
    owed: Arc<Owed>,
    visitors: Arc<AtomicUsize>,
}

impl Room {
    fn receive(self, listener: &UnixListener) {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                thread::sleep(PAUSE);
                continue;
            };
            if self.visitors.fetch_add(1, Ordering::AcqRel) >= VISITORS_MAX {
                self.visitors.fetch_sub(1, Ordering::AcqRel);
                continue;
            }
            let room = self.clone();
            let heard = named("visitor").spawn(move || {
                let visitors = room.visitors.clone();
                room.hear(&stream);
                visitors.fetch_sub(1, Ordering::AcqRel);
            });
            if heard.is_err() {
                self.visitors.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    /// One request, one answer.
    fn hear(self, stream: &UnixStream) {
        let Ok(line) = read_line(stream) else { return };
        let ask = match serde_json::from_slice::<Request>(&line) {
            Ok(Request { version: VERSION, ask }) => ask,
            _ => return say(stream, foreign()),
        };
        let (asker, answer) = sync_channel(1);
        self.owed.add();
        // Waits while the thread that decides has much to do; that one waits for nobody here.
        if self.incidents.send(Incident::Asked(ask, asker)).is_ok()
            && let Some(reply) = await_answer(stream, &answer)
        {
            say(stream, reply);
        }
        self.owed.settle();
    }
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into()).stack_size(STACK_BYTES)
}

fn foreign() -> Reply {
    let problem = format!("this launcher understands requests of version {VERSION}, and not this");
    Reply::Refused { code: exit::USAGE, problem }
}

/// One line, in time; how slowly its bytes may come makes no difference.
fn read_line(mut stream: &UnixStream) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + SPEECH;
    let (mut line, mut piece) = (Vec::new(), [0; 1024]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let count = match stream.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            other => other?,
        };
        line.extend_from_slice(&piece[..count]);
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            line.truncate(end);
            return Ok(line);
        }
        if line.len() as u64 > LINE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// The answer; none if who asked has gone, or the run has ended without one.
fn await_answer(stream: &UnixStream, answer: &Receiver<Reply>) -> Option<Reply> {
    loop {
        match answer.recv_timeout(LOOK_INTERVAL) {
            Ok(reply) => return Some(reply),
            Err(RecvTimeoutError::Timeout) if has_hung_up(stream) => return None,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// Whether the other side is closed; that it has nothing more to say is not that.
fn has_hung_up(stream: &UnixStream) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|count| count > 0)
        && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Whoever does not take it gets no other.
fn say(mut stream: &UnixStream, reply: Reply) {
    let mut line = serde_json::to_vec(&Answer::new(reply)).unwrap_or_default();
    line.push(b'\n');
    let _ = stream.set_write_timeout(Some(SPEECH));
    let _ = stream.write_all(&line);
    let _ = stream.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;
    use crate::runs::wire::Ask;

    fn room() -> (tempfile::TempDir, Control, Receiver<Incident>) {
        let folder = tempfile::tempdir().unwrap();
        let (incidents, happened) = sync_channel(4);
        let control = Control::listen(&folder.path().join("control"), incidents).unwrap();
        (folder, control, happened)
    }

    fn visit(folder: &tempfile::TempDir, said: &[u8]) -> UnixStream {
        let mut stream = UnixStream::connect(folder.path().join("control")).unwrap();
        // It may be cut off on the way, which shows in what is answered.
        let _ = stream.write_all(said);
        stream
    }

    fn answered(stream: UnixStream) -> String {
        let mut line = String::new();
        let _ = BufReader::new(stream).read_line(&mut line);
        line
    }

    #[test]
    fn what_is_asked_reaches_the_one_who_decides_and_the_answer_comes_back() {
        let (folder, control, happened) = room();
        let stream = visit(&folder, b"{\"version\":1,\"ask\":\"pause\"}\n");
        let Ok(Incident::Asked(Ask::Pause, asker)) = happened.recv() else { panic!() };
        asker.try_send(Reply::Done("paused".into())).unwrap();
        control.see_off();
        assert_eq!(answered(stream), "{\"version\":1,\"reply\":{\"done\":\"paused\"}}\n");
    }

    #[test]
    fn what_is_no_request_of_this_version_reaches_nobody() {
        let (folder, _control, happened) = room();
        for said in [&b"GET / HTTP/1.1\n"[..], b"{\"version\":2,\"ask\":\"pause\"}\n", b"\n"] {
            assert!(answered(visit(&folder, said)).contains("refused"));
        }
        // Too long, or ended half-way: no answer at all.
        assert_eq!(answered(visit(&folder, &[b'x'; 2 * LINE_BYTES_MAX as usize])), "");
        let half = visit(&folder, b"{\"version\":1,");
        half.shutdown(Shutdown::Write).unwrap();
        assert_eq!(answered(half), "");
        assert!(happened.try_recv().is_err());
    }

    /// Many who say nothing take all the room, until their time is up.
    #[test]
    fn those_who_say_nothing_are_dropped_and_make_room() {
        let (folder, _control, happened) = room();
        let silent: Vec<_> = (0..VISITORS_MAX).map(|_| visit(&folder, b"")).collect();
        for stream in silent {
            assert_eq!(answered(stream), "");
        }
        let _stream = visit(&folder, b"{\"version\":1,\"ask\":\"status\"}\n");
        assert!(matches!(happened.recv(), Ok(Incident::Asked(Ask::Status, _))));
    }

    /// Who waits for the end and goes must not keep a place for ever.
    #[test]
    fn who_has_gone_is_not_waited_for() {
        let (folder, control, happened) = room();
        let stream = visit(&folder, b"{\"version\":1,\"ask\":\"wait\"}\n");
        let Ok(Incident::Asked(Ask::Wait, _asker)) = happened.recv() else { panic!() };
        drop(stream);
        control.owed.settled(Duration::from_secs(60));
        assert_eq!(*control.owed.count.lock().unwrap(), 0);
    }
}
