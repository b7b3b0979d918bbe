//! The `Origin` check: which web pages may open a WebSocket here, or import the client scripts.
//!
//! A browser lets any page open a WebSocket to any host, and sends the page's origin in the request: the server must
//! check it (RFC 6455 section 10.2). A program that is not a browser sends no `Origin` and passes.
//!
//! A page passes when its origin is allowed by name, is on loopback, or is the relay's own: the scheme and the `Host`
//! of the request. Over TLS the certificate proves that host. Over plain HTTP nothing does: a web site can make its own
//! DNS name resolve to the relay's address, and then the browser treats its pages and the relay as one origin (DNS
//! rebinding). So over plain HTTP the relay accepts a host as its own only if it is an IP address, `localhost`, a name
//! of this machine, or the host of an allowed origin, or if a trusted proxy forwarded the request.

use std::net::IpAddr;
use std::str::FromStr;

use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use thiserror::Error;

use crate::http::proxy::Client;

/// A web origin (RFC 6454) as browsers write it in the `Origin` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `null`: the page has an opaque origin. It was opened from disk, or it is a sandboxed frame or a `data:` page of
    /// any web site; the request does not say which.
    Null,
    /// `*`: every page of every host, `null` too. No browser sends it.
    Any,
    /// `http` or `https`, with a host and perhaps a port.
    Tuple(TupleOrigin),
    /// Another scheme: an application's own (`tauri://localhost`), a browser extension's, or `file://`.
    Custom(CustomOrigin),
}

/// An origin of another scheme than http and https. Nothing is known of what such origins mean, so they are compared as
/// a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomOrigin(String);

/// The origin of a page from the network: `scheme://host` or `scheme://host:port`, in lower case, without a path, and
/// without the scheme's default port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TupleOrigin(String);

impl Origin {
    fn tuple(&self) -> Option<&TupleOrigin> {
        match self {
            Self::Null | Self::Any | Self::Custom(_) => None,
            Self::Tuple(origin) => Some(origin),
        }
    }
}

/// Programs that are no browsers write the URL of their WebSocket (`ws://host`), or a slash at the end: no page can
/// send either, so both mean the page of that host.
impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let malformed = || OriginError::Malformed(text.to_owned());
        if text == "null" {
            return Ok(Self::Null);
        }
        if text == "*" {
            return Ok(Self::Any);
        }
        let (scheme, authority) = text.split_once("://").ok_or_else(malformed)?;
        let tuple = |scheme| parse_tuple(&format!("{scheme}://{authority}")).map(Self::Tuple).map_err(|_| malformed());
        match scheme {
            "http" | "ws" => tuple("http"),
            "https" | "wss" => tuple("https"),
            _ => parse_custom(scheme, text).map(Self::Custom),
        }
    }
}

impl CustomOrigin {
    /// The origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Another origin than one of http: a scheme in lower case (RFC 3986 section 3.1), and what a header can contain but not a
/// list of `--allow-origin`.
fn parse_custom(scheme: &str, text: &str) -> Result<CustomOrigin, OriginError> {
    let of_scheme = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    let scheme_is_right = scheme.starts_with(|first: char| first.is_ascii_lowercase()) && scheme.bytes().all(of_scheme);
    if scheme_is_right && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
        Ok(CustomOrigin(text.to_owned()))
    } else {
        Err(OriginError::Malformed(text.to_owned()))
    }
}

impl TupleOrigin {
    /// The origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn scheme_and_authority(&self) -> (&str, &str) {
        self.0.split_once("://").unwrap_or_default()
    }

    fn host(&self) -> &str {
        split_host(self.scheme_and_authority().1)
    }

    /// Whether the browser got the page from the machine that it runs on.
    fn is_loopback(&self) -> bool {
        is_localhost(self.host()) || parse_ip(self.host()).is_some_and(|ip| ip.is_loopback())
    }

    /// Whether a page of this origin was served by `scheme://host`, where `host` is the value of a `Host` header.
    fn is_at(&self, scheme: &str, host: &str) -> bool {
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        self.scheme_and_authority() == (scheme, host.strip_suffix(default_port).unwrap_or(host))
    }
}

