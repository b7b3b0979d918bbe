//! The local certificate authority of `--lan`. It is made once, kept in a folder, and can sign only for this machine's
//! names and private addresses.
//!
//! It is a root, which devices trust, and one issuer below it, which signs certificates. Only the issuer's key exists. A
//! thief of that key could impersonate every server that its name constraints allow. So they allow only the names of
//! this machine and private addresses, and its purpose is only TLS servers: a device that trusts the root takes no risk
//! elsewhere.

use std::fs;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tracing::{info, warn};
use x509_parser::parse_x509_certificate;

use crate::lan::constraints;
use crate::lan::generate::{BELOW_ISSUER, BELOW_ROOT, KEY_FILE, create, display_name, distinguished_name_with};
use crate::limits;
use crate::net::certificate::{CertificateFiles, CertificateSource, read_file};
use crate::net::machine::{Machine, is_private, names};
use crate::net::system::{check_own_folder, create_own_folder, open_own, warn_if_others_can_read};

/// The file with only the root's certificate, for the devices that trust it.
pub(crate) const CERTIFICATE_FILE: &str = "authority.pem";

/// A certificate authority that signs only for this machine.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The issuer's certificate, which servers send after their own.
    intermediate: CertificateDer<'static>,
    /// The certificate that devices trust.
    root: CertificateDer<'static>,
    /// The same as PEM.
    pem: String,
    /// The names that the constraints allow, including their subdomains.
    permitted: Vec<String>,
}

impl Authority {
    /// The authority in `folder`; a new one if there is none.
    ///
    /// # Errors
    /// When the folder cannot be read or written, or its files cannot be used. The error says which file and why.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        prepare(folder).with_context(|| unfit(folder))?;
        let file = folder.join(KEY_FILE);
        let authority = Self::load(&file)?;
        let certificate = folder.join(CERTIFICATE_FILE);
        if !read_file(&certificate).is_ok_and(|there| there == authority.pem.as_bytes()) {
            let write = || {
                // To write to a FIFO would wait for its reader.
                if certificate.exists() && !certificate.is_file() {
                    return Err(io::Error::other("it is not a regular file"));
                }
                fs::write(&certificate, &authority.pem)
            };
            write().with_context(|| format!("cannot write {}", certificate.display()))?;
        }
        Ok(authority)
    }

    /// The authority in `folder`, if there is one. Nothing is made or written.
    ///
    /// # Errors
    /// When others can write the folder, or its files cannot be used.
    pub(crate) fn existing(folder: &Path) -> anyhow::Result<Option<Self>> {
        if folder.exists() {
            check_own_folder(folder).with_context(|| unfit(folder))?;
        }
        let file = folder.join(KEY_FILE);
        if file.exists() { Self::load(&file).map(Some) } else { Ok(None) }
    }

    fn load(file: &Path) -> anyhow::Result<Self> {
        let mut text = String::new();
        let mut opened = open_own(file).context("cannot use the local authority")?;
        let read = opened.read_to_string(&mut text).with_context(|| format!("cannot read {}", file.display()));
        let authority = read
            .and_then(|_| Self::parse(file, &text))
            .with_context(|| format!("cannot use the local authority; remove {} to make a new one", file.display()))?;
        warn_if_others_can_read(file);
        Ok(authority)
    }

    /// The authority in `text`, the content of `file`: the issuer's key, its certificate, and then the root's.
    fn parse(file: &Path, text: &str) -> anyhow::Result<Self> {
        let both = CertificateFiles { cert: file.to_owned(), key: file.to_owned() };
        let chain = both.parse(text.as_bytes(), text.as_bytes(), SystemTime::now())?.cert;
        let (intermediate, root) = match chain.as_slice() {
            [intermediate, root] => (intermediate, root),
            [_] => anyhow::bail!("it has only one certificate, and needs its own and the root's"),
            _ => anyhow::bail!("it has {} certificates, and not its own and the root's", chain.len()),
        };
        let permitted = check(intermediate, root)?;
        let start = text.rfind("-----BEGIN CERTIFICATE-----").context("it has no certificate")?;
        let pem = text.get(start..).unwrap_or_default().to_owned();
        let downloaded = rustls_pemfile::certs(&mut pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        ensure!(downloaded == [root.clone()], "its last certificate is not the root's");
        let issuer = Issuer::from_ca_cert_der(intermediate, KeyPair::from_pem(text)?)?;
        Ok(Self { issuer, intermediate: intermediate.clone(), root: root.clone(), pem, permitted })
    }

    /// The root's certificate as DER, which phones and desktops import.
    pub(crate) fn der(&self) -> &[u8] {
        &self.root
    }

    /// The root's certificate as PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// The SHA-256 of the root's certificate, as certificate viewers show it. People compare it before they trust the
    /// authority.
    pub(crate) fn fingerprint(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.root);
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
        let chain = vec![leaf.der().clone(), self.intermediate.clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(CertifiedKey::new(chain, default_provider().key_provider.load_private_key(key.into())?))
    }

    fn filter_permitted(&self, names: &[String]) -> Vec<String> {
        let is_below =
            |name: &str, top: &str| name.strip_suffix(top).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let may = |name: &&String| self.permitted.iter().any(|top| is_below(name, top));
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
        // The clock may have been wrong when the authority was made, or when it was read.
        for certificate in [&self.0.intermediate, &self.0.root] {
            let (_, certificate) = parse_x509_certificate(certificate)?;
            ensure!(
                certificate.validity().is_valid(),
                "the local authority is valid no longer, or not yet: if the clock of this machine is right, remove \
                 {KEY_FILE} and {CERTIFICATE_FILE}, start the relay again, and let every device trust the new one"
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

fn unfit(folder: &Path) -> String {
    format!("cannot keep the local authority in {} (--lan-dir)", folder.display())
}

/// Makes `folder` and the authority in it, where they are missing, and checks that only this process's user can.
fn prepare(folder: &Path) -> anyhow::Result<()> {
    if !folder.exists() {
        create_own_folder(folder)?;
        // The folder may be in a git repository.
        fs::write(folder.join(".gitignore"), "# No key is ever committed.\n*\n")?;
    }
    check_own_folder(folder)?;
    let file = folder.join(KEY_FILE);
    if file.exists() { Ok(()) } else { create(folder, &file) }
}

/// Checks that `root` and the issuer below it can vouch only for what the relay claims, and that the root did sign the
/// issuer. Returns the names that the issuer may vouch for.
fn check(intermediate: &CertificateDer<'_>, root: &CertificateDer<'_>) -> anyhow::Result<Vec<String>> {
    let (_, intermediate) = parse_x509_certificate(intermediate)?;
    let (_, root) = parse_x509_certificate(root)?;
    let names = names();
    constraints::check(&root, BELOW_ROOT, &names).context("the certificate that devices trust is not safe")?;
    root.verify_signature(None).context("the certificate that devices trust is damaged")?;
    ensure!(root.validity().is_valid(), "the certificate that devices trust is valid no longer, or not yet");
    let permitted = constraints::check(&intermediate, BELOW_ISSUER, &names).context("its certificate is not safe")?;
    intermediate.verify_signature(Some(root.public_key())).context("the root did not sign its certificate")?;
    Ok(permitted)
}
