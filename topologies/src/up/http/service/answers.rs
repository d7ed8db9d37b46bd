//! What is answered to those who use a service over HTTP.
//!
//! Owns codes and bodies; refuses to know how an outcome came about.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use client::{Outcome, Undone};
use proto::value::to_json;
use serde_json::json;

/// One answer.
#[derive(Debug)]
pub(super) struct Answer {
    code: StatusCode,
    body: String,
    header: Option<(HeaderName, &'static str)>,
}

impl Answer {
    /// Something is wrong, and this is what.
    pub fn failed(code: StatusCode, error: &str) -> Self {
        Self { code, body: json!({ "error": error }).to_string(), header: None }
    }

    /// What was sent is wrong.
    pub fn wrong(error: &str) -> Self {
        Self::failed(StatusCode::BAD_REQUEST, error)
    }

    /// There is no such thing.
    pub fn missing(error: &str) -> Self {
        Self::failed(StatusCode::NOT_FOUND, error)
    }

    /// It may be there later.
    pub fn unavailable(error: &str) -> Self {
        let header = Some((header::RETRY_AFTER, "1"));
        Self { header, ..Self::failed(StatusCode::SERVICE_UNAVAILABLE, error) }
    }

    /// There is no room.
    pub fn full(error: &str) -> Self {
        let header = Some((header::RETRY_AFTER, "1"));
        Self { header, ..Self::failed(StatusCode::TOO_MANY_REQUESTS, error) }
    }

    /// Whoever asks has not shown the key.
    pub fn unknown_caller() -> Self {
        let words = "the service's key is needed: Authorization: Bearer SECRET, where SECRET stands in the key file";
        let header = Some((header::WWW_AUTHENTICATE, "Bearer"));
        Self { header, ..Self::failed(StatusCode::UNAUTHORIZED, words) }
    }

    /// The unit is accepted, and has no outcome yet.
    pub fn accepted(ticket: &str) -> Self {
        let body = json!({ "ticket": ticket }).to_string();
        Self { code: StatusCode::ACCEPTED, body, header: None }
    }

    /// It is done, and there is nothing to say.
    pub fn nothing() -> Self {
        Self { code: StatusCode::NO_CONTENT, body: String::new(), header: None }
    }

    /// What became of a unit.
    pub fn of(outcome: &Outcome, ticket: &str) -> Self {
        let of_values = |name: &str, values: String| {
            let ticket = json!(ticket);
            let body = format!("{{\"ticket\":{ticket},\"{name}\":{values}}}");
            Self { code: StatusCode::OK, body, header: None }
        };
        match outcome {
            Outcome::Value(value) => match text(value) {
                Some(value) => of_values("value", value),
                None => Self::without_json(),
            },
            Outcome::Values(values) => {
                match values.iter().map(|value| text(value)).collect::<Option<Vec<_>>>() {
                    Some(values) => of_values("values", format!("[{}]", values.join(","))),
                    None => Self::without_json(),
                }
            }
            Outcome::Filtered => of_values("values", "[]".into()),
            Outcome::Dead(failure) => {
                let body = json!({
                    "ticket": ticket, "error": failure.error, "attempts": failure.attempts,
                });
                let code = StatusCode::UNPROCESSABLE_ENTITY;
                Self { code, body: body.to_string(), header: None }
            }
            Outcome::Undone(why @ Undone::Expired) => {
                Self::failed(StatusCode::GONE, &why.to_string())
            }
            Outcome::Undone(why @ (Undone::Unknown | Undone::OtherRun)) => {
                Self::missing(&why.to_string())
            }
            Outcome::Undone(why @ (Undone::Declined(_) | Undone::Closed)) => {
                Self::unavailable(&why.to_string())
            }
        }
    }

    fn without_json() -> Self {
        Self::failed(StatusCode::INTERNAL_SERVER_ERROR, "the value has no JSON form")
    }
}

/// A value as JSON, if it has such a form.
fn text(value: &[u8]) -> Option<String> {
    let mut json = Vec::new();
    to_json(value, &mut json).ok()?;
    String::from_utf8(json).ok()
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let json = [(header::CONTENT_TYPE, "application/json")];
        let mut response = match self.code {
            StatusCode::NO_CONTENT => self.code.into_response(),
            code => (code, json, self.body).into_response(),
        };
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