/// For `--allow-frame`, which does not accept `null`.
impl FromStr for TupleOrigin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text == "null" { Err(OriginError::NullFrame) } else { parse_tuple(text) }
    }
}

/// An origin of http or https. One slash at the end does not count.
fn parse_tuple(text: &str) -> Result<TupleOrigin, OriginError> {
    let malformed = || OriginError::Malformed(text.to_owned());
    let text = text.strip_suffix('/').unwrap_or(text);
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
    let host_is_right = if host.starts_with('[') { parse_ip(host).is_some() } else { !host.contains([':', '[', ']']) };
    if host.is_empty() || !authority.bytes().all(plain) || !port_is_right || !host_is_right {
        return Err(malformed());
    }
    Ok(TupleOrigin(text.to_owned()))
}

/// Why a page may not use the relay, or a text is not an origin. Its text is for the person who runs the relay.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OriginError {
    /// The text is not an origin as browsers write it.
    #[error("it is not an origin such as https://example.org, http://192.168.1.5:8080 or tauri://localhost")]
    Malformed(String),
    /// `null` was given for `--allow-frame`.
    #[error(
        "`null` is not an origin that can be allowed to frame the call page: a browser matches a frame's parents by \
         scheme and host, such as https://example.org"
    )]
    NullFrame,
    /// More than one `Origin` or `Host` header.
    #[error("the request has more than one {0} header")]
    Twice(HeaderName),
    /// The page has an opaque origin, and such pages are not allowed.
    #[error(
        "pages without an origin (Origin: null) may not use this relay: a page opened from disk sends that, but so does \
         a sandboxed frame or a data: page of any web site, and the relay cannot tell them apart; to allow all of them, \
         start it with --allow-origin null"
    )]
    Null,
    /// The origin is not the relay's own, not on loopback, and not allowed.
    #[error(
        "pages from {origin} may not use this relay, which was asked for as {asked}; to allow them, start it with \
         --allow-origin {origin}{}", proxy_advice(proxy.as_deref())
    )]
    Foreign {
        /// The page's origin.
        origin: String,
        /// The scheme and the host of the request, as far as the relay knows them.
        asked: String,
        /// The address of the connection's other end, if that may be a proxy that hides them.
        proxy: Option<String>,
    },
    /// The page's host is the request's, but over plain HTTP any web site can arrange that by DNS rebinding.
    #[error(
        "pages from {origin} may not use this relay: {host:?} is not a name of this machine, and over plain HTTP any web \
         site can make a name of its own resolve to this relay (DNS rebinding); if the name is this relay's, start it \
         with --allow-origin {origin}, or with TLS{}", proxy_advice(proxy.as_deref())
    )]
    UnprovenHost {
        /// The page's origin.
        origin: String,
        /// The host of the request, without the port.
        host: String,
        /// As in [`Foreign`](Self::Foreign).
        proxy: Option<String>,
    },
}

/// The end of a refusal, if the request may have come through the proxy at this address.
fn proxy_advice(proxy: Option<&str>) -> String {
    proxy.map_or_else(String::new, |proxy| {
        format!(
            ", or if they come through a proxy, start it with --trusted-proxy {proxy} and let the proxy set \
             X-Forwarded-Host and X-Forwarded-Proto"
        )
    })
}

/// The pages that may use the relay.
#[derive(Debug, Clone, Default)]
pub(crate) struct OriginPolicy {
    /// The allowed origins, besides the relay's own and those on loopback.
    pub allowed: Vec<Origin>,
    /// The names of this machine, in lower case, from [`machine::names`](crate::net::machine::names).
    pub machine_names: Vec<String>,
}

