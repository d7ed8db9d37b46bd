//! Whoever was met at an endpoint before: the right process is reached as soon as it is there.
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

use std::{
    any::Any,
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    path::Path,
    sync::{
        atomic::{AtomicU16, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use proto::{
    limits::Limits,
    net::{
        driver::Driver,
        endpoint::Endpoint,
        key::Key,
        zeromq::{Inbox, Net, SharedContext},
    },
    role::{Effect, Event, Role},
    time::Time,
};

const DEADLINE: Duration = Duration::from_secs(40);

/// A role that opens one lane and leaves when it is up.
struct Caller;

impl Role for Caller {
    type Request = ();
    type Reply = ();

    fn handle(&mut self, _now: Time, event: Event<()>, effects: &mut Vec<Effect<()>>) {
        if matches!(event, Event::LaneUp { .. }) {
            effects.push(Effect::Exit(7));
        }
    }

    fn deadline(&self) -> Option<Time> {
        None
    }
}

/// Someone who speaks first, as a server of another protocol does, and what they do then.
#[derive(Clone, Copy)]
enum Then {
    Close,
    /// The connection stays, be it that the server goes.
    Stay,
}

/// What the wrong server is.
#[derive(Clone, Copy)]
enum Wrong {
    Bytes(&'static [u8], Then),
    Socket(zmq::SocketType, Mechanism),
}

#[derive(Clone, Copy)]
enum Mechanism {
    Null,
    Plain,
    OtherKey,
}

trait Stream: Read + Write + Send + 'static {}
impl<T: Read + Write + Send + 'static> Stream for T {}

/// Serves until it is told to go, and tells when somebody has come.
fn serve<S: Stream>(
    accept: impl Fn() -> std::io::Result<S> + Send + 'static,
    (bytes, then): (&'static [u8], Then),
) -> Box<dyn Any> {
    let (come, coming) = mpsc::channel();
    let (go, going) = mpsc::channel::<()>();
    let server = thread::spawn(move || {
        let mut kept = Vec::new();
        while going.try_recv() == Err(mpsc::TryRecvError::Empty) {
            let Ok(mut stream) = accept() else {
                thread::yield_now();
                continue;
            };
            let _ = stream.write_all(bytes);
            match then {
                Then::Close => drop(stream),
                Then::Stay => kept.push(stream),
            }
            let _ = come.send(());
        }
        // As of a process that goes on with what it has, but listens no more.
        std::mem::forget(kept);
    });
    coming.recv_timeout(DEADLINE).expect("somebody comes");
    drop(go);
    server.join().unwrap();
    Box::new(())
}

fn serve_socket(endpoint: &Endpoint, kind: zmq::SocketType, how: Mechanism) -> Box<dyn Any> {
    let context = zmq::Context::new();
    let socket = context.socket(kind).unwrap();
    socket.set_linger(0).unwrap();
    match how {
        Mechanism::Null => {}
        Mechanism::Plain => socket.set_plain_server(true).unwrap(),
        Mechanism::OtherKey => {
            let pair = zmq::CurveKeyPair::new().unwrap();
            socket.set_curve_server(true).unwrap();
            socket.set_curve_secretkey(&pair.secret_key).unwrap();
        }
    }
    socket.monitor("inproc://seen", zmq::SocketEvent::ACCEPTED as i32).unwrap();
    let seen = context.socket(zmq::PAIR).unwrap();
    seen.set_rcvtimeo(DEADLINE.as_millis() as i32).unwrap();
    seen.connect("inproc://seen").unwrap();
    let start = Instant::now();
    while let Err(error) = socket.bind(&endpoint.to_string()) {
        assert!(start.elapsed() < DEADLINE, "{error}");
    }
    seen.recv_multipart(0).expect("somebody comes");
    // A moment in which both sides find what is wrong: that it is the wrong one that is met is
    // certain, how far they have got with it does not matter.
    let _ = seen.poll(zmq::POLLIN, 300);
    Box::new(())
}

fn meet(wrong: Wrong, endpoint: &Endpoint) {
    let kept = match (wrong, endpoint) {
        (Wrong::Socket(kind, how), _) => serve_socket(endpoint, kind, how),
        (Wrong::Bytes(bytes, then), Endpoint::Ipc(path)) => {
            let listener = UnixListener::bind(path).unwrap();
            listener.set_nonblocking(true).unwrap();
            serve(move || listener.accept().map(|(stream, _)| stream), (bytes, then))
        }
        (Wrong::Bytes(bytes, then), _) => {
            let address = endpoint.to_string().replace("tcp://", "");
            let listener = TcpListener::bind(address).unwrap();
            listener.set_nonblocking(true).unwrap();
            serve(move || listener.accept().map(|(stream, _)| stream), (bytes, then))
        }
    };
    drop(kept);
}

/// A process dials, meets the wrong server, that one goes and the right one comes: whether it is
/// reached.
fn reaches_the_right_one(wrong: Wrong, endpoint: &Endpoint, key: Option<Key>) -> bool {
    let driver = Driver::new(&SharedContext::new(), key.clone(), &Limits::default()).unwrap();
    let first = vec![Effect::Open { link: 1, endpoints: vec![endpoint.to_string()], host: None }];
    let handle = driver.handle();
    let (ended, code) = mpsc::channel();
    let caller = thread::spawn(move || {
        let _ = ended.send(driver.run(Caller, first, |()| None).unwrap());
    });
    meet(wrong, endpoint);
    if let Endpoint::Ipc(path) = endpoint {
        let _ = std::fs::remove_file(path);
    }
    let owner = Net::new(&SharedContext::new(), key, |_| {}).unwrap();
    let inbox = listen(&owner, endpoint);
    let code = code.recv_timeout(DEADLINE);
    handle.stop();
    caller.join().unwrap();
    drop(inbox);
    code == Ok(7)
}

fn listen(owner: &Net, endpoint: &Endpoint) -> Inbox {
    let mut inbox = owner.inbox(1 << 20).unwrap();
    let start = Instant::now();
    while let Err(error) = inbox.bind(endpoint) {
        assert!(start.elapsed() < DEADLINE, "{error}");
        thread::yield_now();
    }
    inbox
}

fn wrongs() -> Vec<(&'static str, Wrong)> {
    use Mechanism::{Null, OtherKey, Plain};
    use Then::{Close, Stay};
    let mut all = Vec::new();
    let banners: [(&str, &'static [u8]); 7] = [
        ("http", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html></html>"),
        ("ssh", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        ("smtp", b"220 mail.example.com ESMTP\r\n"),
        ("tls alert", b"\x15\x03\x01\x00\x02\x02\x28"),
        ("zmtp 1.0", b"\x01\x00"),
        ("zeros", &[0; 256]),
        ("nothing", b""),
    ];
    for (name, bytes) in banners {
        all.push((name, Wrong::Bytes(bytes, Close)));
        all.push((name, Wrong::Bytes(bytes, Stay)));
    }
    for kind in [zmq::REP, zmq::PUB, zmq::ROUTER, zmq::PUSH, zmq::PAIR] {
        all.push(("another socket type", Wrong::Socket(kind, Null)));
    }
    all.push(("plain", Wrong::Socket(zmq::PULL, Plain)));
    all.push(("another key", Wrong::Socket(zmq::PULL, OtherKey)));
    all
}

/// A port of its own, below those that the system gives to whoever connects: of these, one who dials and is
/// not answered may meet itself.
fn free_port() -> Endpoint {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() % 10_000;
    loop {
        let port = 20_000 + (start + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % 12_000;
        if TcpListener::bind(format!("127.0.0.1:{port}")).is_ok() {
            return format!("tcp://127.0.0.1:{port}").parse().unwrap();
        }
    }
}

/// Each in a thread of its own, since some take as long as the lane's patience.
fn all_are_survived(endpoint: impl Fn(&Path) -> Endpoint, key: impl Fn() -> Option<Key>) {
    let folder = tempfile::tempdir().unwrap();
    let tries: Vec<_> = wrongs()
        .into_iter()
        .enumerate()
        .map(|(number, (name, wrong))| {
            let endpoint = endpoint(&folder.path().join(number.to_string()));
            let key = key();
            let test = move || reaches_the_right_one(wrong, &endpoint, key);
            (format!("{number}, {name}"), thread::spawn(test))
        })
        .collect();
    let stuck: Vec<String> = tries
        .into_iter()
        .filter_map(|(name, test)| (!test.join().unwrap()).then_some(name))
        .collect();
    assert!(stuck.is_empty(), "never reached after: {stuck:?}");
}

/// A worker that met a wrong server at that port first.
#[test]
fn after_any_wrong_server_the_right_one_is_reached_over_tcp_with_keys() {
    all_are_survived(|_| free_port(), || Some(Key::generate()));
}

/// The same with `--insecure`.
#[test]
fn after_any_wrong_server_the_right_one_is_reached_over_tcp_without_keys() {
    all_are_survived(|_| free_port(), || None);
}

/// The same over a socket of this machine.
#[test]
fn after_any_wrong_server_the_right_one_is_reached_over_ipc() {
    all_are_survived(|path| Endpoint::Ipc(path.into()), || None);
}
