//! The certificate authorities of the webhook and of key sets.

use std::path::Path;

use crate::http_client::Authorities;

/// Checks the certificate authorities of the webhook and the key sets: those in the file, or those of the system.
///
/// # Errors
/// When they cannot be used.
pub(crate) fn check_authorities(file: Option<&Path>) -> anyhow::Result<()> {
    authorities_in(file).trusted_roots().map(drop)
}

/// The certificate authorities of the webhook and the key sets.
pub(super) fn authorities_in(file: Option<&Path>) -> Authorities<'_> {
    Authorities { file, flag: "--auth-ca" }
}
