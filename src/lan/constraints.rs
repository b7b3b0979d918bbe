//! Checks that an authority can vouch only for what the page about it claims. Somebody else may have made its file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, bail, ensure};
use ipnet::IpNet;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::net::machine::PRIVATE_NETWORKS;

/// Checks that `authority` can vouch only for `own_names`, names without a meaning on the internet, and private
/// addresses, only for TLS servers, and that it may have `below` further authorities, one below the other. Returns the
/// names, which include their subdomains.
///
/// # Errors
/// When it could vouch for more; the error says for what.
pub(crate) fn check(authority: &X509Certificate<'_>, below: u8, own_names: &[String]) -> anyhow::Result<Vec<String>> {
    let basic = authority.basic_constraints()?.filter(|basic| basic.value.ca).context("it is not an authority's")?;
    ensure!(
        basic.critical && basic.value.path_len_constraint == Some(below.into()),
        "it may sign for authorities that are not the relay's"
    );
    let purposes = authority.extended_key_usage()?.context("it could vouch for more than servers")?.value;
    let is_only_for_servers = purposes.server_auth
        && purposes.other.is_empty()
        && !(purposes.any
            || purposes.client_auth
            || purposes.code_signing
            || purposes.email_protection
            || purposes.time_stamping
            || purposes.ocsp_signing);
    ensure!(is_only_for_servers, "it could vouch for more than servers");
    let constraints =
        authority.name_constraints()?.context("it has no name constraints, so it could vouch for any site")?;
    ensure!(constraints.critical, "its name constraints are not critical, so a client may ignore them");
    check_permitted(constraints.value.permitted_subtrees.iter().flatten().map(|subtree| &subtree.base), own_names)
}

/// Checks what an authority is permitted to vouch for. What is excluded in addition does no harm.
fn check_permitted<'a>(
    permitted: impl Iterator<Item = &'a GeneralName<'a>>,
    own_names: &[String],
) -> anyhow::Result<Vec<String>> {
    let (mut names, mut has_ipv4, mut has_ipv6) = (Vec::new(), false, false);
    for subtree in permitted {
        match subtree {
            GeneralName::DNSName(name) => {
                let name = name.to_ascii_lowercase();
                ensure!(
                    own_names.contains(&name) || means_nothing_elsewhere(&name),
                    "it could vouch for {name:?}, which is not a name of this machine"
                );
                names.push(name);
            }
            GeneralName::IPAddress(bytes) => {
                let network = network(bytes).context("it could vouch for addresses that are no network")?;
                let is_private = PRIVATE_NETWORKS.iter().any(|private| private.contains(&network));
                ensure!(is_private, "it could vouch for {network}, which is not private");
                has_ipv4 |= network.addr().is_ipv4();
                has_ipv6 |= network.addr().is_ipv6();
            }
            other => bail!("it could vouch for {other}, which the relay does not use"),
        }
    }
    // A kind of name that is not listed at all is not constrained (RFC 5280 section 4.2.1.10).
    ensure!(!names.is_empty(), "its name constraints allow every host name");
    ensure!(has_ipv4 && has_ipv6, "its name constraints allow every address");
    Ok(names)
}

/// Whether no site on the internet can have `name` or one below it. The machine may have had it before: people rename
/// machines, and each container has a name of its own.
fn means_nothing_elsewhere(name: &str) -> bool {
    let is_in = |top: &str| name.strip_suffix(top).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
    // All top-level domains are letters, or begin with `xn--` (RFC 1123 section 2.1, RFC 5890).
    let is_no_top_level = || {
        !name.is_empty()
            && !name.contains('.')
            && !name.starts_with("xn--")
            && !name.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    // The names of this machine itself (RFC 6761), and those of mDNS (RFC 6762).
    name == "localhost" || is_in("local") || is_no_top_level()
}

/// The network of an address and a mask (RFC 5280 section 4.2.1.10), if the mask is a prefix.
fn network(bytes: &[u8]) -> Option<IpNet> {
    let (address, mask) = bytes.split_at_checked(bytes.len() / 2)?;
    let ip = |bytes: &[u8]| -> Option<IpAddr> {
        let ipv4 = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).into());
        ipv4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).into())).ok()
    };
    IpNet::with_netmask(ip(address)?, ip(mask)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(subtrees: &[GeneralName<'_>]) -> Result<Vec<String>, String> {
        check_permitted(subtrees.iter(), &["studio".to_owned(), "pc7.corp.example".to_owned()])
            .map_err(|error| error.to_string())
    }

    const LAN: GeneralName<'static> = GeneralName::IPAddress(&[192, 168, 0, 0, 255, 255, 0, 0]);
    const UNIQUE_LOCAL: GeneralName<'static> = GeneralName::IPAddress(&UNIQUE_LOCAL_BYTES);
    const UNIQUE_LOCAL_BYTES: [u8; 32] = {
        let mut bytes = [0; 32];
        (bytes[0], bytes[16]) = (0xfc, 0xfe);
        bytes
    };

    #[test]
    fn the_machines_names_and_those_that_no_site_can_have_are_fine() {
        for name in ["studio", "pc7.corp.example", "localhost", "former.local", "pc-6", "3f2a9c1b"] {
            assert_eq!(permitted(&[GeneralName::DNSName(name), LAN, UNIQUE_LOCAL]).unwrap(), [name]);
        }
    }

    #[test]
    fn any_other_name_is_refused() {
        for name in
            ["com", "bank.example", "", ".", ".local", "local", "former", "xn--p1ai", "corp.example", "locallocal"]
        {
            let said = permitted(&[GeneralName::DNSName(name), LAN, UNIQUE_LOCAL]).unwrap_err();
            assert!(said.contains("not a name of this machine"), "{name:?}: {said}");
        }
        let said = permitted(&[GeneralName::DNSName("studio"), GeneralName::RFC822Name("a@b.example")]).unwrap_err();
        assert!(said.contains("the relay does not use"), "{said}");
    }

    #[test]
    fn addresses_of_the_internet_and_what_is_no_network_are_refused() {
        let studio = GeneralName::DNSName("studio");
        for (bytes, fault) in [
            (&[0, 0, 0, 0, 0, 0, 0, 0][..], "0.0.0.0/0"),
            (&[192, 0, 0, 0, 255, 0, 0, 0], "192.0.0.0/8"),
            (&[8, 8, 8, 8, 255, 255, 255, 255], "8.8.8.8/32"),
            (&[0; 32], "::/0"),
            (&[192, 168, 0, 0, 255, 0, 255, 0], "no network"),
            (&[192, 168, 0, 0], "no network"),
            (&[], "no network"),
        ] {
            let said = permitted(&[studio.clone(), LAN, UNIQUE_LOCAL, GeneralName::IPAddress(bytes)]).unwrap_err();
            assert!(said.contains(fault), "{said}");
        }
    }

    #[test]
    fn a_kind_of_name_without_constraints_is_refused() {
        let studio = || GeneralName::DNSName("studio");
        for (subtrees, fault) in [
            (vec![], "every host name"),
            (vec![LAN, UNIQUE_LOCAL], "every host name"),
            (vec![studio()], "every address"),
            (vec![studio(), LAN], "every address"),
            (vec![studio(), UNIQUE_LOCAL], "every address"),
        ] {
            let said = permitted(&subtrees).unwrap_err();
            assert!(said.contains(fault), "{said}");
        }
    }
}
