//! The page and the numbers of a run over HTTP, for `pipeline up --http`.
//!
//! Owns one thread, on which everything is served, and the way there: the launcher leaves a picture of
//! the run now and then, which costs it a copy, and goes on. Refuses to ask the launcher or a role for
//! anything, so that whoever looks, however often, slows nothing.
//!
//! | | |
//! | --- | --- |
//! | [`address`] | where it listens, as it is given |
//! | `listener.rs` | how many are served at a time |
//! | `admission.rs` | who may look |
//! | [`told`] | what the launcher says of the run |
//! | `picture.rs`, `letters.rs` | what is shown, once a second |
//! | `metrics.rs` | the same for Prometheus and its like |
//! | [`service`] | of a service: units are submitted, outcomes fetched |
//! | `routes.rs`, `page.html`, `page.css`, `page.js` | what is at which path |

pub mod address;
mod admission;
mod letters;
mod listener;
mod metrics;
mod picture;
mod routes;
pub mod service;
pub mod told;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use self::{
    admission::Gate,
    letters::Letters,
    listener::Bounded,
    picture::Picture,
    routes::Served,
    service::Door,
    told::{Line, RunFacts, Told},
};
use crate::runs::{history::History, wire::Details};

/// Where the page is, if no flag says so.
pub const VARIABLE: &str = "PIPELINE_HTTP";
/// How often the picture is renewed.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long those who look may take to hear of the end of the run.
const FAREWELL: Duration = Duration::from_millis(500);

/// A port that was taken for a page that is not served yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    token: Option<String>,
}

impl Bound {
    /// Listens there. Whoever is not on this machine needs a token, which is drawn here.
    ///
    /// # Errors
    /// What the system says, as when somebody else has the port.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let token = match address.ip().is_loopback() {
            true => None,
            false => Some(admission::draw_token()?),
        };
        Ok(Self { listener, address, token })
    }

    /// Where the page is, for those who may know everything.
    pub fn url(&self) -> String {
        match &self.token {
            Some(token) => format!("{}?token={token}", self.public_url()),
            None => self.public_url(),
        }
    }

    /// The same without what admits to it.
    pub fn public_url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// A page that is served, as the launcher has it.
#[derive(Debug)]
pub struct Page {
    told: watch::Sender<Arc<Told>>,
    // Closed when nobody is served any more.
    served: Receiver<()>,
}

impl Page {
    /// Serves the page of a run.
    ///
    /// # Errors
    /// When there is no thread for it, or what the system says.
    pub fn serve(bound: &Bound, run: RunFacts, door: Option<Door>) -> io::Result<Self> {
        let listener = bound.listener.try_clone()?;
        let gate = Gate::new(bound.token.clone());
        let first = Told {
            at: Instant::now(),
            details: Details::default(),
            history: Arc::default(),
            lines: Vec::new(),
            over: None,
        };
        let (told, source) = watch::channel(Arc::new(first));
        let (alive, served) = channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("page".into()).spawn(move || {
            let ended = runtime.block_on(serve(listener, (gate, door), run, source));
            if let Err(error) = ended {
                tracing::warn!(%error, "the page is served no more");
            }
            drop(alive);
        })?;
        Ok(Self { told, served })
    }

    /// The run stands so, and these lines were written last. Waits for nobody.
    pub fn tell(&self, details: Details, history: Arc<History>, lines: Vec<Line>) {
        let (at, over) = (Instant::now(), None);
        self.told.send_replace(Arc::new(Told { at, details, history, lines, over }));
    }

    /// The run is over, with this exit code. Those who look are told, which may take a moment.
    pub fn over(self, code: i32) {
        self.told.send_modify(|told| {
            *told = Arc::new(Told { over: Some(code), ..Told::clone(told) });
        });
        let _ = self.served.recv_timeout(FAREWELL);
    }
}

async fn serve(
    listener: TcpListener,
    (gate, door): (Gate, Option<Door>),
    run: RunFacts,
    source: watch::Receiver<Arc<Told>>,
) -> io::Result<()> {
    let listener = Bounded::new(tokio::net::TcpListener::from_std(listener)?);
    let (publish, served) = watch::channel(Arc::new(Served::default()));
    let mut end = served.clone();
    tokio::spawn(renew(run, source, publish));
    let routes = routes::router(gate, served);
    let routes = match door {
        Some(door) => routes.merge(service::router(door)).fallback(service::nothing),
        None => routes,
    };
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move {
            let _ = end.wait_for(|served| served.is_over).await;
        })
        .await
}

/// Makes a new picture once a second, and the last one at once when the run is over.
async fn renew(
    run: RunFacts,
    mut source: watch::Receiver<Arc<Told>>,
    publish: watch::Sender<Arc<Served>>,
) {
    let mut letters = Letters::of(&run.dead);
    loop {
        let told = source.borrow_and_update().clone();
        letters.look();
        let picture = Picture::of(&run, &told, &letters);
        publish.send_replace(Arc::new(Served::of(&picture, &told.history)));
        if told.over.is_some() {
            return;
        }
        let over = source.wait_for(|told| told.over.is_some());
        if let Ok(Err(_)) = tokio::time::timeout(INTERVAL, over).await {
            return; // the launcher has dropped it
        }
    }
}
