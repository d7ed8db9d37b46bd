//! What a browser, Prometheus or a script asks a page over HTTP/1.1.
//!
//! Owns one request and its answer over a plain socket; refuses to follow anything.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::process::Process;
use crate::wait;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, with small letters, each in a line.
    pub head: String,
    /// What it says.
    pub body: String,
}

/// Where a page is, as `pipeline up` prints it.
#[derive(Debug, Clone)]
pub struct Page {
    /// Host and port.
    pub host: String,
    /// What admits to it, if that is needed.
    pub token: Option<String>,
}

impl Page {
    /// The one that a launcher prints.
    ///
    /// # Panics
    /// When it prints none.
    pub fn of(up: &Process) -> Self {
        let url = wait::until("the address of the page is printed", || {
            let said = up.stderr();
            let line = said.lines().find_map(|line| line.strip_prefix("page at http://"))?;
            Some(line.to_owned())
        });
        let (host, rest) = url.split_once('/').expect("an address with a path");
        let token = rest.strip_prefix("?token=").map(str::to_owned);
        Page { host: host.replace("0.0.0.0", "127.0.0.1"), token }
    }

    /// Asks for a path, as a browser does.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn get(&self, path: &str) -> Answer {
        self.get_as(path, &self.host)
    }

    /// The same under another name of the host.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn get_as(&self, path: &str, host: &str) -> Answer {
        answer_of(self.open(path, host))
    }

    /// Sends a body to a path, by a method and with these headers.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.host).expect("someone listens there");
        stream.set_read_timeout(Some(wait::PATIENCE)).expect("a limit");
        let headers: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (host, bytes) = (&self.host, body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {bytes}\r\n{headers}\r\n{body}"
        )
        .expect("it can be asked");
        answer_of(BufReader::new(stream))
    }

    /// The events that come until the other side ends, or is killed: each with its name and what it says.
    ///
    /// # Panics
    /// When they can't be had.
    pub fn events(&self) -> impl Iterator<Item = (String, String)> + use<> {
        let lines = self.open("/events", &self.host).lines();
        let is_end = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        let mut lines = lines
            .take_while(move |line| !line.as_ref().is_err_and(is_end))
            .map(|line| line.expect("lines of text"));
        std::iter::from_fn(move || {
            let name = lines.find_map(|line| line.strip_prefix("event: ").map(str::to_owned))?;
            let data = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned))?;
            Some((name, data))
        })
    }

    /// Whether anybody listens there.
    pub fn is_there(&self) -> bool {
        TcpStream::connect(&self.host).is_ok()
    }

    fn open(&self, path: &str, host: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.host).expect("someone listens there");
        stream.set_read_timeout(Some(wait::PATIENCE)).expect("a limit");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
            .expect("it can be asked");
        BufReader::new(stream)
    }
}

fn answer_of(mut stream: BufReader<TcpStream>) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer of text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Answer { status: status.expect("a status"), head: head.to_lowercase(), body: body.to_owned() }
}
