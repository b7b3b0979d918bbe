//! What the page is told of its relay, in a small file beside it: `{"lan": ["https://192.168.1.5:8080/"], "tokens": true}`.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use hyper::header::{self, HeaderMap};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::http::body::Body;
use crate::http::origin::is_loopback_host;
use crate::http::response::{set, text};
use crate::net::machine::{Machine, is_private};
use crate::net::reach::{addresses, url};

/// The file's name.
pub(crate) const NAME: &str = "site.json";

/// Where the relay listens, if a server listens for it; a relay that is mounted elsewhere does not know.
#[derive(Debug)]
pub(crate) struct About {
    listening: OnceLock<(Vec<SocketAddr>, bool)>,
    /// Whether a client needs a token.
    tokens: bool,
}

#[derive(Serialize)]
struct Told {
    /// The URLs for other devices on the local network, the best first.
    lan: Vec<String>,
    /// Whether a client needs a token.
    tokens: bool,
}

impl About {
    /// Of a relay where clients need a token, or need none.
    pub(crate) fn new(tokens: bool) -> Self {
        Self { listening: OnceLock::new(), tokens }
    }

    /// The server listens on these addresses, with TLS if it is `secure`.
    pub(crate) fn listens(&self, addresses: &[SocketAddr], secure: bool) {
        // There is one server for a relay.
        let _ = self.listening.set((addresses.to_vec(), secure));
    }

    /// The file for a client at `ip`. Only who is on this machine, and asks for it as such, learns its addresses: the
    /// others have come by one that works.
    pub(crate) fn answer(&self, request: &HeaderMap, ip: Option<IpAddr>) -> Response<Body> {
        let host = request.get(header::HOST).and_then(|host| host.to_str().ok());
        let is_near = ip.is_some_and(|ip| ip.is_loopback()) && host.is_some_and(is_loopback_host);
        let lan = if is_near { self.lan(&Machine::detect()) } else { Vec::new() };
        let told = serde_json::to_string(&Told { lan, tokens: self.tokens }).unwrap_or_default();
        let mut response = text(StatusCode::OK, &told);
        set(&mut response, header::CONTENT_TYPE, "application/json");
        response
    }

    fn lan(&self, machine: &Machine) -> Vec<String> {
        let Some((listening, secure)) = self.listening.get() else { return Vec::new() };
        let scheme = if *secure { "https" } else { "http" };
        let near = |address: &SocketAddr| !address.ip().is_loopback() && is_private(address.ip());
        addresses(listening, machine).into_iter().filter(near).map(|address| url(scheme, address, listening)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_learns_the_addresses_on_the_local_network_and_no_others() {
        let site = About::new(false);
        let machine = Machine {
            names: Vec::new(),
            addresses: ["192.168.1.5", "203.0.113.9", "fe80::1"].map(|ip| ip.parse().unwrap()).to_vec(),
        };
        assert!(site.lan(&machine).is_empty(), "before anything listens");
        site.listens(&["0.0.0.0:8080".parse().unwrap()], true);
        assert_eq!(site.lan(&machine), ["https://192.168.1.5:8080/"]);
    }

    #[test]
    fn only_a_host_on_loopback_is_this_machine() {
        for host in ["relay.example", "localhost.example", "192.168.1.5:8080", ""] {
            assert!(!is_loopback_host(host), "{host}");
        }
        for host in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080"] {
            assert!(is_loopback_host(host), "{host}");
        }
    }
}
