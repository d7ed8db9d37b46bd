//! Inboxes and lanes over real sockets: who gets in, and what a lane's monitor tells.
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

use std::{
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use proto::{
    limits::Limits,
    net::{
        driver::Driver,
        endpoint::Endpoint,
        key::Key,
        waker,
        zeromq::{Inbox, Lane, LaneEvent, Net, NetEvent, SharedContext},
    },
    role::{Effect, Event, Role},
    time::Time,
};

const DEADLINE: Duration = Duration::from_secs(20);

struct Process {
    net: Net,
    events: mpsc::Receiver<LaneEvent>,
    refused: Arc<AtomicU64>,
}

fn process(key: Option<Key>) -> Process {
    let (sender, events) = mpsc::channel();
    let refused = Arc::new(AtomicU64::new(0));
    let count = refused.clone();
    let told = move |event| match event {
        NetEvent::Lane(_, _, LaneEvent::Connected) | NetEvent::Crowded => {}
        NetEvent::Lane(_, _, event) => drop(sender.send(event)),
        NetEvent::Refused => drop(count.fetch_add(1, Ordering::AcqRel)),
        NetEvent::Unguarded => panic!("the handler of keys has ended"),
    };
    let net = Net::new(&SharedContext::new(), key, told).unwrap();
    Process { net, events, refused }
}

fn receive(inbox: &Inbox) -> Vec<u8> {
    let (_waker, wakeups) = waker::pair().unwrap();
    for _ in 0..200 {
        if let Some(frame) = inbox.receive().unwrap() {
            return frame.to_vec();
        }
        let waiting = inbox.waiting(&wakeups, Some(Duration::from_millis(100))).unwrap();
        waiting.wait().unwrap();
    }
    panic!("no frame came");
}

fn connect(from: &mut Process, to: &Endpoint) -> (Lane, LaneEvent) {
    connect_at(from, to, 0)
}

fn connect_at(from: &mut Process, to: &Endpoint, door: usize) -> (Lane, LaneEvent) {
    let lane = from.net.lane(1, to, door).unwrap();
    let event = from.events.recv_timeout(DEADLINE).expect("the monitor says nothing");
    (lane, event)
}

fn any_port() -> Endpoint {
    "tcp://127.0.0.1:0".parse().unwrap()
}

fn socket_in(folder: &tempfile::TempDir) -> Endpoint {
    Endpoint::Ipc(folder.path().join("inbox"))
}

#[test]
fn libzmq_is_4_3_5_with_curve() {
    assert_eq!(zmq::version(), (4, 3, 5));
    assert_eq!(zmq::has("curve"), Some(true));
}

#[test]
fn one_key_connects_over_tcp_and_another_is_rejected() {
    let key = Key::generate();
    let owner = process(Some(key.clone()));
    let mut inbox = owner.net.inbox(1 << 20).unwrap();
    let endpoint = inbox.bind(&any_port()).unwrap();
    let mut friend = process(Some(key));
    let (lane, event) = connect(&mut friend, &endpoint);
    assert_eq!(event, LaneEvent::Up);
    assert!(lane.send(vec![7]));
    assert_eq!(receive(&inbox), [7]);
    for stranger in [Some(Key::generate()), None] {
        let mut stranger = process(stranger);
        let before = owner.refused.load(Ordering::Acquire);
        let (lane, event) = connect(&mut stranger, &endpoint);
        // Whoever sees first what is wrong closes the connection; the other sees only that.
        assert!(matches!(event, LaneEvent::Rejected(_)), "{event:?}");
        assert!(!lane.send(vec![8]));
        refusals(&owner, before + 1);
    }
    assert!(inbox.receive().unwrap().is_none());
}

/// Waits until an inbox of this process has refused at least so many connections.
fn refusals(owner: &Process, count: u64) {
    let start = Instant::now();
    while owner.refused.load(Ordering::Acquire) < count {
        assert!(start.elapsed() < DEADLINE, "nobody was counted");
        std::thread::yield_now();
    }
}

#[test]
fn plain_and_null_are_refused_and_counted_and_the_inbox_goes_on() {
    let key = Key::generate();
    let owner = process(Some(key.clone()));
    let mut inbox = owner.net.inbox(1 << 20).unwrap();
    let endpoint = inbox.bind(&any_port()).unwrap();
    let context = zmq::Context::new();
    for (number, password) in [(1, None), (2, Some("secret"))] {
        let socket = context.socket(zmq::PUSH).unwrap();
        socket.set_linger(0).unwrap();
        if let Some(password) = password {
            socket.set_plain_username(Some("someone")).unwrap();
            socket.set_plain_password(Some(password)).unwrap();
        }
        socket.connect(&endpoint.to_string()).unwrap();
        socket.send("let me in", 0).unwrap();
        refusals(&owner, number);
    }
    let mut friend = process(Some(key));
    let (lane, event) = connect(&mut friend, &endpoint);
    assert_eq!(event, LaneEvent::Up);
    assert!(lane.send(vec![7]));
    assert_eq!(receive(&inbox), [7]);
    assert!(inbox.receive().unwrap().is_none());
}

#[test]
fn who_knows_only_the_public_half_is_refused_and_counted() {
    let key = Key::generate();
    let owner = process(Some(key.clone()));
    let mut inbox = owner.net.inbox(1 << 20).unwrap();
    let endpoint = inbox.bind(&any_port()).unwrap();
    let mut stranger = process(Some(Key { accepted: vec![key.public], ..Key::generate() }));
    let lane = stranger.net.lane(1, &endpoint, 1).unwrap();
    refusals(&owner, 1);
    assert!(!lane.send(vec![8]));
    assert!(inbox.receive().unwrap().is_none());
}

#[test]
fn while_keys_change_old_and_new_talk_in_both_directions() {
    let (old, new) = (Key::generate(), Key::generate());
    let accepting =
        |own: &Key, other: &Key| Key { accepted: vec![other.public.clone()], ..own.clone() };
    let processes = || [process(Some(accepting(&old, &new))), process(Some(accepting(&new, &old)))];
    let owners = processes();
    for owner in &owners {
        let mut inbox = owner.net.inbox(1 << 20).unwrap();
        let endpoint = inbox.bind(&any_port()).unwrap();
        for peer in [0, 1] {
            let opened = (0..2).find_map(|door| {
                let [old, new] = processes();
                let mut peer = if peer == 0 { old } else { new };
                assert_eq!(peer.net.doors(), 2);
                let (lane, event) = connect_at(&mut peer, &endpoint, door);
                (event == LaneEvent::Up).then_some((lane, peer))
            });
            let (lane, _peer) = opened.expect("one of two keys fits");
            assert!(lane.send(vec![7]));
            assert_eq!(receive(&inbox), [7]);
        }
    }
}

#[test]
fn an_ipc_socket_is_its_owners_alone_and_goes_with_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    let owner = process(None);
    let mut inbox = owner.net.inbox(1 << 20).unwrap();
    let Endpoint::Ipc(path) = inbox.bind(&socket_in(&folder)).unwrap() else { panic!("not ipc") };
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(inbox);
    drop(owner);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_socket_that_a_killed_process_left_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inbox");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    std::fs::write(folder.path().join("inbox.lock"), "").unwrap();
    let owner = process(None);
    let mut inbox = owner.net.inbox(1 << 20).unwrap();
    let endpoint = inbox.bind(&socket_in(&folder)).unwrap();
    let mut peer = process(None);
    assert_eq!(connect(&mut peer, &endpoint).1, LaneEvent::Up);
}

