//! Inboxes and lanes over real sockets: who gets in, and what a lane's monitor tells.
// A failed step is a failed test.
#![allow(clippy::unwrap_used)]

use std::{sync::mpsc, time::Duration};

use proto::net::{
    endpoint::Endpoint,
    key::Key,
    waker,
    zeromq::{Inbox, Lane, LaneEvent, Net, SharedContext},
};

const DEADLINE: Duration = Duration::from_secs(20);

struct Process {
    net: Net,
    events: mpsc::Receiver<LaneEvent>,
}

fn process(key: Option<Key>) -> Process {
    let (sender, events) = mpsc::channel();
    let told = move |_, event| {
        let _ = sender.send(event);
    };
    let net = Net::new(&SharedContext::new(), key, told, || {}).unwrap();
    Process { net, events }
}

fn receive(inbox: &Inbox) -> Vec<u8> {
    let (_waker, wakeups) = waker::pair().unwrap();
    for _ in 0..200 {
        if let Some(frame) = inbox.receive().unwrap() {
            return frame.to_vec();
        }
        inbox.wait(&wakeups, 100).unwrap();
    }
    panic!("no frame came");
}

fn connect(from: &mut Process, to: &Endpoint) -> (Lane, LaneEvent) {
    let lane = from.net.lane(1, to).unwrap();
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
        let (lane, event) = connect(&mut stranger, &endpoint);
        assert_ne!(event, LaneEvent::Up);
        assert!(!lane.send(vec![8]));
    }
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
