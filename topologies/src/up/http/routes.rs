//! What is at which path.
//!
//! Owns the answers and their headers. Every answer is a copy of what was made once for all: no request
//! makes the launcher, the disk or a role do anything.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::get,
};
use futures_util::stream::{self, Stream};
use tokio::sync::watch;

use super::{admission::Gate, metrics, picture::Picture};
use crate::runs::history::History;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// All paths of the page, for people who look for another one.
pub(super) const PATHS: &str = "/, /api/run, /api/history, /events, /metrics and /health";
/// Paths of what is the same for everybody, and needs no token.
const PUBLIC: [&str; 2] = ["/page.css", "/page.js"];

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HEADERS: [(header::HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// What everybody is answered until the next picture.
#[derive(Debug, Default)]
pub(super) struct Served {
    run: String,
    history: String,
    metrics: String,
    /// Whether the run is over.
    pub(super) is_over: bool,
}

impl Served {
    /// Of a picture, and of those before.
    pub(super) fn of(picture: &Picture<'_>, history: &History) -> Self {
        Self {
            run: serde_json::to_string(picture).unwrap_or_default(),
            history: serde_json::to_string(history).unwrap_or_default(),
            metrics: metrics::text(picture),
            is_over: picture.over.is_some(),
        }
    }
}

type Source = watch::Receiver<Arc<Served>>;

/// All paths.
pub(super) fn router(gate: Gate, served: Source) -> Router {
    Router::new()
        .route("/", get(|| still("text/html; charset=utf-8", PAGE)))
        .route("/page.css", get(|| still("text/css; charset=utf-8", STYLE)))
        .route("/page.js", get(|| still("text/javascript; charset=utf-8", SCRIPT)))
        .route("/api/run", get(run))
        .route("/api/history", get(history))
        .route("/events", get(events))
        .route("/metrics", get(numbers))
        .route("/health", get(health))
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(gate, admit))
        .with_state(served)
}

async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let is_public = PUBLIC.contains(&request.uri().path());
    let mut response = match gate.admit(request.uri(), request.headers()) {
        Err(refusal) if !is_public => (StatusCode::FORBIDDEN, refusal.words()).into_response(),
        _ => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn typed<T: IntoResponse>(content_type: &'static str, body: T) -> impl IntoResponse + use<T> {
    ([(header::CONTENT_TYPE, content_type)], body)
}

/// What never changes.
async fn still(content_type: &'static str, body: &'static str) -> impl IntoResponse {
    typed(content_type, body)
}

async fn run(State(served): State<Source>) -> impl IntoResponse {
    typed("application/json", served.borrow().run.clone())
}

async fn history(State(served): State<Source>) -> impl IntoResponse {
    typed("application/json", served.borrow().history.clone())
}

async fn numbers(State(served): State<Source>) -> impl IntoResponse {
    typed(metrics::CONTENT_TYPE, served.borrow().metrics.clone())
}

async fn health(State(served): State<Source>) -> impl IntoResponse {
    match served.borrow().is_over {
        false => (StatusCode::OK, "ok\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "the run is over\n"),
    }
}

async fn nothing() -> impl IntoResponse {
    (StatusCode::NOT_FOUND, format!("404: there are {PATHS}\n"))
}

async fn events(State(mut served): State<Source>) -> impl IntoResponse {
    served.mark_changed();
    Sse::new(pictures(served)).keep_alive(KeepAlive::default())
}

/// `run` with each picture, and `over` with the last one.
fn pictures(served: Source) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(Some(served), |source| async move {
        let mut source = source?;
        source.changed().await.ok()?;
        let served = source.borrow_and_update().clone();
        let name = if served.is_over { "over" } else { "run" };
        let event = Event::default().event(name).data(&served.run);
        Some((Ok(event), (!served.is_over).then_some(source)))
    })
}
