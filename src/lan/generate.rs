//! Makes a local authority: a root, the one issuer that it signs, and the file that keeps the issuer's key.
//!
//! Java, among others, ignores the name constraints of a certificate that a device trusts directly, and obeys those of a
//! certificate below it. So the root, which devices trust, signs only the issuer, and its key is destroyed at once: a
//! thief finds only the key of the issuer, whose constraints every client obeys.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use tracing::{info, warn};
use zeroize::Zeroize;

use crate::limits;
use crate::net::machine::{Machine, PRIVATE_NETWORKS};
use crate::net::system::create_for_owner_only;

/// The file with the issuer's key and certificate, and the root's certificate. Only its owner may read it.
pub(crate) const KEY_FILE: &str = "authority.key";
/// How many issuers, one below the other, a root may have: the one that it signs.
pub(crate) const BELOW_ROOT: u8 = 1;
/// How many an issuer may have: it signs only certificates of servers.
pub(crate) const BELOW_ISSUER: u8 = 0;

/// Makes an authority for this machine, and creates `file` in `folder` atomically. If another relay was faster, its
/// authority stays.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn create(folder: &Path, file: &Path) -> anyhow::Result<()> {
    let now = SystemTime::now();
    if now < earliest() {
        warn!(
            "the clock of this machine is wrong (it says a time before 2026): the local authority will be good once the \
             clock is right"
        );
    }
    let secret = generate(&Machine::detect(), now)?;
    let draft = folder.join(format!(".{KEY_FILE}.{}", std::process::id()));
    let written = write_secret(&draft, &secret).and_then(|()| match fs::hard_link(&draft, file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Some file systems have no hard links.
        Err(_) if !file.exists() => fs::rename(&draft, file),
        linked => linked,
    });
    // The draft is gone already if it was renamed.
    let _ = fs::remove_file(&draft);
    written?;
    info!(file = %file.display(), "made a local certificate authority");
    Ok(())
}

fn earliest() -> SystemTime {
    SystemTime::UNIX_EPOCH + limits::EARLIEST_CLOCK
}

/// A new authority as PEM: the issuer's key, the issuer's certificate, and the root's.
fn generate(machine: &Machine, now: SystemTime) -> anyhow::Result<String> {
    let name = display_name(machine);
    let mut root_key = KeyPair::generate()?;
    let root_params = authority(machine, &format!("signaling-relay authority of {name}"), BELOW_ROOT, now);
    let root = root_params.self_signed(&root_key)?;
    let mut issuer_params = authority(machine, &format!("signaling-relay issuer of {name}"), BELOW_ISSUER, now);
    issuer_params.use_authority_key_identifier_extension = true;
    let issuer =
        CertifiedIssuer::signed_by(issuer_params, KeyPair::generate()?, &Issuer::from_params(&root_params, &root_key));
    // No file ever held the key; its bytes in memory are overwritten as well, before it is dropped.
    root_key.zeroize();
    drop(root_key);
    let issuer = issuer?;
    Ok(issuer.key().serialize_pem() + &issuer.pem() + &root.pem())
}

/// The parameters of an authority that can vouch only for the names of `machine` and private addresses, only for TLS
/// servers, and that may have `below` further authorities, one below the other.
fn authority(machine: &Machine, name: &str, below: u8, now: SystemTime) -> CertificateParams {
    let networks = PRIVATE_NETWORKS
        .iter()
        .map(|network| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(network.addr(), network.prefix_len())));
    let names = machine.names.iter().cloned().map(GeneralSubtree::DnsName);
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name_with(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.name_constraints =
        Some(NameConstraints { permitted_subtrees: names.chain(networks).collect(), excluded_subtrees: Vec::new() });
    params.not_before = (now - limits::CLOCK_SKEW).into();
    // A clock that is still wrong would make an authority that has expired when it is right.
    params.not_after = (now.max(earliest()) + limits::AUTHORITY_VALIDITY).into();
    params
}

/// Creates a file that only its owner can read, from the beginning.
fn write_secret(file: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    create_for_owner_only(&mut options);
    let mut file = options.open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A distinguished name that is only a common name, of 64 characters at most (RFC 5280 appendix A.1).
pub(crate) fn distinguished_name_with(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name.chars().take(64).collect::<String>());
    name
}

/// The host name of the machine, for people.
pub(crate) fn display_name(machine: &Machine) -> &str {
    machine.names.get(1).or(machine.names.first()).map_or("localhost", String::as_str)
}

#[cfg(test)]
mod tests {
    use x509_parser::parse_x509_certificate;

    use super::*;

    #[test]
    fn an_authority_that_was_made_under_a_clock_of_1970_is_good_when_the_clock_is_right() {
        let machine = Machine { names: vec!["localhost".into()], addresses: Vec::new() };
        for now in [SystemTime::UNIX_EPOCH, SystemTime::now()] {
            let text = generate(&machine, now).unwrap();
            let certificates: Vec<_> = rustls_pemfile::certs(&mut text.as_bytes()).map(Result::unwrap).collect();
            assert_eq!(certificates.len(), 2);
            for certificate in certificates {
                let (_, certificate) = parse_x509_certificate(&certificate).unwrap();
                let validity = certificate.validity();
                assert!(validity.is_valid(), "{validity:?}");
                assert!(
                    validity.not_before.timestamp()
                        < now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64
                );
            }
        }
    }
}
