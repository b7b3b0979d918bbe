//! Which web pages may dial in: the exact check of the `Origin` header; independent of sockets and of HTTP routing.
//!
//! Browsers let any page open a WebSocket to any host and say where the page comes from (RFC 6455 section 10.2): the
//! check is the server's to make. Programs that are no browsers send no `Origin` and pass.

use std::net::IpAddr;
use std::str::FromStr;

use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use thiserror::Error;

use crate::http::proxy::Client;

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
        let host = split_host(authority);
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
        let host = split_host(authority);
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
    #[error(
        "pages from {origin} may not use this relay, asked for as {asked}; to allow them, start it with --allow-origin {origin}"
    )]
    Foreign {
        /// Where the page comes from.
        origin: String,
        /// What the relay takes itself to have been asked for as.
        asked: String,
    },
    /// The same, where a proxy may have hidden what the page was asked for as.
    #[error(
        "pages from {origin} may not use this relay, asked for as {asked}; to allow them, start it with --allow-origin \
         {origin}, or if they come through a proxy, start it with --trusted-proxy {proxy} and let the proxy set \
         X-Forwarded-Host and X-Forwarded-Proto"
    )]
    Proxied {
        /// Where the page comes from.
        origin: String,
        /// What the relay takes itself to have been asked for as.
        asked: String,
        /// Where the proxy's connection comes from.
        proxy: String,
    },
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
    /// Checks the headers of a request that asks for a WebSocket, and comes from `client`.
    ///
    /// # Errors
    /// [`OriginError`], for a 403.
    pub fn check(&self, headers: &HeaderMap, client: &Client) -> Result<(), OriginError> {
        let Some(text) = only_value(headers, ORIGIN)? else { return Ok(()) };
        only_value(headers, HOST)?;
        if text == "null" {
            return if self.loopback_only && !client.proxied { Ok(()) } else { Err(OriginError::Null) };
        }
        let origin: Origin = text.parse()?;
        let host = client.host.as_deref().unwrap_or_default();
        let same_host = is_same_origin(&origin, client.scheme(), host);
        if same_host || origin.is_loopback() || self.allowed.contains(&origin) {
            return Ok(());
        }
        let asked = format!("{}://{host}", client.scheme());
        let is_loopback = client.connection.ip().is_none_or(|ip| ip.is_loopback());
        // A page from elsewhere over loopback: most likely a proxy on this machine that says nothing of its clients.
        if client.proxied || is_loopback {
            let proxy = client.connection.ip().map_or("unix".to_owned(), |ip| ip.to_string());
            return Err(OriginError::Proxied { origin: text, asked, proxy });
        }
        Err(OriginError::Foreign { origin: text, asked })
    }
}

/// Whether a page of `origin` was served by `scheme://host`, where `host` is what the `Host` header says.
fn is_same_origin(origin: &Origin, scheme: &str, host: &str) -> bool {
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
fn split_host(authority: &str) -> &str {
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
    use hyper::header::{HeaderValue, VIA};

    use super::*;
    use crate::net::info::ConnectionInfo;

    fn policy(allowed: &[&str], loopback_only: bool) -> OriginPolicy {
        OriginPolicy { allowed: allowed.iter().map(|origin| origin.parse().unwrap()).collect(), loopback_only }
    }

    fn check(policy: &OriginPolicy, host: &str, origins: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::from_bytes(origin.as_bytes()).unwrap());
        }
        check_from("192.168.1.9:5000", policy, &headers).is_ok()
    }

    fn check_from(address: &str, policy: &OriginPolicy, headers: &HeaderMap) -> Result<(), OriginError> {
        let connection = ConnectionInfo::tcp(address.parse().unwrap());
        policy.check(headers, &Client::from_request(headers, connection, &[]))
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

    #[test]
    fn a_page_from_disk_does_not_pass_through_a_proxy() {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static("null"));
        headers.insert(VIA, HeaderValue::from_static("1.1 proxy"));
        assert_eq!(check_from("127.0.0.1:1", &policy(&[], true), &headers), Err(OriginError::Null));
    }

    #[test]
    fn a_refusal_says_what_to_set() {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static("https://relay.example"));
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1:8080"));
        let said = |address| check_from(address, &policy(&[], false), &headers).unwrap_err().to_string();
        let direct = said("192.168.1.9:1");
        assert!(direct.contains("asked for as http://127.0.0.1:8080;"), "{direct}");
        assert!(direct.contains("--allow-origin https://relay.example") && !direct.contains("proxy"), "{direct}");
        assert!(said("127.0.0.1:1").contains("--trusted-proxy 127.0.0.1 "));
        headers.insert(VIA, HeaderValue::from_static("1.1 proxy"));
        let said = check_from("10.0.0.9:1", &policy(&[], false), &headers).unwrap_err().to_string();
        assert!(said.contains("--trusted-proxy 10.0.0.9 ") && said.contains("X-Forwarded-Proto"), "{said}");
    }
}
