//! Where people reach what listens here: addresses and URLs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::net::machine::Machine;

/// The addresses to open. For a listener on every address: loopback, and the addresses that other devices can reach.
pub(crate) fn addresses(listening: &[SocketAddr], host: &Machine) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    for address in listening {
        if !address.ip().is_unspecified() {
            all.push(*address);
            continue;
        }
        all.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()));
        let family = host.reachable().filter(|ip| ip.is_ipv4() == address.is_ipv4());
        all.extend(family.map(|ip| SocketAddr::new(ip, address.port())));
    }
    // A stable sort: apart from loopback, the order stays.
    all.sort_by_key(|address| !address.ip().is_loopback());
    all
}

/// The URL for a browser: with `localhost` if the relay listens on both its addresses, otherwise with the address
/// itself.
pub(crate) fn url(scheme: &str, address: SocketAddr, listening: &[SocketAddr]) -> String {
    let listens = |is_ipv4: bool| {
        let on_loopback = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
        listening
            .iter()
            .any(|other| other.port() == address.port() && other.is_ipv4() == is_ipv4 && on_loopback(other.ip()))
    };
    let everywhere = listening.iter().any(|other| other.port() == address.port() && other.ip().is_unspecified());
    let is_localhost = address.ip().is_loopback() && (everywhere || (listens(true) && listens(false)));
    let host = match address {
        _ if is_localhost => "localhost".to_owned(),
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    url_of_host(scheme, &host, address.port())
}

/// The URL with this host, which is a name, or an address as URLs have it.
pub(crate) fn url_of_host(scheme: &str, host: &str, port: u16) -> String {
    match (scheme, port) {
        ("http", 80) | ("https", 443) => format!("{scheme}://{host}/"),
        _ => format!("{scheme}://{host}:{port}/"),
    }
}