#[test]
fn one_inbox_listens_over_ipc_and_tcp_in_either_order() {
    for ipc_first in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::generate();
        let owner = process(Some(key.clone()));
        let mut inbox = owner.net.inbox(1 << 20).unwrap();
        let mut wanted = [any_port(), socket_in(&folder)];
        if ipc_first {
            wanted.reverse();
        }
        let bound: Vec<Endpoint> = wanted.iter().map(|e| inbox.bind(e).unwrap()).collect();
        for endpoint in &bound {
            let mut peer = process(Some(key.clone()));
            let (lane, event) = connect(&mut peer, endpoint);
            assert_eq!(event, LaneEvent::Up, "{endpoint}");
            assert!(lane.send(vec![1]));
            assert_eq!(receive(&inbox), [1]);
        }
        // The plain endpoint beside it has not opened the door of the other.
        let tcp = bound.iter().find(|e| matches!(e, Endpoint::Tcp { .. })).unwrap();
        let mut stranger = process(Some(Key::generate()));
        assert_ne!(connect(&mut stranger, tcp).1, LaneEvent::Up);
    }
}

#[test]
fn a_lane_tells_when_its_peer_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let owner = process(None);
    let mut inbox = owner.net.inbox(1 << 20).unwrap();
    let endpoint = inbox.bind(&socket_in(&folder)).unwrap();
    let mut peer = process(None);
    let (lane, event) = connect(&mut peer, &endpoint);
    assert_eq!(event, LaneEvent::Up);
    drop((inbox, owner));
    assert_eq!(peer.events.recv_timeout(DEADLINE).unwrap(), LaneEvent::Down);
    assert!(!lane.send(vec![1]));
}

