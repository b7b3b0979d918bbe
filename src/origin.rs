//! Which web pages may dial in: the exact check of the `Origin` header; independent of sockets and of HTTP routing.
//!
//! Browsers let any page open a WebSocket to any host and say where the page comes from (RFC 6455 section 10.2): the
//! check is the server's to make. Programs that are no browsers send no `Origin` and pass.

use std::net::IpAddr;
use std::str::FromStr;

use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use thiserror::Error;

/// A web origin (RFC 6454), `scheme://host` or `scheme://host:port`, as browsers write it: lower case, no path, and no
/// port where it is the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// The origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn scheme_and_authority(&self) -> (&str, &str) {
        self.0.split_once("://").unwrap_or_default()
    }

    /// Whether the page comes from this very machine.
    fn is_loopback(&self) -> bool {
        let (_, authority) = self.scheme_and_authority();
        let host = host_of(authority);
        host == "localhost" || parse_ip(host).is_some_and(|ip| ip.is_loopback())
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let malformed = || OriginError::Malformed(text.to_owned());
        let (scheme, authority) = text.split_once("://").ok_or_else(malformed)?;
        let default_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return Err(malformed()),
        };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_:[]".contains(&byte);
        let host = host_of(authority);
        let port = authority.strip_prefix(host).ok_or_else(malformed)?;
        let port_is_right = port.is_empty()
            || port.strip_prefix(':').is_some_and(|digits| {
                !digits.starts_with(['0', '+']) && digits.parse::<u16>().is_ok() && port != default_port
            });
        let host_is_right =
            if host.starts_with('[') { parse_ip(host).is_some() } else { !host.contains([':', '[', ']']) };
        if host.is_empty() || !authority.bytes().all(plain) || !port_is_right || !host_is_right {
            return Err(malformed());
        }
        Ok(Self(text.to_owned()))
    }
}

/// Why a page may not dial in. Its text is for the person who set up the relay.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OriginError {
    /// The text is no origin as browsers write it.
    #[error("{0:?} is no origin such as https://example.org or http://192.168.1.5:8080")]
    Malformed(String),
    /// More than one `Origin` or `Host` header.
    #[error("the request has more than one {0} header")]
    Twice(HeaderName),
    /// A page from disk, while others than this machine can reach the relay.
    #[error("a page opened from disk (Origin: null) may dial in only while the relay listens on loopback alone")]
    Null,
    /// Neither this host, nor loopback, nor allowed.
    #[error("pages from {0} may not use this relay; to allow them, start it with --allow-origin {0}")]
    Foreign(String),
}

/// Who may dial in.
#[derive(Debug, Clone, Default)]
pub struct OriginPolicy {
    /// Origins that may, besides the relay's own and loopback.
    pub allowed: Vec<Origin>,
    /// Whether nobody but this machine can reach the relay.
    pub loopback_only: bool,
}

impl OriginPolicy {
    /// Checks the headers of a request that asks for a WebSocket, on a connection of the scheme `http` or `https`.
    ///
    /// # Errors
    /// [`OriginError`], for a 403.
    pub fn check(&self, headers: &HeaderMap, scheme: &str) -> Result<(), OriginError> {
        let Some(text) = only_value(headers, ORIGIN)? else { return Ok(()) };
        if text == "null" {
            return if self.loopback_only { Ok(()) } else { Err(OriginError::Null) };
        }
        let origin: Origin = text.parse()?;
        let same_host = only_value(headers, HOST)?.is_some_and(|host| is_origin_of(&origin, scheme, &host));
        if same_host || origin.is_loopback() || self.allowed.contains(&origin) {
            return Ok(());
        }
        Err(OriginError::Foreign(text))
    }
}

/// Whether a page of `origin` was served by `scheme://host`, where `host` is what the `Host` header says.
fn is_origin_of(origin: &Origin, scheme: &str, host: &str) -> bool {
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    let host = host.to_ascii_lowercase();
    origin.scheme_and_authority() == (scheme, host.strip_suffix(default_port).unwrap_or(&host))
}

fn only_value(headers: &HeaderMap, name: HeaderName) -> Result<Option<String>, OriginError> {
    let mut values = headers.get_all(&name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(String::from_utf8_lossy(value.as_bytes()).into_owned())),
        (Some(_), Some(_)) => Err(OriginError::Twice(name)),
    }
}

/// The host of `host:port`; an IPv6 address keeps its brackets.
fn host_of(authority: &str) -> &str {
    let end = match authority.find(']') {
        Some(bracket) if authority.starts_with('[') => bracket + 1,
        _ => authority.find(':').unwrap_or(authority.len()),
    };
    authority.get(..end).unwrap_or(authority)
}

fn parse_ip(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn policy(allowed: &[&str], loopback_only: bool) -> OriginPolicy {
        OriginPolicy { allowed: allowed.iter().map(|origin| origin.parse().unwrap()).collect(), loopback_only }
    }

    fn check(policy: &OriginPolicy, host: &str, origins: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::from_bytes(origin.as_bytes()).unwrap());
        }
        policy.check(&headers, "http").is_ok()
    }

    #[test]
    fn a_program_that_is_no_browser_passes() {
        assert!(check(&policy(&[], false), "relay.example", &[]));
    }

    #[test]
    fn a_page_of_the_same_host_passes() {
        let policy = policy(&[], false);
        for (host, origin) in [
            ("relay.example", "http://relay.example"),
            ("relay.example:80", "http://relay.example"),
            ("Relay.Example:8080", "http://relay.example:8080"),
            ("192.168.1.5:8080", "http://192.168.1.5:8080"),
            ("[fd00::1]:8080", "http://[fd00::1]:8080"),
        ] {
            assert!(check(&policy, host, &[origin]), "{origin} to {host}");
        }
    }

    #[test]
    fn a_page_of_this_machine_passes() {
        let policy = policy(&[], false);
        for origin in [
            "http://localhost",
            "http://localhost:5500",
            "https://127.0.0.1:3000",
            "http://127.8.9.1",
            "http://[::1]:1",
        ] {
            assert!(check(&policy, "relay.example", &[origin]), "{origin}");
        }
    }

    #[test]
    fn an_allowed_page_passes_and_no_other() {
        let policy = policy(&["https://intranet.example", "http://app.example:3000"], false);
        assert!(check(&policy, "relay.example", &["https://intranet.example"]));
        assert!(check(&policy, "relay.example", &["http://app.example:3000"]));
        for origin in [
            "http://intranet.example",
            "https://intranet.example:8443",
            "https://intranet.example:443",
            "https://intranet.example.evil.example",
            "https://evil-intranet.example",
            "https://INTRANET.example",
            "HTTPS://intranet.example",
            "https://intranet.example/",
            "https://user@intranet.example",
            "https://intranet.example https://intranet.example",
            "https://intranet.examplé",
            "http://app.example",
            "http://relay.example:81",
            "https://relay.example",
            "http://localhost.evil.example",
            "http://localhost:80",
            "http://127.0.0.1.evil.example",
            "http://[::1].evil.example",
            "http://[::1",
            "http://",
            "://",
            "",
            "ftp://localhost",
            "file://",
            "null",
        ] {
            assert!(!check(&policy, "relay.example", &[origin]), "{origin}");
        }
        assert!(!check(&policy, "relay.example", &["http://relay.example", "http://relay.example"]), "twice");
    }

    #[test]
    fn a_page_from_disk_passes_only_while_nobody_else_can_reach_the_relay() {
        assert!(check(&policy(&[], true), "localhost:8080", &["null"]));
        assert!(!check(&policy(&[], false), "localhost:8080", &["null"]));
    }
}
