//! The client of a request, also behind proxies.
//!
//! A proxy sends its client's address, and the host and the scheme of the client's request, in `X-Forwarded-For`,
//! `-Host` and `-Proto`. Any client can send these headers too. So the relay believes them only from trusted proxies,
//! and uses only the last entry of each header, which the proxy wrote; the entries before it may come from the client.
//!
//! Another relay of the cluster, by which a client comes (a door), has found out who its client is, and is believed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use hyper::header::{FORWARDED, HOST, HeaderMap, HeaderName, VIA};
use ipnet::IpNet;
use thiserror::Error;
use tracing::warn;

use crate::net::headers::{RELAY_HOPS, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use crate::net::info::ConnectionInfo;

/// A proxy whose `X-Forwarded-` headers the relay believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedProxy {
    /// Every proxy with an address in this network.
    Network(IpNet),
    /// Every proxy that connects over a Unix socket.
    Unix,
}

impl FromStr for TrustedProxy {
    type Err = TrustedProxyError;

    fn from_str(text: &str) -> Result<Self, TrustedProxyError> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let address = |text: &str| text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(|_| address(text)).map(Self::Network).map_err(|_| TrustedProxyError)
    }
}

/// Says in the log what a network of several addresses means, of which few may be proxies.
pub(crate) fn warn_of_networks(trusted: &[TrustedProxy]) {
    for proxy in trusted {
        if let TrustedProxy::Network(network) = proxy
            && network.hosts().nth(1).is_some()
        {
            warn!(
                %network,
                "--trusted-proxy is a network: everybody in it is not limited, and may say whose requests these are; name \
                 the proxies alone if others are there too"
            );
        }
    }
}

/// The error for a text that does not name a trusted proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is not an address or a network, such as 127.0.0.1 or 10.0.0.0/8, and not `unix`")]
pub struct TrustedProxyError;

/// The client that made a request, as far as the relay knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    /// Its address; none if the request came over a Unix socket and no trusted proxy sent one.
    pub ip: Option<IpAddr>,
    /// Whether it uses TLS, with the relay or with a trusted proxy.
    pub secure: bool,
    /// The host of its request, with the port; none if it sent none or several.
    pub host: Option<String>,
    /// Whether the request came through a proxy, judging by its headers or the proxy's address.
    pub proxied: bool,
    /// Whether a trusted proxy forwarded the request: it came from such a proxy's address with a header that proxies
    /// add and web pages cannot, or over a trusted Unix socket. (The address is not enough: a browser on the proxy's
    /// machine has the same.)
    pub proxy_is_trusted: bool,
    /// By how many doors it has come.
    pub hops: u8,
    /// The connection that the request came over.
    pub connection: ConnectionInfo,
}

impl Client {
    /// The client that made the request with these `headers`, on a connection that may be one of the `trusted`
    /// proxies'.
    pub(crate) fn from_request(headers: &HeaderMap, connection: ConnectionInfo, trusted: &[TrustedProxy]) -> Self {
        let proxy_headers = [X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, FORWARDED, VIA];
        let has_proxy_header = proxy_headers.iter().any(|name| headers.contains_key(name));
        let direct = Self {
            ip: connection.ip(),
            secure: connection.tls,
            host: only_host(headers),
            proxied: has_proxy_header,
            proxy_is_trusted: false,
            hops: 0,
            connection,
        };
        if connection.is_door() {
            return Self::behind_door(headers, direct);
        }
        if !is_trusted(connection.ip(), trusted) {
            return direct;
        }
        Self {
            ip: forwarded_for(headers, connection, trusted),
            secure: match last_value(headers, &X_FORWARDED_PROTO) {
                Some("https" | "wss") => true,
                Some("http" | "ws") => false,
                _ => direct.secure,
            },
            host: last_value(headers, &X_FORWARDED_HOST).map(str::to_owned).or(direct.host),
            proxied: true,
            proxy_is_trusted: has_proxy_header || connection.address.is_none(),
            ..direct
        }
    }

