//! Who may look at the page of a run.
//!
//! Owns the token, and the names by which this machine may be called: a page on the web can have its
//! own name lead here (DNS rebinding), and a browser would let it read everything. Refuses to know what
//! is looked at.

use std::io;

use axum::http::{HeaderMap, Uri, header};
use constant_time_eq::constant_time_eq;

/// Why somebody may not look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The token is missing or wrong.
    Token,
    /// This machine is called by a strange name.
    Host,
}

impl Refusal {
    /// What is answered.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Token => {
                "403: the address needs the token that `pipeline up` has printed, as in ?token=...\n"
            }
            Self::Host => "403: call this machine 127.0.0.1 or localhost\n",
        }
    }
}

/// A token that nobody guesses.
///
/// # Errors
/// When there are no random numbers.
pub(super) fn draw_token() -> io::Result<String> {
    let half = || getrandom::u64().map_err(|error| io::Error::other(error.to_string()));
    Ok(format!("{:016x}{:016x}", half()?, half()?))
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    token: Option<String>,
}

impl Gate {
    /// Without a token, for those on this machine, who call it by its own name.
    pub(super) fn new(token: Option<String>) -> Self {
        Self { token }
    }

    /// Whether somebody may look.
    ///
    /// # Errors
    /// [`Refusal`] if not.
    pub(super) fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        match &self.token {
            Some(token) => {
                let given = bearer(headers).or_else(|| in_query(uri)).unwrap_or_default();
                let is_right = constant_time_eq(token.as_bytes(), given.as_bytes());
                if is_right { Ok(()) } else { Err(Refusal::Token) }
            }
            None => {
                let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
                if host.is_some_and(is_this_machine) { Ok(()) } else { Err(Refusal::Host) }
            }
        }
    }
}

fn in_query(uri: &Uri) -> Option<&str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="))
}

/// What Prometheus calls `credentials`. Small and large letters are the same in the scheme (RFC 9110, 11.1).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, rest) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim_start_matches(' '))
}

/// With any port: one may be forwarded, as by `ssh -L`.
fn is_this_machine(host: &str) -> bool {
    let port = |rest: &str| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_number);
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| host.strip_prefix(name).is_some_and(port))
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        [(name, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn on_this_machine_nobody_comes_in_under_a_name_of_the_web() {
        let gate = Gate::new(None);
        let judged = |host: &str| gate.admit(&Uri::default(), &headers(header::HOST, host));
        for host in ["127.0.0.1:80", "localhost", "localhost:8080", "[::1]:9"] {
            assert_eq!(judged(host), Ok(()), "{host}");
        }
        for host in ["evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example:1", ""] {
            assert_eq!(judged(host), Err(Refusal::Host), "{host}");
        }
        assert_eq!(gate.admit(&Uri::default(), &HeaderMap::new()), Err(Refusal::Host));
    }

    #[test]
    fn elsewhere_the_token_is_needed_whole() {
        let token = draw_token().unwrap();
        let gate = Gate::new(Some(token.clone()));
        let at = |query: &str| {
            let uri: Uri = format!("/api/run{query}").parse().unwrap();
            gate.admit(&uri, &headers(header::HOST, "10.0.0.1:80"))
        };
        assert_eq!(at(&format!("?token={token}")), Ok(()));
        assert_eq!(at(&format!("?x=1&token={token}")), Ok(()));
        let half = &token[..token.len() / 2];
        for wrong in ["".into(), "?token=".into(), format!("?token={half}"), format!("?t={token}")]
        {
            assert_eq!(at(&wrong), Err(Refusal::Token), "{wrong}");
        }
        for scheme in ["Bearer", "bearer", "BEARER "] {
            let bearer = headers(header::AUTHORIZATION, &format!("{scheme} {token}"));
            assert_eq!(gate.admit(&Uri::default(), &bearer), Ok(()), "{scheme}");
        }
        let basic = headers(header::AUTHORIZATION, &format!("Basic {token}"));
        assert_eq!(gate.admit(&Uri::default(), &basic), Err(Refusal::Token));
        assert_ne!(token, draw_token().unwrap());
    }
}
