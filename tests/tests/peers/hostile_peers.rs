//! Whatever a peer sends, the run completes, its output is right, memory stays bounded, and the
//! summary tells what was turned away.
//!
//! All attacks come from peers that have got in, as over ipc or with `--insecure` everybody does.

use std::io::Write;
use std::net::TcpStream;

use proto::frame::{Credit, Done, Frame, HelloRole, Results, Welcome};
use tests::crowd::Crowd;
use tests::hand::Hand;
use tests::hostile::{Attacker, ByHand};
use tests::memory::{PEAK_BYTES_MAX, peak_bytes};
use tests::outcome::{assert_same_lines, lines};
use tests::place::Transport;
use tests::process::Process;
use tests::wait;

const UNITS: u64 = 2_000;

/// A sink and a ventilator that are up and wait for a worker.
struct Scene {
    hand: Hand,
    peak_bytes_max: u64,
    sink: Process,
    ventilator: Process,
}

impl Scene {
    fn over(transport: Transport, flags: &[&str]) -> Self {
        Self::in_place(Hand::over(transport), flags)
    }

    fn in_place(hand: Hand, flags: &[&str]) -> Self {
        let mut sink = hand.sink(flags);
        let mut ventilator = hand.ventilator(&format!("range:1..{UNITS}"), flags);
        sink.is_up();
        ventilator.is_up();
        Self { hand, peak_bytes_max: PEAK_BYTES_MAX, sink, ventilator }
    }

    fn victims(&self) -> [String; 2] {
        [self.hand.sink_endpoint().to_owned(), self.hand.ventilator_endpoint().to_owned()]
    }

    /// A worker comes, and the run ends as if nobody had disturbed it. How often something was
    /// turned away for this reason.
    fn completes(mut self, flags: &[&str], reason: &str) -> u64 {
        let mut worker = self.hand.worker(&[flags, &["--run", "square"]].concat());
        let ids = [("sink", self.sink.id()), ("ventilator", self.ventilator.id())];
        let mut peaks = [0; 2];
        let look = |peaks: &mut [u64; 2]| {
            for (peak, (_, id)) in peaks.iter_mut().zip(ids) {
                *peak = peak_bytes(id).unwrap_or(*peak);
            }
        };
        wait::until("the run ends", || {
            look(&mut peaks);
            (!self.sink.is_running()).then_some(())
        });
        for process in [&mut self.sink, &mut self.ventilator, &mut worker] {
            process.ends_well();
        }
        for ((name, _), bytes) in ids.iter().zip(peaks) {
            let range = 1..self.peak_bytes_max;
            assert!(range.contains(&bytes), "{name} has had {} MiB", bytes >> 20);
        }
        let squares: Vec<String> = (1..=UNITS).map(|n| (n * n).to_string()).collect();
        assert_same_lines(&lines(&self.hand.output()), &squares);
        let count = self.hand.outcome().field("turned_away")[reason].as_u64();
        count.unwrap_or_else(|| panic!("no count of {reason}"))
    }
}

fn worker_role() -> HelloRole {
    HelloRole::Worker { stage: None, own: true }
}

#[test]
fn random_bytes_are_counted_and_dropped() {
    const MESSAGES: u64 = 3_000;
    let scene = Scene::over(Transport::Ipc, &[]);
    let mut rng = fastrand::Rng::with_seed(7);
    for (index, victim) in scene.victims().iter().enumerate() {
        let mut attacker = Attacker::towards(&scene.hand.place, &format!("a{index}"), victim);
        let whole = attacker.next_bytes(Frame::Leaving);
        for number in 0..MESSAGES {
            let bytes = match number % 3 {
                // A frame that ends too soon, and one with bytes behind its first.
                0 => whole[..rng.usize(..whole.len())].to_vec(),
                1 => [&whole[..1], &[rng.u8(1..); 60]].concat(),
                _ => {
                    let len = rng.usize(..2_000);
                    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
                }
            };
            attacker.sends(bytes);
        }
        attacker.is_heard();
    }
    assert_eq!(scene.completes(&[], "malformed"), 2 * MESSAGES);
}

