//! Who may ask at the address for operators. A page of another site can neither read nor change anything there:
//!
//! - A request that a browser sends for a page of another origin has an `Origin` (RFC 6454), or says so in `Sec-Fetch-Site` (W3C
//!   Fetch Metadata). It is refused, also with the token.
//! - A name that another site has pointed at this machine (DNS rebinding) makes its page one of the same origin. So without the
//!   token the `Host` must be an address, `localhost`, or a name of this machine.

use std::net::{IpAddr, Ipv6Addr};

use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Response, StatusCode};
use subtle::ConstantTimeEq;

use super::api::ApiError;
use crate::http::body::Body;
use crate::http::response::{set, text};
use crate::net::machine;
use crate::secret::Secret;

/// Who may ask.
#[derive(Debug)]
pub(super) struct Guard {
    /// The token that is to be shown, if there is one.
    token: Option<Secret>,
    /// The names of this machine.
    names: Vec<String>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The page of another site asks.
    Foreign,
    /// By a name that anybody may have pointed here.
    Host,
    /// The token is missing, or another one.
    Token,
}

impl Guard {
    /// Those may ask who show `token`, if there is one.
    pub(super) fn new(token: Option<Secret>) -> Self {
        Self { token, names: machine::names() }
    }

    /// Whether a request with these headers, over TLS or not, may be answered. What is public (a probe, or a file of the
    /// operators' page) tells nothing of the relay, and needs neither the token nor a certain host.
    pub(super) fn check(&self, headers: &HeaderMap, is_secure: bool, is_public: bool) -> Result<(), Refusal> {
        let host = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default().to_ascii_lowercase());
        if is_foreign(headers, host.as_deref(), is_secure) {
            return Err(Refusal::Foreign);
        }
        match &self.token {
            _ if is_public => Ok(()),
            Some(token) if shows(headers, token) => Ok(()),
            Some(_) => Err(Refusal::Token),
            // What sends none is no browser.
            None if host.as_deref().is_none_or(|host| self.is_own(host)) => Ok(()),
            None => Err(Refusal::Host),
        }
    }

    fn is_own(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => return rest.split_once(']').is_some_and(|(ip, _)| ip.parse::<Ipv6Addr>().is_ok()),
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        name == "localhost" || name.parse::<IpAddr>().is_ok() || self.names.iter().any(|own| own == name)
    }
}

/// Whether a browser asks for the page of another origin.
fn is_foreign(headers: &HeaderMap, host: Option<&str>, is_secure: bool) -> bool {
    let scheme = if is_secure { "https" } else { "http" };
    let own = host.map(|host| format!("{scheme}://{host}"));
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if origins.any(|origin| origin.to_str().ok().map(str::to_ascii_lowercase) != own) {
        return true;
    }
    let said = |name: &'static str| headers.get(HeaderName::from_static(name)).map(|value| value.as_bytes());
    let is_other_site = matches!(said("sec-fetch-site"), Some(b"cross-site" | b"same-site"));
    // Somebody may follow a link to it.
    is_other_site && said("sec-fetch-mode") != Some(b"navigate")
}

/// Whether the request shows the token (RFC 6750).
fn shows(headers: &HeaderMap, token: &Secret) -> bool {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (shown.next(), shown.next()) else { return false };
    let Some((scheme, rest)) = only.as_bytes().split_at_checked("Bearer ".len()) else { return false };
    scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(rest.trim_ascii().ct_eq(token.reveal().as_bytes()))
}

impl Refusal {
    /// What the client is told; as JSON, if it asks the API.
    pub(super) fn response(self, is_api: bool) -> Response<Body> {
        let (status, code, sentence) = match self {
            Self::Foreign => (StatusCode::FORBIDDEN, "forbidden", "pages of other sites may not ask here"),
            Self::Host => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "ask by an address, by localhost or by this machine's name, or start the relay with --admin-token-file and \
                 show the token",
            ),
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "show the token in the file of --admin-token-file: Authorization: Bearer TOKEN",
            ),
        };
        let mut response =
            if is_api { ApiError::new(status, code, sentence).response() } else { text(status, sentence) };
        if self == Self::Token {
            set(&mut response, header::WWW_AUTHENTICATE, "Bearer");
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn guard(token: Option<&str>) -> Guard {
        Guard { token: token.map(Secret::new), names: vec!["box".into(), "box.local".into()] }
    }

    #[test]
    fn a_name_that_anybody_may_have_pointed_here_is_refused_without_the_token() {
        for host in
            ["127.0.0.1:9090", "localhost", "LOCALHOST:9090", "[::1]:9090", "box", "box.local.:9090", "10.1.2.3"]
        {
            assert_eq!(guard(None).check(&headers(&[("host", host)]), false, false), Ok(()), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:9090", "[evil]", "", "box.evil"]
        {
            let asked = headers(&[("host", host)]);
            assert_eq!(guard(None).check(&asked, false, false), Err(Refusal::Host), "{host}");
            assert_eq!(guard(None).check(&asked, false, true), Ok(()), "a probe tells nothing");
            let shown = headers(&[("host", host), ("authorization", "Bearer abc")]);
            assert_eq!(guard(Some("abc")).check(&shown, false, false), Ok(()), "{host}");
        }
        assert_eq!(guard(None).check(&headers(&[]), false, false), Ok(()), "HTTP/1.0");
    }

    #[test]
    fn the_page_of_another_site_is_refused_also_with_the_token() {
        let asked = |more: &[(&'static str, &'static str)]| {
            let mut pairs = vec![("host", "localhost:9090"), ("authorization", "bearer abc")];
            pairs.extend(more);
            guard(Some("abc")).check(&headers(&pairs), false, false)
        };
        for origin in [
            "https://evil.example",
            "null",
            "https://localhost:9090",
            "http://localhost",
            "http://localhost:8080",
            "http://127.0.0.1:9090",
            "",
        ] {
            assert_eq!(asked(&[("origin", origin)]), Err(Refusal::Foreign), "{origin}");
        }
        assert_eq!(asked(&[("origin", "http://localhost:9090")]), Ok(()));
        assert_eq!(asked(&[("sec-fetch-site", "cross-site")]), Err(Refusal::Foreign));
        assert_eq!(asked(&[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")]), Err(Refusal::Foreign));
        assert_eq!(asked(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]), Ok(()));
        assert_eq!(asked(&[("sec-fetch-site", "same-origin")]), Ok(()));
    }

    #[test]
    fn a_token_is_compared_whole() {
        for shown in ["Bearer abcd", "Bearer ab", "Bearer", "Bearer ", "Basic abc", "abc", ""] {
            let asked = headers(&[("host", "localhost"), ("authorization", shown)]);
            assert_eq!(guard(Some("abc")).check(&asked, false, false), Err(Refusal::Token), "{shown}");
        }
        assert_eq!(guard(Some("abc")).check(&headers(&[("host", "localhost")]), false, false), Err(Refusal::Token));
        assert_eq!(guard(Some("abc")).check(&headers(&[("host", "localhost")]), false, true), Ok(()));
    }
}
