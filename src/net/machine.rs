//! This machine's names and addresses on its network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::limits;

/// The networks that are not reachable from the internet: private (RFC 1918, RFC 4193), shared by a provider's
/// customers or a VPN (RFC 6598), link-local (RFC 3927, RFC 4291), and loopback.
pub(crate) const PRIVATE_NETWORKS: [IpNet; 9] = [
    v4([192, 168, 0, 0], 16),
    v4([10, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([100, 64, 0, 0], 10),
    v4([169, 254, 0, 0], 16),
    v4([127, 0, 0, 0], 8),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128),
];

const fn v4(octets: [u8; 4], prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]), prefix))
}

const fn v6(s: [u16; 8], prefix: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), prefix))
}

/// Whether `ip` is in one of the [`PRIVATE_NETWORKS`].
pub(crate) fn is_private(ip: IpAddr) -> bool {
    PRIVATE_NETWORKS.iter().any(|network| network.contains(&ip.to_canonical()))
}

/// The names and the addresses of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Its [`names`].
    pub names: Vec<String>,
    /// The addresses of its interfaces without loopback: the one of the default route first, then IPv4 before IPv6.
    pub addresses: Vec<IpAddr>,
}

impl Machine {
    /// This machine's current names and addresses.
    pub(crate) fn detect() -> Self {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let mut addresses: Vec<_> = interfaces.iter().map(|one| (is_virtual(&one.name), one.ip())).collect();
        let first = outbound_address();
        addresses.retain(|(_, ip)| !ip.is_loopback());
        addresses.sort_by_key(|(is_virtual, ip)| (Some(*ip) != first, *is_virtual, ip.is_ipv6(), *ip));
        addresses.dedup();
        Self { names: names(), addresses: addresses.into_iter().map(|(_, ip)| ip).collect() }
    }

    /// The addresses that work in a browser. (A link-local IPv6 address does not: it needs a zone, which no browser
    /// accepts.)
    pub(crate) fn reachable(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().copied().filter(|ip| match ip {
            IpAddr::V4(_) => true,
            IpAddr::V6(ip) => !ip.is_unicast_link_local(),
        })
    }
}

/// The names of this machine, in lower case: `localhost`, its name without a domain, that name with `.local` (for mDNS,
/// RFC 6762), and its full name.
pub(crate) fn names() -> Vec<String> {
    dns_names(&gethostname::gethostname().to_string_lossy())
}

/// The names of a machine with the host name `name`.
fn dns_names(name: &str) -> Vec<String> {
    let name = name.to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let is_name = !name.is_empty()
        && name.len() <= limits::MACHINE_NAME_BYTES
        && name.bytes().all(plain)
        && name.parse::<IpAddr>().is_err();
    let short = name.split('.').next().unwrap_or_default();
    let mut names = vec!["localhost".to_owned()];
    if is_name && !short.is_empty() && short != "localhost" {
        names.extend([short.to_owned(), format!("{short}.local")]);
        if !names.contains(&name) {
            names.push(name.trim_end_matches('.').to_owned());
        }
    }
    names
}

/// Whether `interface` is a bridge to containers or virtual machines, which other machines cannot reach.
fn is_virtual(interface: &str) -> bool {
    ["docker", "br-", "veth", "virbr", "cni", "podman", "vmnet"].iter().any(|prefix| interface.starts_with(prefix))
}

/// The address of the interface of the default route. Nothing is sent: to connect a UDP socket only looks up the route.
fn outbound_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // A documentation address, which no machine has (RFC 5737), and the port of the discard service (RFC 863).
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_found_by_its_name_with_and_without_local() {
        assert_eq!(dns_names("Studio"), ["localhost", "studio", "studio.local"]);
        assert_eq!(dns_names("studio.local"), ["localhost", "studio", "studio.local"]);
        assert_eq!(dns_names("pc7.corp.example"), ["localhost", "pc7", "pc7.local", "pc7.corp.example"]);
        for odd in ["", "localhost", "the studio", "стол", "10.0.0.1", ".", "*"] {
            assert_eq!(dns_names(odd), ["localhost"], "{odd:?}");
        }
    }

    #[test]
    fn private_is_what_the_internet_does_not_reach() {
        for ip in ["192.168.1.5", "10.9.8.7", "172.31.0.1", "100.100.1.1", "169.254.1.1", "::1", "fd12::1", "fe80::1"] {
            assert!(is_private(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["8.8.8.8", "172.32.0.1", "192.169.0.1", "2001:db8::1", "::ffff:8.8.8.8", "0.0.0.0"] {
            assert!(!is_private(ip.parse().unwrap()), "{ip}");
        }
    }
}
