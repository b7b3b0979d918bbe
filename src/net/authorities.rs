//! The certificate authorities by which the certificates of other servers are checked.

use std::path::Path;

use anyhow::{Context, ensure};
use tokio_rustls::rustls::RootCertStore;

use super::certificate::read_file;

/// Those in a PEM file.
///
/// # Errors
/// When there are none, or one that cannot be used.
pub(crate) fn of_file(file: &Path) -> anyhow::Result<RootCertStore> {
    let path = file.display();
    let content = read_file(file).with_context(|| format!("cannot read {path}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in rustls_pemfile::certs(&mut content.as_slice()) {
        let certificate = certificate.with_context(|| format!("{path} is not PEM"))?;
        roots.add(certificate).with_context(|| format!("{path} has a certificate that cannot be used"))?;
    }
    ensure!(!roots.is_empty(), "{path} has no certificate in PEM (BEGIN CERTIFICATE)");
    Ok(roots)
}

/// Those that this system trusts; `flag` names a file with others.
///
/// # Errors
/// When there are none.
pub(crate) fn of_system(flag: &str) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // Systems have a few that rustls cannot use.
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    let why = found.errors.first().map_or(String::new(), |error| format!(" ({error})"));
    ensure!(
        !roots.is_empty(),
        "this system has no certificate authorities by which https can be trusted{why}: install them (the package \
         ca-certificates), or give {flag} FILE"
    );
    Ok(roots)
}
