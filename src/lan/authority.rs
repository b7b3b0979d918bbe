//! The local certificate authority of `--lan`. It is made once, kept in a folder, and can sign only for this machine's
//! names and private addresses.
//!
//! A thief of its key could impersonate every server that its name constraints allow. So they allow only the names of
//! this machine and private addresses, and its purpose is only TLS servers: a device that trusts it takes no risk
//! elsewhere.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tracing::{info, warn};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::limits;
use crate::net::certificate::{CertificateFiles, CertificateSource};
use crate::net::machine::{Machine, PRIVATE_NETWORKS, is_private};
use crate::net::unix::create_for_owner_only;

/// The file with the authority's key and certificate. Only its owner may read it.
pub(crate) const KEY_FILE: &str = "authority.key";
/// The file with only its certificate, for the devices that trust it.
pub(crate) const CERTIFICATE_FILE: &str = "authority.pem";

/// A certificate authority that signs only for this machine.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    /// The names that its constraints allow, including their subdomains; none if it has no constraints.
    permitted: Option<Vec<String>>,
}

impl Authority {
    /// The authority in `folder`; a new one if there is none.
    ///
    /// # Errors
    /// When the folder cannot be read or written, or its files cannot be used. The error says which file and why.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join(KEY_FILE);
        if !file.exists() {
            create(folder, &file)
                .with_context(|| format!("cannot keep the local authority in {} (--lan-dir)", folder.display()))?;
        }
        let authority = Self::load(&file)?;
        let certificate = folder.join(CERTIFICATE_FILE);
        if !fs::read_to_string(&certificate).is_ok_and(|there| there == authority.pem) {
            fs::write(&certificate, &authority.pem)
                .with_context(|| format!("cannot write {}", certificate.display()))?;
        }
        Ok(authority)
    }

    fn load(file: &Path) -> anyhow::Result<Self> {
        let both = CertificateFiles { cert: file.to_owned(), key: file.to_owned() };
        let remedy = || format!("cannot use the local authority; remove {} to make a new one", file.display());
        let chain = both.read(SystemTime::now()).with_context(remedy)?.cert;
        let certificate = chain.into_iter().next().with_context(remedy)?;
        // In this file the key comes before the certificate.
        let text = fs::read_to_string(file)?;
        let key = KeyPair::from_pem(&text).with_context(remedy)?;
        let pem =
            text.find("-----BEGIN CERTIFICATE").and_then(|start| text.get(start..)).with_context(remedy)?.to_owned();
        let issuer = Issuer::from_ca_cert_der(&certificate, key).with_context(remedy)?;
        let permitted = permitted_names(&certificate).with_context(remedy)?;
        Ok(Self { issuer, certificate, pem, permitted })
    }

    /// Its certificate as DER, which phones and desktops import.
    pub(crate) fn der(&self) -> &[u8] {
        &self.certificate
    }

    /// Its certificate as PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// The SHA-256 of its certificate, as certificate viewers show it. People compare it before they trust the
    /// authority.
    pub(crate) fn fingerprint(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.certificate);
        digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }

    /// A certificate, with its chain, for the names and addresses of `machine` that the authority may sign.
    ///
    /// # Errors
    /// When signing fails.
    pub(crate) fn issue(&self, machine: &Machine, now: SystemTime) -> anyhow::Result<CertifiedKey> {
        let mut params = CertificateParams::new(self.filter_permitted(&machine.names))?;
        let loopback = ["127.0.0.1", "::1"].iter().filter_map(|ip| ip.parse::<IpAddr>().ok());
        let addresses = machine.addresses.iter().copied().filter(|ip| is_private(*ip)).chain(loopback);
        params.subject_alt_names.extend(addresses.map(SanType::IpAddress));
        params.distinguished_name = distinguished_name_with(&format!("signaling-relay on {}", display_name(machine)));
        params.not_before = (now - limits::CLOCK_SKEW).into();
        params.not_after = (now + limits::LEAF_VALIDITY).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        let chain = vec![leaf.der().clone(), self.certificate.clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(CertifiedKey::new(chain, default_provider().key_provider.load_private_key(key.into())?))
    }

    fn filter_permitted(&self, names: &[String]) -> Vec<String> {
        let is_below = |name: &str, top: &str| {
            name == top || name.strip_suffix(top).is_some_and(|rest| top.is_empty() || rest.ends_with('.'))
        };
        let may = |name: &&String| {
            let permitted = self.permitted.as_ref();
            permitted.is_none_or(|permitted| permitted.iter().any(|top| is_below(name, top)))
        };
        names.iter().filter(may).cloned().collect()
    }
}

