//! The keys that verify tokens, and the files that they are read from.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use jsonwebtoken::{Algorithm, DecodingKey};
use rustls_pemfile::Item;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519};
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};
use x509_parser::public_key::PublicKey;

use super::KeyState;
use crate::limits;
use crate::net::read;
use crate::net::system::open_own;

/// A key that verifies tokens of one algorithm.
pub(crate) struct Key {
    /// The algorithm follows from the key, so that no token can choose it.
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
    /// Its name in a key set (`kid`); none if it is of a file of keys.
    pub(super) id: Option<Box<str>>,
    /// Whether it has been taken back; none if it is of a key set, whose provider keeps it or not as it likes.
    pub(super) state: Option<KeyState>,
}

impl Key {
    fn unnamed(algorithm: Algorithm, key: DecodingKey) -> Self {
        Self { algorithm, key, id: None, state: Some(KeyState::default()) }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        let bytes = (self.key.try_get_as_bytes(), other.key.try_get_as_bytes());
        self.algorithm == other.algorithm && matches!(bytes, (Ok(one), Ok(other)) if one == other)
    }
}

/// The keys in the files of `--token-secret-file` and `--token-key-file`.
///
/// # Errors
/// When a file cannot be used, or others can read the secret or write the key in it.
pub(crate) fn read_keys(secret_files: &[PathBuf], key_files: &[PathBuf]) -> anyhow::Result<Vec<Key>> {
    let mut keys = Vec::new();
    for file in secret_files {
        let secret = read_secret(file)?;
        keys.push(Key::unnamed(Algorithm::HS256, DecodingKey::from_secret(&secret)));
    }
    for file in key_files {
        keys.extend(read_public_keys(file)?);
    }
    // Two of the same would have two states.
    let mut different: Vec<Key> = Vec::new();
    for key in keys {
        if !different.iter().any(|other| other.is_same(&key)) {
            different.push(key);
        }
    }
    Ok(different)
}

/// The secret in a file of `--token-secret-file`, without the white space around it.
///
/// # Errors
/// When the file cannot be read, others can read or write it, or the secret is too short.
pub(crate) fn read_secret(file: &Path) -> anyhow::Result<Vec<u8>> {
    let read = || {
        let secret = read::secret(file)?;
        let (bytes, least, path) = (secret.len(), limits::SECRET_BYTES_MIN, file.display());
        ensure!(
            bytes >= least,
            "the secret in {path} has {bytes} bytes, and needs {least} at least, so that nobody can guess it; make one \
             with `openssl rand -hex 32`"
        );
        Ok(secret)
    };
    read().context("--token-secret-file")
}

/// The public keys in a file of `--token-key-file`.
fn read_public_keys(file: &Path) -> anyhow::Result<Vec<Key>> {
    let read = || {
        let content = read::whole(open_own(file)?, file, limits::KEY_FILE_BYTES)?;
        let (mut keys, mut has_certificate) = (Vec::new(), false);
        for item in rustls_pemfile::read_all(&mut content.as_slice()) {
            match item.with_context(|| format!("{} is not PEM", file.display()))? {
                Item::SubjectPublicKeyInfo(der) => {
                    keys.push(public_key(&der).with_context(|| format!("the key in {}", file.display()))?);
                }
                // The first one; those of its authorities may follow, and they sign no tokens.
                Item::X509Certificate(der) if !has_certificate => {
                    has_certificate = true;
                    let key = certified_key(&der).with_context(|| format!("the certificate in {}", file.display()));
                    keys.push(key?);
                }
                Item::Pkcs1Key(_) | Item::Pkcs8Key(_) | Item::Sec1Key(_) => bail!(
                    "{} has a private key, which the relay must not have: give it the public one, which `openssl pkey \
                     -in FILE -pubout` makes",
                    file.display()
                ),
                _ => {}
            }
        }
        ensure!(!keys.is_empty(), "{} has no public key in PEM (BEGIN PUBLIC KEY), and no certificate", file.display());
        Ok(keys)
    };
    read().context("--token-key-file")
}

/// The public key in a certificate. Whether the certificate is valid does not matter: the operator vouches for the key.
fn certified_key(der: &[u8]) -> anyhow::Result<Key> {
    let (_, certificate) = parse_x509_certificate(der).context("cannot be read")?;
    public_key(certificate.public_key().raw).context("its key")
}

/// A public key and the algorithm that follows from it.
fn public_key(der: &[u8]) -> anyhow::Result<Key> {
    let (_, info) = SubjectPublicKeyInfo::from_der(der).context("is no SubjectPublicKeyInfo (RFC 5280)")?;
    let (kind, bytes) = (&info.algorithm.algorithm, info.subject_public_key.data.as_ref());
    if *kind == OID_PKCS1_RSAENCRYPTION {
        let bits = match info.parsed() {
            Ok(PublicKey::RSA(key)) => key.key_size(),
            _ => bail!("is an RSA key that cannot be read"),
        };
        ensure!(limits::RSA_BITS.contains(&bits), "is an RSA key of {bits} bits, and needs 2048 to 8192");
        return Ok(Key::unnamed(Algorithm::RS256, DecodingKey::from_rsa_der(bytes)));
    }
    if *kind == OID_SIG_ED25519 {
        return Ok(Key::unnamed(Algorithm::EdDSA, DecodingKey::from_ed_der(bytes)));
    }
    let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    if *kind == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == Some(OID_EC_P256) {
        return Ok(Key::unnamed(Algorithm::ES256, DecodingKey::from_ec_der(bytes)));
    }
    bail!("is of a kind that the relay does not know; it may be of P-256 (ES256), RSA (RS256) or Ed25519 (EdDSA)")
}
