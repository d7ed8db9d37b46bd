//! A service over HTTP: units are submitted and outcomes fetched by whatever speaks it.
//!
//! Owns the paths below, who may use them, and what the codes say; how a service is spoken to is the client's.
//! Everybody needs the key here, also on this machine: whoever can reach the port may be any of its users.
//!
//! | | |
//! | --- | --- |
//! | `POST /submit` | a unit, whose value is the body; its ticket once it is accepted |
//! | `POST /call` | the same, and its outcome |
//! | `GET /result/RUN/ID` | what became of a unit |
//! | `DELETE /result/RUN/ID` | the outcome needs not be kept; what nobody has begun is cancelled |
//! | `GET /openapi.json` | all of this, for programs |
//!
//! `asked.rs` has what is asked, `answers.rs` what is answered.

mod answers;
mod asked;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, Path, Request, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use client::{Service, Setup, SubmitError, Ticket, Undone, WaitError};
use constant_time_eq::constant_time_eq;
use proto::value::from_json;
use tokio::sync::Mutex;

use self::{
    answers::Answer,
    asked::{Asked, Given, OF_CALL, OF_RESULT, OF_SUBMIT},
};
use super::{admission::bearer, routes};

/// The largest body: JSON of the largest value may be a few times as long.
const BODY_BYTES_MAX: usize = 64 << 20;
/// How long the outcome of a call is waited for that does not say.
const CALL_WAIT: Duration = Duration::from_secs(30);
/// How long a service may take to accept a unit.
const ACCEPT_WAIT: Duration = Duration::from_secs(30);
/// How long it may take to say that there is no outcome yet.
const ANSWER_WAIT: Duration = Duration::from_millis(200);
/// How long it may take to find out who has a unit.
const CANCEL_WAIT: Duration = Duration::from_secs(5);

const OPENAPI: &str = include_str!("openapi.json");

/// How the service of a run is reached, and who may use it from here.
#[derive(Debug, Clone)]
pub struct Door {
    /// Where its ventilator listens.
    pub place: client::Place,
    /// What has to stand behind `Bearer`; none with `--insecure`.
    pub token: Option<String>,
}

/// What the handlers share.
struct Shared {
    door: Door,
    // Once somebody has asked.
    service: Mutex<Option<Service>>,
}

impl Shared {
    /// The connection; the first one who asks makes it.
    async fn service(&self) -> Result<Service, Answer> {
        let mut service = self.service.lock().await;
        if let Some(service) = &*service {
            return Ok(service.clone());
        }
        let setup = Setup::new(self.door.place.clone());
        let connected = tokio::task::spawn_blocking(move || Service::connect(setup)).await;
        match connected {
            Ok(Ok(fresh)) => Ok(service.insert(fresh).clone()),
            Ok(Err(error)) => Err(Answer::unavailable(&error.to_string())),
            Err(_) => Err(Answer::unavailable("the service cannot be reached")),
        }
    }
}

/// Run and unit.
type Named = Result<Path<(String, String)>, PathRejection>;
/// A body; one that is too large is told as all else is.
type Body = Result<Bytes, BytesRejection>;

/// All paths.
pub(super) fn router(door: Door) -> Router {
    let shared = Arc::new(Shared { door, service: Mutex::new(None) });
    Router::new()
        .route("/submit", post(submit))
        .route("/call", post(call))
        .route("/result/{run}/{id}", get(result).delete(forget))
        .layer(middleware::from_fn_with_state(shared.clone(), admit))
        .route("/openapi.json", get(document))
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shared)
}

/// What is at no path.
pub(super) async fn nothing() -> impl IntoResponse {
    let paths = "/submit, /call, /result/RUN/ID and /openapi.json";
    Answer::missing(&format!(
        "there is no such path; there are {paths}, and the page's: {}",
        routes::PATHS
    ))
}

async fn no_method() -> Answer {
    let words = "POST goes with /submit and /call, GET and DELETE with /result/RUN/ID, GET with /openapi.json";
    Answer::failed(StatusCode::METHOD_NOT_ALLOWED, words)
}

async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

async fn admit(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let given = bearer(request.headers()).unwrap_or_default();
    let is_right = |token: &String| constant_time_eq(token.as_bytes(), given.as_bytes());
    match shared.door.token.as_ref().is_none_or(is_right) {
        true => next.run(request).await,
        false => Answer::unknown_caller().into_response(),
    }
}