#[test]
fn messages_of_several_parts_are_dropped_whole() {
    let scene = Scene::over(Transport::Ipc, &[]);
    for (index, victim) in scene.victims().iter().enumerate() {
        let mut peer = ByHand::towards(victim);
        let part = [0x96; 100];
        for _ in 0..500 {
            assert!(peer.sends(&[&part, &part, &part]));
        }
        // Through the same connection, so that all of them have arrived before.
        let mut attacker = Attacker::towards(&scene.hand.place, &format!("a{index}"), victim);
        let hello = attacker.begins(HelloRole::Observer);
        assert!(peer.sends(&[&hello]));
        attacker.is_answered();
    }
    assert_eq!(scene.completes(&[], "several_parts"), 1_000);
}

#[test]
fn a_frame_that_says_it_is_a_terabyte_long_ends_its_connection() {
    let scene = Scene::over(Transport::Ipc, &[]);
    for victim in scene.victims() {
        let mut peer = ByHand::towards(&victim);
        let mut head = vec![0x02];
        head.extend_from_slice(&(1u64 << 40).to_be_bytes());
        peer.writes(&head);
        peer.writes(&[0; 4_096]);
        peer.is_cut_off();
        // And one that ends before its frame does.
        let mut peer = ByHand::towards(&victim);
        let mut head = vec![0x02];
        head.extend_from_slice(&1_000_000u64.to_be_bytes());
        assert!(peer.writes(&head) && peer.writes(&[0x96; 100]));
    }
    assert_eq!(scene.completes(&[], "malformed"), 0);
}

#[test]
fn frames_of_another_run_change_nothing() {
    let hand = Hand::over(Transport::Ipc);
    let (recorded, hand) = record_a_run(hand);
    assert!(recorded.len() > 1);
    let scene = Scene::in_place(hand, &[]);
    for (index, victim) in scene.victims().iter().enumerate() {
        let mut attacker = Attacker::towards(&scene.hand.place, &format!("b{index}"), victim);
        // A ventilator that has no run yet can't tell another one's frames from strays.
        wait::until("it has a run", || {
            attacker.is_heard();
            (attacker.run != 0).then_some(())
        });
        recorded.iter().for_each(|bytes| attacker.sends(bytes.clone()));
        attacker.is_heard();
    }
    assert_eq!(scene.completes(&[], "other_runs"), 2 * recorded.len() as u64);
}

/// Takes part in a run as a worker whose results are wrong; the frames that it said in it.
fn record_a_run(hand: Hand) -> (Vec<Vec<u8>>, Hand) {
    let Scene { hand, mut sink, mut ventilator, .. } = Scene::in_place(hand, &[]);
    let mut to_sink = Attacker::towards(&hand.place, "r0", hand.sink_endpoint());
    to_sink.is_welcomed(worker_role());
    let mut to_ventilator = Attacker::towards(&hand.place, "r1", hand.ventilator_endpoint());
    to_ventilator.is_welcomed(worker_role());
    to_ventilator.says(Frame::Credit(Credit { units: 1_000, bytes: 100_000 }));
    let mut recorded = Vec::new();
    wait::until("some work was done", || {
        let Frame::Work(work) = to_ventilator.hears()?.frame else { return None };
        let results =
            Results { parcel: work.parcel, attempt: 1, units: work.units, ..Results::default() };
        recorded.push(to_sink.next_bytes(Frame::Results(results)));
        let done = Done { parcel: work.parcel, busy_ns: 1_000, failed: Vec::new() };
        recorded.push(to_ventilator.next_bytes(Frame::Done(done)));
        recorded[recorded.len() - 2..].iter().for_each(|bytes| to_ventilator.sends(bytes.clone()));
        (recorded.len() > 4).then_some(())
    });
    sink.kill();
    ventilator.kill();
    (recorded, hand)
}

