//! A relay between two processes that keeps what passes.
//!
//! Owns a port of its own and the bytes; refuses to change any.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Listens, and hands on to another endpoint what comes, and back.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub endpoint: String,
    passed: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    /// A relay to a tcp endpoint, where nobody has to listen yet.
    ///
    /// # Panics
    /// When no port is free.
    pub fn to(endpoint: &str) -> Self {
        let target = endpoint.trim_start_matches("tcp://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let own = listener.local_addr().expect("it is bound");
        let passed = Arc::new(Mutex::new(Vec::new()));
        let kept = passed.clone();
        // It ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(&target) {
                    join(client, server, &kept);
                }
            }
        });
        Relay { endpoint: format!("tcp://{own}"), passed }
    }

    /// All that has passed so far, in both directions.
    ///
    /// # Panics
    /// Never: no thread panics with it.
    pub fn passed(&self) -> Vec<u8> {
        self.passed.lock().expect("no thread panics with it").clone()
    }
}

fn join(client: TcpStream, server: TcpStream, passed: &Arc<Mutex<Vec<u8>>>) {
    let both = client.try_clone().and_then(|other| Ok((other, server.try_clone()?)));
    let Ok((client_too, server_too)) = both else { return };
    for (from, to) in [(client, server_too), (server, client_too)] {
        let passed = passed.clone();
        thread::spawn(move || hand_on(from, to, &passed));
    }
}

fn hand_on(mut from: TcpStream, mut to: TcpStream, passed: &Mutex<Vec<u8>>) {
    let mut piece = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        passed.lock().expect("no thread panics with it").extend(&piece[..count]);
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