#[test]
fn a_second_inbox_cannot_steal_an_ipc_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (process(None), process(None));
    let mut inbox = first.net.inbox(1 << 20).unwrap();
    inbox.bind(&socket_in(&folder)).unwrap();
    let error = second.net.inbox(1 << 20).unwrap().bind(&socket_in(&folder)).unwrap_err();
    assert!(error.to_string().starts_with("cannot listen at ipc://"));
}

#[test]
fn a_frame_larger_than_the_limit_is_never_received() {
    let folder = tempfile::tempdir().unwrap();
    let owner = process(None);
    let mut inbox = owner.net.inbox(1_000).unwrap();
    let endpoint = inbox.bind(&socket_in(&folder)).unwrap();
    let mut peer = process(None);
    let (lane, _) = connect(&mut peer, &endpoint);
    assert!(lane.send(vec![0; 2_000]));
    assert_eq!(peer.events.recv_timeout(DEADLINE).unwrap(), LaneEvent::Down);
    assert!(inbox.receive().unwrap().is_none());
}

#[test]
fn one_process_talks_to_a_thousand_peers() {
    const PEERS: u32 = 1_000;
    proto::files::raise_limit().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let owner = process(None);
    let mut inbox = owner.net.inbox(1 << 20).unwrap();
    let endpoint = inbox.bind(&socket_in(&folder)).unwrap();
    let mut peer = process(None);
    let lanes: Vec<Lane> =
        (0..PEERS).map(|link| peer.net.lane(link, &endpoint, 0).unwrap()).collect();
    for _ in &lanes {
        assert_eq!(peer.events.recv_timeout(DEADLINE), Ok(LaneEvent::Up));
    }
    for (lane, number) in lanes.iter().zip(0..PEERS) {
        assert!(lane.send(number.to_be_bytes().to_vec()));
    }
    let mut heard: Vec<Vec<u8>> = lanes.iter().map(|_| receive(&inbox)).collect();
    heard.sort();
    assert!(heard.iter().zip(0..PEERS).all(|(frame, number)| frame[..] == number.to_be_bytes()));
}

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

#[test]
fn a_lane_that_was_refused_is_watched_again_when_it_is_made_anew() {
    let key = Key::generate();
    let insecure = process(None);
    let mut inbox = insecure.net.inbox(1 << 20).unwrap();
    let endpoint = inbox.bind(&any_port()).unwrap();
    let limits = Limits::default();
    let driver = Driver::new(&SharedContext::new(), Some(key.clone()), &limits).unwrap();
    let first = vec![Effect::Open { link: 1, endpoints: vec![endpoint.to_string()], host: None }];
    let handle = driver.handle();
    let (ended, code) = mpsc::channel();
    let caller = std::thread::spawn(move || {
        let _ = ended.send(driver.run(Caller, first, |()| None).unwrap());
    });
    refusals(&insecure, 1);
    drop((inbox, insecure));
    let owner = process(Some(key));
    let mut inbox = owner.net.inbox(1 << 20).unwrap();
    let start = Instant::now();
    while let Err(error) = inbox.bind(&endpoint) {
        assert!(start.elapsed() < DEADLINE, "{error}");
    }
    let code = code.recv_timeout(DEADLINE);
    handle.stop();
    caller.join().unwrap();
    assert_eq!(code, Ok(7), "nobody saw that the lane was up");
}