#[test]
fn ten_thousand_hellos_are_bounded() {
    let scene = Scene::over(Transport::Ipc, &[]);
    for (index, victim) in scene.victims().iter().enumerate() {
        let mut attacker = Attacker::towards(&scene.hand.place, &format!("a{index}"), victim);
        let me = attacker.me;
        for number in 0..10_000 {
            // In its own name again and again, and in a new one each time.
            attacker.me = if number % 2 == 0 { me } else { me.wrapping_add(number) };
            attacker.knocks();
        }
        attacker.me = me.wrapping_add(1 << 40);
        wait::until("one more is answered in the end", || attacker.tries_to_be_heard());
    }
    assert!(scene.completes(&[], "hellos") > 1_000);
}

#[test]
fn a_worker_with_endless_credit_that_never_answers_holds_two_parcels_at_most() {
    let scene = Scene::over(Transport::Ipc, &[]);
    let victim = scene.hand.ventilator_endpoint();
    let mut greedy = Attacker::towards(&scene.hand.place, "greedy", victim);
    assert!(matches!(greedy.is_welcomed(worker_role()), Welcome::Plan(_)));
    greedy.says(Frame::Credit(Credit { units: u64::MAX, bytes: u64::MAX }));
    let mut held = 0;
    wait::until("it is sent work", || {
        let envelope = greedy.hears();
        held += usize::from(matches!(envelope?.frame, Frame::Work(_)));
        (held == 2).then_some(())
    });
    // From here on it neither reads nor says anything; what it holds goes to the other one.
    assert_eq!(scene.completes(&[], "malformed"), 0);
    while let Some(envelope) = greedy.hears() {
        assert!(!matches!(envelope.frame, Frame::Work(_)), "a third parcel");
    }
}

#[test]
fn nobody_takes_part_in_the_name_of_another() {
    let scene = Scene::over(Transport::Ipc, &[]);
    for (index, victim) in scene.victims().iter().enumerate() {
        let place = &scene.hand.place;
        let mut honest = Attacker::towards(place, &format!("h{index}"), victim);
        honest.is_heard();
        let mut thief = Attacker::towards(place, &format!("t{index}"), victim);
        thief.is_heard();
        let own = std::mem::replace(&mut thief.me, honest.me);
        for _ in 0..10 {
            thief.knocks();
        }
        thief.me = own;
        thief.is_heard();
    }
    assert_eq!(scene.completes(&[], "impostors"), 20);
}

#[test]
fn a_port_scanner_disturbs_nobody() {
    let flags = ["--insecure"];
    let scene = Scene::over(Transport::Tcp, &flags);
    let mut open = Vec::new();
    for victim in scene.victims() {
        let address = victim.strip_prefix("tcp://").expect("tcp");
        for number in 0..60 {
            let mut stream = TcpStream::connect(address).expect("the port is open");
            let words: &[u8] = match number % 4 {
                0 => b"",
                1 => b"\xff\0\0\0\0\0\0\0\x01\x7f\x03",
                2 => b"GET / HTTP/1.0\r\n\r\n",
                _ => &[0x16; 300],
            };
            stream.write_all(words).expect("it is taken");
            open.push(stream);
        }
    }
    scene.completes(&flags, "connections");
    drop(open);
}

#[test]
fn a_thousand_peers_have_room_and_those_that_ask_too_often_are_told_to_wait() {
    const PEERS: u64 = 1_000;
    proto::files::raise_limit().expect("there may be some files");
    let mut scene = Scene::over(Transport::Ipc, &[]);
    // A peer's sockets take about 64 KiB.
    scene.peak_bytes_max += PEERS * (64 << 10);
    let crowds: Vec<_> = scene.victims().into_iter().enumerate().collect();
    let crowds = crowds.into_iter().map(|(index, victim)| {
        let speaker = Attacker::towards(&scene.hand.place, &format!("c{index}"), &victim);
        std::thread::spawn(move || Crowd::gathers(speaker, PEERS))
    });
    let crowds: Vec<_> = crowds.collect();
    let crowds: Vec<Crowd> =
        crowds.into_iter().map(|crowd| crowd.join().expect("it gathers")).collect();
    let hellos = scene.completes(&[], "hellos");
    assert!(hellos > PEERS, "only so many are taken at once");
    drop(crowds);
}