/// Certificates from an [`Authority`] for the current names and addresses of this machine.
#[derive(Debug)]
pub(crate) struct LeafSource(pub Arc<Authority>);

impl CertificateSource for LeafSource {
    fn load(&self) -> anyhow::Result<CertifiedKey> {
        let machine = Machine::detect();
        let names = self.0.filter_permitted(&machine.names);
        if names.len() < machine.names.len() {
            warn!(
                machine = %display_name(&machine),
                "the local authority was made under another name of this machine: browsers accept only the addresses \
                 and {}, until {KEY_FILE} is removed and the new authority is trusted", names.join(", ")
            );
        }
        let certified = self.0.issue(&machine, SystemTime::now())?;
        info!(names = ?names, addresses = ?machine.addresses, "the local authority signs for this machine");
        Ok(certified)
    }

    fn version(&self) -> String {
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        format!("{:?} {}", Machine::detect(), seconds / limits::LEAF_RENEWAL.as_secs())
    }
}

/// Makes an authority for this machine, and creates `file` in `folder` atomically. If another relay was faster, its
/// authority stays.
fn create(folder: &Path, file: &Path) -> anyhow::Result<()> {
    let machine = Machine::detect();
    let (key, certificate) = generate(&machine, SystemTime::now())?;
    if !folder.exists() {
        fs::create_dir_all(folder)?;
        // The folder may be in a git repository.
        fs::write(folder.join(".gitignore"), "# No key is ever committed.\n*\n")?;
    }
    let draft = folder.join(format!(".{KEY_FILE}.{}", std::process::id()));
    let written = write_secret(&draft, &(key + &certificate)).and_then(|()| match fs::hard_link(&draft, file) {
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

/// The key and the certificate of a new authority, as PEM.
fn generate(machine: &Machine, now: SystemTime) -> anyhow::Result<(String, String)> {
    let networks = PRIVATE_NETWORKS
        .iter()
        .map(|network| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(network.addr(), network.prefix_len())));
    let names = machine.names.iter().cloned().map(GeneralSubtree::DnsName);
    let mut params = CertificateParams::default();
    params.distinguished_name =
        distinguished_name_with(&format!("signaling-relay authority of {}", display_name(machine)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.name_constraints =
        Some(NameConstraints { permitted_subtrees: names.chain(networks).collect(), excluded_subtrees: Vec::new() });
    params.not_before = (now - limits::CLOCK_SKEW).into();
    params.not_after = (now + limits::AUTHORITY_VALIDITY).into();
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((key.serialize_pem(), certificate.pem()))
}

/// Creates a file that only its owner can read, from the beginning.
fn write_secret(file: &PathBuf, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    create_for_owner_only(&mut options);
    let mut file = options.open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The names that the constraints of `certificate` allow; none if it has no constraints.
fn permitted_names(certificate: &CertificateDer<'_>) -> anyhow::Result<Option<Vec<String>>> {
    let (_, certificate) = parse_x509_certificate(certificate)?;
    ensure!(certificate.is_ca(), "its certificate is not an authority's");
    let constraints = certificate.name_constraints()?;
    let Some(permitted) = constraints.and_then(|found| found.value.permitted_subtrees.as_ref()) else {
        return Ok(None);
    };
    let names = permitted.iter().filter_map(|subtree| match subtree.base {
        GeneralName::DNSName(name) => Some(name.trim_start_matches('.').to_owned()),
        _ => None,
    });
    Ok(Some(names.collect()))
}

fn distinguished_name_with(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    // RFC 5280 allows a common name of 64 characters at most.
    name.push(DnType::CommonName, common_name.chars().take(64).collect::<String>());
    name
}

/// The host name of the machine, for people.
fn display_name(machine: &Machine) -> &str {
    machine.names.get(1).or(machine.names.first()).map_or("localhost", String::as_str)
}
