//! The certificate chain of a TLS server and its private key, read from PEM files.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls_pemfile::Item;
use thiserror::Error;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
#[cfg(feature = "cli")]
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

use crate::limits;
use crate::net::system::{file_version, open_file, warn_if_others_can_read};

/// A source of certificates.
pub(crate) trait CertificateSource: fmt::Debug + Send + Sync {
    /// The certificate to serve from now on.
    ///
    /// # Errors
    /// When there is no certificate, or it cannot be used; the error is one line that says why.
    fn load(&self) -> anyhow::Result<CertifiedKey>;

    /// A text that changes when [`load`](Self::load) would return another certificate.
    fn version(&self) -> String;
}

/// The files of `--cert` and `--key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain: the server's own certificate, then the intermediate ones up to an authority that clients trust.
    pub cert: PathBuf,
    /// The private key of the first certificate.
    pub key: PathBuf,
}

/// Why the files cannot be used. Its text is one line that names the file and the fault.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The file was read, and its content cannot be used.
    #[error("{} {fault}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// The key does not belong to the certificate.
    #[error(
        "the key in {} is not that of the first certificate in {}, which must be the server's own",
        files.key.display(), files.cert.display()
    )]
    Mismatch {
        /// The two files.
        files: CertificateFiles,
    },
}

impl CertificateFiles {
    /// Reads both files, and checks that they can be used together at the time `now`.
    ///
    /// # Errors
    /// [`CertificateError`], whose text names the file and the fault.
    pub fn read(&self, now: SystemTime) -> Result<CertifiedKey, CertificateError> {
        let certified = self.parse(&read(&self.cert)?, &read(&self.key)?, now)?;
        warn_if_others_can_read(&self.key);
        Ok(certified)
    }

    /// The same with the content of both files, which was read already.
    ///
    /// # Errors
    /// [`CertificateError`], whose text names the file and the fault.
    pub(crate) fn parse(&self, cert: &[u8], key: &[u8], now: SystemTime) -> Result<CertifiedKey, CertificateError> {
        let chain = parse_chain(&self.cert, cert)?;
        let key = parse_key(&self.key, key)?;
        if let Some(own) = chain.first() {
            check_validity(own, now).map_err(|fault| unusable(&self.cert, fault))?;
        }
        let key = ring::default_provider().key_provider.load_private_key(key).map_err(|_| {
            unusable(&self.key, "holds a key of an unsupported kind: use ECDSA P-256 or P-384, Ed25519, or RSA")
        })?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| CertificateError::Mismatch { files: self.clone() })?;
        Ok(certified)
    }
}

impl CertificateSource for CertificateFiles {
    fn load(&self) -> anyhow::Result<CertifiedKey> {
        Ok(self.read(SystemTime::now())?)
    }

    fn version(&self) -> String {
        format!("{:?} {:?}", file_version(&self.cert), file_version(&self.key))
    }
}

/// When `certificate` expires, if that can be read.
pub(crate) fn expiry(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The DNS names that `certificate` is for.
#[cfg(feature = "cli")]
pub(crate) fn dns_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = parse_x509_certificate(certificate) else { return Vec::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(dns).collect()
}

fn parse_chain(file: &Path, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let mut chain = Vec::new();
    let mut holds_key = false;
    for item in parse_pem(file, content)? {
        match item {
            Item::X509Certificate(certificate) => chain.push(certificate),
            Item::Pkcs1Key(_) | Item::Pkcs8Key(_) | Item::Sec1Key(_) => holds_key = true,
            _ => {}
        }
    }
    match chain.is_empty() {
        false => Ok(chain),
        true if holds_key => {
            Err(unusable(file, "holds a private key and no certificate: are --cert and --key swapped?"))
        }
        true => Err(unusable(file, "holds no certificate")),
    }
}

fn parse_key(file: &Path, content: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let mut holds_certificate = false;
    for item in parse_pem(file, content)? {
        match item {
            Item::Pkcs1Key(key) => return Ok(key.into()),
            Item::Pkcs8Key(key) => return Ok(key.into()),
            Item::Sec1Key(key) => return Ok(key.into()),
            Item::X509Certificate(_) => holds_certificate = true,
            _ => {}
        }
    }
    Err(unusable(
        file,
        if holds_certificate {
            "holds a certificate and no private key: are --cert and --key swapped?"
        } else {
            "holds no private key"
        },
    ))
}

/// The content of a regular file, of [`FILE_BYTES`](limits::FILE_BYTES) at most.
///
/// # Errors
/// When it cannot be read, is longer, or no regular file.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let most = limits::FILE_BYTES;
    open_file(path)?.take(most + 1).read_to_end(&mut content)?;
    let is_short = content.len() as u64 <= most;
    if is_short { Ok(content) } else { Err(io::Error::other(format!("it is longer than {most} bytes"))) }
}

fn read(file: &Path) -> Result<Vec<u8>, CertificateError> {
    read_file(file).map_err(|error| CertificateError::Unreadable { file: file.to_owned(), error })
}

fn parse_pem(file: &Path, bytes: &[u8]) -> Result<Vec<Item>, CertificateError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(unusable(file, "is empty"));
    }
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    if has(b"-----BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED") {
        return Err(unusable(file, "is encrypted with a password: remove it with `openssl pkey -in OLD -out NEW`"));
    }
    if !has(b"-----BEGIN ") {
        return Err(unusable(file, "is not PEM, the text form that begins with -----BEGIN"));
    }
    rustls_pemfile::read_all(&mut &*bytes)
        .collect::<io::Result<_>>()
        .map_err(|error| unusable(file, format!("is damaged: {error}")))
}

/// Checks that `certificate` is valid at the time `now`; otherwise returns the fault.
fn check_validity(certificate: &CertificateDer<'_>, now: SystemTime) -> Result<(), String> {
    let (_, certificate) =
        parse_x509_certificate(certificate).map_err(|error| format!("holds a damaged certificate: {error}"))?;
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now =
        ASN1Time::from_timestamp(i64::try_from(seconds).unwrap_or(i64::MAX)).map_err(|error| error.to_string())?;
    let validity = certificate.validity();
    if now > validity.not_after {
        return Err(format!("expired on {}", validity.not_after));
    }
    if now < validity.not_before {
        return Err(format!("is not valid before {}; is this machine's clock right?", validity.not_before));
    }
    Ok(())
}

fn unusable(file: &Path, fault: impl Into<String>) -> CertificateError {
    CertificateError::Unusable { file: file.to_owned(), fault: fault.into() }
}