impl OriginPolicy {
    /// Checks the headers of a request by `client`.
    ///
    /// # Errors
    /// [`OriginError`], for a 403.
    pub(crate) fn check(&self, headers: &HeaderMap, client: &Client) -> Result<(), OriginError> {
        let Some(text) = only_value(headers, ORIGIN)? else { return Ok(()) };
        only_value(headers, HOST)?;
        if self.allowed.contains(&Origin::Any) {
            return Ok(());
        }
        let origin: Origin = text.parse()?;
        if self.allowed.contains(&origin) {
            return Ok(());
        }
        let host = client.host.as_deref().unwrap_or_default().to_ascii_lowercase();
        let foreign = |origin: &str, proxy| {
            let asked = format!("{}://{host}", client.scheme());
            OriginError::Foreign { origin: origin.to_owned(), asked, proxy }
        };
        let origin = match &origin {
            Origin::Null => return Err(OriginError::Null),
            Origin::Any => return Err(OriginError::Malformed(text)),
            Origin::Custom(origin) => return Err(foreign(origin.as_str(), None)),
            Origin::Tuple(origin) => origin,
        };
        if origin.is_loopback() {
            return Ok(());
        }
        if !origin.is_at(client.scheme(), &host) {
            return Err(foreign(origin.as_str(), possible_proxy(client)));
        }
        if client.secure || client.proxy_is_trusted || self.is_own_host(split_host(&host)) {
            return Ok(());
        }
        let host = split_host(&host).to_owned();
        Err(OriginError::UnprovenHost { origin: origin.as_str().to_owned(), host, proxy: possible_proxy(client) })
    }

    /// Whether `host` in a request over plain HTTP is certainly this relay's, whatever a DNS server answers.
    fn is_own_host(&self, host: &str) -> bool {
        is_localhost(host)
            || parse_ip(host).is_some()
            || self.machine_names.iter().any(|name| name == host)
            || self.allowed.iter().filter_map(Origin::tuple).any(|origin| origin.host() == host)
    }
}