async fn submit(
    State(shared): State<Arc<Shared>>,
    given: Given,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Answer> {
    let (ticket, text) = taken_in(&shared, &Asked::of(given, OF_SUBMIT)?, &headers, body).await?;
    // The outcome is for whoever asks with the ticket.
    drop(ticket);
    Ok(Answer::accepted(&text))
}

async fn call(
    State(shared): State<Arc<Shared>>,
    given: Given,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Answer> {
    let asked = Asked::of(given, OF_CALL)?;
    let wait = asked.wait(CALL_WAIT)?;
    let (ticket, text) = taken_in(&shared, &asked, &headers, body).await?;
    Ok(match tokio::time::timeout(wait, ticket.into_future()).await {
        Ok(outcome) => Answer::of(&outcome, &text),
        Err(_) => Answer::accepted(&text),
    })
}

/// Submits a unit; its ticket once it is accepted.
async fn taken_in(
    shared: &Shared,
    asked: &Asked,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Ticket, String), Answer> {
    let (terms, patience) = (asked.terms(headers)?, asked.patience()?);
    let body = body.map_err(|error| too_large(&error))?;
    let mut value = Vec::new();
    from_json(&body, &mut value)
        .map_err(|error| Answer::wrong(&format!("the body is not JSON: {error}")))?;
    let service = shared.service().await?;
    let mut tickets = service.submit_encoded(vec![value], &terms, patience).map_err(refused)?;
    let ticket = tickets.pop().ok_or_else(|| Answer::unavailable("the service is closed"))?;
    match tokio::time::timeout(ACCEPT_WAIT, ticket.accepted()).await {
        Ok(Ok(text)) => Ok((ticket, text)),
        Ok(Err(undone)) => Err(Answer::unavailable(&undone.to_string())),
        Err(_) if service.absent_for().is_none() => Err(refused(SubmitError::Full)),
        Err(_) => Err(Answer::unavailable("the service does not answer")),
    }
}

/// Or it has not come whole.
fn too_large(error: &BytesRejection) -> Answer {
    match error.status() {
        code @ StatusCode::PAYLOAD_TOO_LARGE => {
            let most = BODY_BYTES_MAX >> 20;
            Answer::failed(code, &format!("the body is too large: at most {most} MiB"))
        }
        code => Answer::failed(code, &error.body_text()),
    }
}

fn refused(error: SubmitError) -> Answer {
    let words = error.to_string();
    match error {
        SubmitError::Full => Answer::full(&words),
        SubmitError::NoWorkers | SubmitError::Closed => Answer::unavailable(&words),
        SubmitError::Large { .. } => Answer::failed(StatusCode::PAYLOAD_TOO_LARGE, &words),
        SubmitError::Value(_) | SubmitError::Terms(_) => Answer::wrong(&words),
    }
}

async fn result(
    State(shared): State<Arc<Shared>>,
    named: Named,
    given: Given,
) -> Result<Answer, Answer> {
    let wait = Asked::of(given, OF_RESULT)?.wait(ANSWER_WAIT)?.max(ANSWER_WAIT);
    let (service, id, text) = meant(&shared, named).await?;
    // It stays where it is: whoever asks may lose the answer, and ask again.
    let ticket = service.look_at(id);
    Ok(match tokio::time::timeout(wait, ticket.into_future()).await {
        Ok(outcome) => Answer::of(&outcome, &text),
        Err(_) => Answer::accepted(&text),
    })
}

async fn forget(
    State(shared): State<Arc<Shared>>,
    named: Named,
    given: Given,
) -> Result<Answer, Answer> {
    Asked::of(given, &[])?;
    let (service, id, _) = meant(&shared, named).await?;
    let ticket = service.look_at(id);
    let cancelled = tokio::task::spawn_blocking(move || ticket.cancel(Some(CANCEL_WAIT)));
    match cancelled.await {
        Ok(Err(WaitError::Undone(why @ Undone::Unknown))) => Err(Answer::missing(&why.to_string())),
        _ => {
            service.forget(vec![(id, id.saturating_add(1))]);
            Ok(Answer::nothing())
        }
    }
}

/// The unit that is meant, if its ticket is of this service.
async fn meant(shared: &Shared, named: Named) -> Result<(Service, u64, String), Answer> {
    let missing = || Answer::missing("no such ticket");
    let Path((run, id)) = named.map_err(|_| missing())?;
    let text = format!("{run}/{id}");
    let (run, id) = client::parse_ticket(&text).ok_or_else(missing)?;
    let service = shared.service().await?;
    match service.run() == Some(run) {
        true => Ok((service, id, text)),
        false => Err(Answer::missing("the ticket is of another run")),
    }
}