    /// The client of a door: none of its addresses is the door's.
    fn behind_door(headers: &HeaderMap, direct: Self) -> Self {
        Self {
            ip: last_value(headers, &X_FORWARDED_FOR).and_then(parse_hop),
            secure: matches!(last_value(headers, &X_FORWARDED_PROTO), Some("https")),
            host: last_value(headers, &X_FORWARDED_HOST).map(str::to_owned),
            proxied: true,
            proxy_is_trusted: true,
            // Without a number, it has come by more than anybody may.
            hops: last_value(headers, &RELAY_HOPS).and_then(|hops| hops.parse().ok()).unwrap_or(u8::MAX),
            ..direct
        }
    }

    /// The address by which it counts towards the limits for each address; none for a trusted proxy's own.
    pub(crate) fn counted_ip(&self, trusted: &[TrustedProxy]) -> Option<IpAddr> {
        counted_ip(self.ip, trusted)
    }

    /// Whether a proxy that the relay does not trust added its headers, so that all clients of the proxy count as one.
    pub(crate) fn is_behind_unknown_proxy(&self) -> bool {
        self.proxied && !self.proxy_is_trusted
    }

    /// The scheme of its request: `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

/// For the log, with the port unless a proxy is in between.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(ip) if self.connection.is_door() || self.connection.ip() != Some(ip) => ip.fmt(f),
            None if self.connection.is_door() => f.write_str("unix"),
            _ => self.connection.fmt(f),
        }
    }
}

/// The address by which a client at `ip` counts towards the limits for each address; none for a trusted proxy's own.
pub(crate) fn counted_ip(ip: Option<IpAddr>, trusted: &[TrustedProxy]) -> Option<IpAddr> {
    ip.filter(|_| !is_trusted(ip, trusted))
}

/// Whether a trusted proxy has the address `ip`, or none if it connects over a Unix socket.
pub(crate) fn is_trusted(ip: Option<IpAddr>, trusted: &[TrustedProxy]) -> bool {
    trusted.iter().any(|proxy| match (proxy, ip) {
        (TrustedProxy::Network(network), Some(ip)) => network.contains(&ip),
        (TrustedProxy::Unix, None) => true,
        _ => false,
    })
}

/// The last address in `X-Forwarded-For` that is not a trusted proxy's. The client may have made up the entries before
/// it, and those before an entry that is not an address.
fn forwarded_for(headers: &HeaderMap, connection: ConnectionInfo, trusted: &[TrustedProxy]) -> Option<IpAddr> {
    let mut known = connection.ip();
    for value in headers.get_all(X_FORWARDED_FOR).iter().rev() {
        for hop in value.to_str().unwrap_or_default().rsplit(',') {
            let Some(ip) = parse_hop(hop.trim()) else { return known };
            known = Some(ip);
            if !is_trusted(known, trusted) {
                return known;
            }
        }
    }
    known
}

/// Parses an address as proxies write it: some add a port or brackets.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse::<SocketAddr>().map(|address| address.ip());
    let in_brackets = || hop.trim_start_matches('[').trim_end_matches(']').parse();
    hop.parse().or_else(|_| with_port()).or_else(|_| in_brackets()).ok().map(|ip: IpAddr| ip.to_canonical())
}

fn last_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim).filter(|value| !value.is_empty())
}