/// The address to name in a refusal, if the request may have come through a proxy that is not trusted yet, or that does
/// not send the host and the scheme of the client's request.
fn possible_proxy(client: &Client) -> Option<String> {
    let ip = client.connection.ip();
    // A foreign page over loopback most likely comes through a proxy on this machine that sends no `X-Forwarded-`
    // headers.
    let is_local = ip.is_none_or(|ip| ip.is_loopback());
    (client.proxied || is_local).then(|| ip.map_or("unix".to_owned(), |ip| ip.to_string()))
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

/// Whether the value of a `Host` header is a name or an address for loopback.
#[cfg(feature = "page")]
pub(crate) fn is_loopback_host(host: &str) -> bool {
    let host = split_host(host);
    is_localhost(host) || parse_ip(host).is_some_and(|ip| ip.is_loopback())
}

/// Whether `host` is a name for loopback: browsers never ask DNS for `localhost` and the names below it (RFC 6761
/// section 6.3).
fn is_localhost(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

fn parse_ip(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderValue, VIA};
    use proptest::prelude::*;

    use super::*;
    use crate::net::info::ConnectionInfo;

    const FROM_LAN: &str = "192.168.1.9:5000";

    fn policy(allowed: &[&str]) -> OriginPolicy {
        OriginPolicy {
            allowed: allowed.iter().map(|origin| origin.parse().unwrap()).collect(),
            machine_names: ["localhost", "studio", "studio.local", "studio.corp.example"].map(str::to_owned).into(),
        }
    }

    #[test]
    fn every_page_may_connect_where_all_are_allowed_and_nobody_says_that_of_itself() {
        let any = policy(&["*"]);
        for origin in ["https://elsewhere.example", "null", "tauri://x", "nonsense", "*"] {
            assert!(passes(&any, "relay.example", &[origin]), "{origin}");
            assert!(!passes(&policy(&["https://intranet.example"]), "relay.example", &[origin]), "{origin}");
        }
    }

    fn headers(host: &str, origins: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        for origin in origins {
            headers.append(ORIGIN, HeaderValue::from_bytes(origin.as_bytes()).unwrap());
        }
        headers
    }

    fn check(policy: &OriginPolicy, connection: ConnectionInfo, headers: &HeaderMap) -> Result<(), OriginError> {
        policy.check(headers, &Client::from_request(headers, connection, &["10.0.0.9".parse().unwrap()]))
    }

    fn check_from(address: &str, policy: &OriginPolicy, headers: &HeaderMap) -> Result<(), OriginError> {
        check(policy, ConnectionInfo::tcp(address.parse().unwrap()), headers)
    }

    /// Whether a page of `origins` may connect to `host` over plain HTTP.
    fn passes(policy: &OriginPolicy, host: &str, origins: &[&str]) -> bool {
        check_from(FROM_LAN, policy, &headers(host, origins)).is_ok()
    }

    /// The same over TLS.
    fn passes_over_tls(policy: &OriginPolicy, host: &str, origins: &[&str]) -> bool {
        check(policy, ConnectionInfo::tls(FROM_LAN.parse().unwrap()), &headers(host, origins)).is_ok()
    }

    #[test]
    fn a_program_that_is_no_browser_passes() {
        assert!(passes(&policy(&[]), "relay.example", &[]));
    }

    #[test]
    fn a_page_of_the_same_host_passes() {
        let policy = policy(&[]);
        for (host, origin) in [
            ("192.168.1.5", "http://192.168.1.5"),
            ("192.168.1.5:80", "http://192.168.1.5"),
            ("192.168.1.5:8080", "http://192.168.1.5:8080"),
            ("[fd00::1]:8080", "http://[fd00::1]:8080"),
            ("Studio:8080", "http://studio:8080"),
            ("studio.local:8080", "http://studio.local:8080"),
            ("studio.corp.example", "http://studio.corp.example"),
        ] {
            assert!(passes(&policy, host, &[origin]), "{origin} to {host}");
        }
        for (host, origin) in [
            ("relay.example", "https://relay.example"),
            ("relay.example:443", "https://relay.example"),
            ("Relay.Example:8443", "https://relay.example:8443"),
        ] {
            assert!(passes_over_tls(&policy, host, &[origin]), "{origin} to {host}");
        }
    }

    #[test]
    fn a_page_on_loopback_passes_whatever_host_it_asks_for() {
        let policy = policy(&[]);
        for origin in [
            "http://localhost",
            "http://localhost:3000",
            "https://127.0.0.1:3000",
            "http://127.8.9.1",
            "http://[::1]:1",
            "http://app.localhost:5173",
        ] {
            for host in ["localhost:8080", "192.168.1.5:8080", "relay.example"] {
                assert!(passes(&policy, host, &[origin]), "{origin} to {host}");
            }
        }
    }

    #[test]
    fn an_allowed_page_passes_and_no_other() {
        let policy = policy(&["https://intranet.example", "http://app.example:3000"]);
        assert!(passes(&policy, "relay.example", &["https://intranet.example"]));
        assert!(passes(&policy, "relay.example", &["http://app.example:3000"]));
        for origin in [
            "http://intranet.example",
            "https://intranet.example:8443",
            "https://intranet.example:443",
            "https://intranet.example.evil.example",
            "https://evil-intranet.example",
            "https://INTRANET.example",
            "HTTPS://intranet.example",
            "https://intranet.example//",
            "https://intranet.example/a/",
            "https://user@intranet.example",
            "https://intranet.example https://intranet.example",
            "https://intranet.examplé",
            "http://app.example",
            "http://relay.example:81",
            "https://relay.example",
            "http://localhost.evil.example",
            "http://evillocalhost",
            "http://localhost:80",
            "http://127.0.0.1.evil.example",
            "http://[::1].evil.example",
            "http://[127.0.0.1]",
            "http://[::1",
            "http://",
            "://",
            "",
            "ftp://localhost",
            "file://",
            "null",
            "Null",
        ] {
            assert!(!passes(&policy, "relay.example", &[origin]), "{origin}");
            assert!(!passes(&policy, "localhost:8080", &[origin]), "{origin}");
        }
        assert!(!passes(&policy, "localhost", &["http://localhost", "http://localhost"]), "twice");
    }

    #[test]
    fn an_origin_of_another_scheme_passes_when_it_is_allowed_and_is_compared_as_a_whole() {
        let extension = "chrome-extension://abcdefghijklmnopabcdefghijklmnop";
        let origins = ["tauri://localhost", "capacitor://localhost", "file://", "app://obsidian.md", extension];
        for host in ["localhost:8080", "relay.example"] {
            for origin in origins {
                let refused = check_from(FROM_LAN, &policy(&["null"]), &headers(host, &[origin])).unwrap_err();
                assert!(refused.to_string().ends_with(&format!("--allow-origin {origin}")), "{refused}");
                assert!(passes(&policy(&[origin]), host, &[origin]), "{origin} to {host}");
                for other in [&format!("{origin}/"), &format!("{origin}x"), &format!("x{origin}"), "null"] {
                    assert!(!passes(&policy(&[origin]), host, &[other]), "{other} to {host}");
                }
            }
        }
        // What it allows is no host of the relay.
        assert!(!passes(&policy(&["tauri://evil.example"]), "evil.example", &["http://evil.example"]));
        for text in
            ["Tauri://localhost", "1a://b", "://b", "tauri:localhost", "a b://c", "tauri://a,b", "tauri://\u{e9}"]
        {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_url_of_a_websocket_and_one_slash_at_the_end_mean_the_page_of_that_host() {
        let policy = policy(&["https://intranet.example/", "wss://app.example:8443"]);
        for (host, origin) in [
            ("192.168.1.5:8080", "ws://192.168.1.5:8080"),
            ("192.168.1.5:8080", "http://192.168.1.5:8080/"),
            ("studio:8080", "ws://studio:8080/"),
            ("relay.example", "ws://localhost"),
            ("relay.example", "http://localhost/"),
            ("relay.example", "https://intranet.example"),
            ("relay.example", "https://intranet.example/"),
            ("relay.example", "wss://intranet.example"),
            ("relay.example", "https://app.example:8443"),
        ] {
            assert!(passes(&policy, host, &[origin]), "{origin} to {host}");
        }
        assert!(passes_over_tls(&policy, "relay.example:443", &["wss://relay.example"]));
        for (host, origin) in [
            ("192.168.1.5:8080", "wss://192.168.1.5:8080"),
            ("192.168.1.5:8080", "ws://192.168.1.5:8080//"),
            ("192.168.1.5:8080", "ws://192.168.1.5:8081"),
            ("evil.example", "ws://evil.example"),
            ("evil.example", "http://evil.example/"),
            ("relay.example", "ws://intranet.example"),
            ("relay.example", "null/"),
        ] {
            assert!(!passes(&policy, host, &[origin]), "{origin} to {host}");
        }
        let refused = check_from(FROM_LAN, &policy, &headers("evil.example", &["ws://evil.example/"])).unwrap_err();
        assert!(refused.to_string().contains("--allow-origin http://evil.example, or with TLS"), "{refused}");
    }

    #[test]
    fn a_page_of_a_name_that_dns_was_made_to_point_here_is_refused() {
        let policy = policy(&["https://relay.example:8443"]);
        for host in
            ["evil.example", "studio.evil.example", "evil.studio", "xstudio", "studio.", "127.0.0.1.nip.io", "0x7f.1"]
        {
            let origin = format!("http://{host}:8080");
            let refused = check_from(FROM_LAN, &policy, &headers(&format!("{host}:8080"), &[&origin])).unwrap_err();
            assert!(matches!(refused, OriginError::UnprovenHost { .. }), "{refused}");
            assert!(refused.to_string().contains(&format!("--allow-origin {origin}, or with TLS")), "{refused}");
            assert!(passes_over_tls(&policy, host, &[&format!("https://{host}")]), "the certificate proves {host}");
        }
        assert!(passes(&policy, "relay.example", &["http://relay.example"]), "the host of an allowed origin");
        assert!(passes(&policy, "app.localhost:8080", &["http://app.localhost:8080"]));
    }

    #[test]
    fn a_trusted_proxy_is_believed_on_the_host() {
        let mut headers = headers("relay.internal", &["http://relay.internal"]);
        assert!(check_from("10.0.0.9:1", &policy(&[]), &headers).is_err(), "a browser on the proxy's machine");
        headers.insert(VIA, HeaderValue::from_static("1.1 proxy"));
        assert_eq!(check_from("10.0.0.9:1", &policy(&[]), &headers), Ok(()));
        assert!(check_from("10.0.0.8:1", &policy(&[]), &headers).is_err());
    }

    proptest! {
        #[test]
        fn no_dns_name_is_ours_unless_it_is_known(name in "[a-z][a-z0-9-]{0,9}(\\.[a-z][a-z0-9-]{0,9}){0,3}", port in 1u16..) {
            let policy = policy(&[]);
            let known = is_localhost(&name) || policy.machine_names.contains(&name);
            let authority = if port == 80 { name.clone() } else { format!("{name}:{port}") };
            prop_assert_eq!(passes(&policy, &authority, &[&format!("http://{authority}")]), known);
        }
    }

    #[test]
    fn a_page_without_an_origin_passes_only_when_such_pages_are_allowed() {
        for host in ["localhost:8080", "192.168.1.5:8080"] {
            let headers = headers(host, &["null"]);
            for from in ["127.0.0.1:1", FROM_LAN, "10.0.0.9:1"] {
                let refused = check_from(from, &policy(&["https://intranet.example"]), &headers).unwrap_err();
                assert_eq!(refused, OriginError::Null);
                assert!(refused.to_string().contains("--allow-origin null"), "{refused}");
                assert_eq!(check_from(from, &policy(&["null"]), &headers), Ok(()));
            }
        }
        assert!(!passes(&policy(&["null"]), "evil.example", &["http://evil.example"]));
    }

    #[test]
    fn a_frame_has_no_null_parent() {
        assert_eq!("null".parse::<TupleOrigin>(), Err(OriginError::NullFrame));
        for text in ["https://a.example", "https://a.example/"] {
            assert_eq!(text.parse::<TupleOrigin>().unwrap().as_str(), "https://a.example");
        }
        for text in ["tauri://localhost", "wss://a.example", "file://", "https://a.example//"] {
            assert!(matches!(text.parse::<TupleOrigin>(), Err(OriginError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_set() {
        let mut headers = headers("127.0.0.1:8080", &["https://relay.example"]);
        let told = |address| check_from(address, &policy(&[]), &headers).unwrap_err().to_string();
        let direct = told(FROM_LAN);
        assert!(direct.contains("asked for as http://127.0.0.1:8080;"), "{direct}");
        assert!(direct.contains("--allow-origin https://relay.example") && !direct.contains("proxy"), "{direct}");
        assert!(told("127.0.0.1:1").contains("--trusted-proxy 127.0.0.1 "));
        headers.insert(VIA, HeaderValue::from_static("1.1 proxy"));
        let told = check_from("10.0.0.8:1", &policy(&[]), &headers).unwrap_err().to_string();
        assert!(told.contains("--trusted-proxy 10.0.0.8 ") && told.contains("X-Forwarded-Proto"), "{told}");
    }
}