fn only_host(headers: &HeaderMap) -> Option<String> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok().map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.9:5000";
    const STRANGER: &str = "203.0.113.7:5000";

    fn client(from: &str, trusted: &str, headers: &[(&'static str, &str)]) -> Client {
        let mut map = HeaderMap::new();
        map.insert(HOST, "relay.internal:8080".parse().unwrap());
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let trusted: Vec<_> = trusted.split(' ').map(|proxy| proxy.parse().unwrap()).collect();
        let connection = match from.parse() {
            Ok(address) => ConnectionInfo::tcp(address),
            Err(_) => ConnectionInfo::unix(),
        };
        Client::from_request(&map, connection, &trusted)
    }

    #[test]
    fn the_client_is_the_rightmost_who_is_no_proxy() {
        for (forwarded, ip) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
            (&["1.2.3.4,198.51.100.1 , 10.3.4.5"], "198.51.100.1"),
            (&["1.2.3.4", "198.51.100.1"], "198.51.100.1"),
            (&["198.51.100.1:4711"], "198.51.100.1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["::ffff:198.51.100.1"], "198.51.100.1"),
            (&["10.1.1.1, 10.1.1.2"], "10.1.1.1"),
            (&["1.2.3.4, unknown"], "10.0.0.9"),
            (&["1.2.3.4, unknown, 10.3.4.5"], "10.3.4.5"),
            (&[""], "10.0.0.9"),
            (&[], "10.0.0.9"),
        ] {
            let headers: Vec<_> = forwarded.iter().map(|value| ("x-forwarded-for", *value)).collect();
            let client = client(PROXY, "10.0.0.0/8", &headers);
            assert_eq!(client.ip, Some(ip.parse().unwrap()), "{forwarded:?}");
        }
    }

    #[test]
    fn a_proxy_tells_the_host_and_the_scheme() {
        for (host, proto, expected) in [
            (Some("relay.example"), Some("https"), ("relay.example", "https")),
            (Some("evil.example, relay.example"), Some("https"), ("relay.example", "https")),
            (None, Some("wss"), ("relay.internal:8080", "https")),
            (Some("relay.example:81"), Some("http"), ("relay.example:81", "http")),
            (Some(""), Some("gopher"), ("relay.internal:8080", "http")),
            (None, None, ("relay.internal:8080", "http")),
        ] {
            let mut headers: Vec<_> = host.map(|host| ("x-forwarded-host", host)).into_iter().collect();
            headers.extend(proto.map(|proto| ("x-forwarded-proto", proto)));
            let client = client(PROXY, "10.0.0.9", &headers);
            assert!(client.proxied);
            assert_eq!(client.proxy_is_trusted, !headers.is_empty());
            assert_eq!((client.host.as_deref(), client.scheme()), (Some(expected.0), expected.1));
        }
    }

    #[test]
    fn nobody_else_is_believed() {
        let claims = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-host", "h"), ("x-forwarded-proto", "https")];
        for (from, trusted) in [(STRANGER, "10.0.0.0/8 unix"), ("unix", "10.0.0.0/8"), ("[2001:db8::1]:1", "0.0.0.0/0")]
        {
            let client = client(from, trusted, &claims);
            assert_eq!(client.ip, client.connection.ip());
            assert_eq!(
                (client.host.as_deref(), client.secure, client.proxied),
                (Some("relay.internal:8080"), false, true)
            );
        }
        assert_eq!(client(STRANGER, "10.0.0.0/8", &claims).to_string(), STRANGER);
    }

    #[test]
    fn a_proxy_may_come_over_a_unix_socket_or_by_a_mapped_address() {
        let claims = [("x-forwarded-for", "198.51.100.1")];
        for (from, trusted) in [("unix", "unix"), ("[::ffff:10.0.0.9]:1", "10.0.0.0/8")] {
            assert_eq!(client(from, trusted, &claims).to_string(), "198.51.100.1");
        }
    }

    #[test]
    fn proxies_are_written_as_networks_or_addresses() {
        for good in ["127.0.0.1", "10.0.0.0/8", "::1", "fd00::/8", "unix"] {
            assert!(good.parse::<TrustedProxy>().is_ok(), "{good}");
        }
        for bad in ["", "localhost", "10.0.0.0/33", "10.0.0", "127.0.0.1:80", "Unix"] {
            assert_eq!(bad.parse::<TrustedProxy>(), Err(TrustedProxyError), "{bad}");
        }
    }
}
