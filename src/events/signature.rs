//! The signature of a request, as Standard Webhooks has it (version 1.0.0, <https://www.standardwebhooks.com>): the HMAC-SHA256
//! of "id.timestamp.body", in base64.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::{Context, ensure};
use data_encoding::BASE64;
use ring::hmac;
use tracing::{info, warn};

use crate::limits::EVENTS_SECRET_BYTES;
use crate::net::read;

/// How a secret begins, if its maker says what it is.
const PREFIX: &[u8] = b"whsec_";

/// Signs with each of the secrets, so that an application may know the old one or the new one while it is changed.
#[derive(Debug)]
pub(super) struct Signer {
    files: Vec<PathBuf>,
    keys: RwLock<Arc<[hmac::Key]>>,
    /// Held while the files are read again, so that what was read later is what stays.
    reloading: Mutex<()>,
}

/// The secret in a file of `--events-secret-file`, as a key.
///
/// # Errors
/// When the file cannot be read, others can read or write it, or it has no such secret.
pub(crate) fn read_secret(file: &Path) -> anyhow::Result<hmac::Key> {
    let read = || {
        let text = read::secret(file)?;
        let path = file.display();
        let encoded = text.strip_prefix(PREFIX).unwrap_or(&text);
        let made = "make one with `echo whsec_$(openssl rand -base64 32)`";
        // Without the error, which repeats a part of the secret.
        let secret = BASE64.decode(encoded).ok();
        let secret =
            secret.with_context(|| format!("the secret in {path} is not base64, as libraries take it; {made}"))?;
        let (bytes, least, most) = (secret.len(), EVENTS_SECRET_BYTES.start(), EVENTS_SECRET_BYTES.end());
        ensure!(
            EVENTS_SECRET_BYTES.contains(&bytes),
            "the secret in {path} is the base64 of {bytes} bytes, and must be of {least} to {most}; {made}"
        );
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &secret))
    };
    read().context("--events-secret-file")
}

fn read_secrets(files: &[PathBuf]) -> anyhow::Result<Vec<hmac::Key>> {
    files.iter().map(|file| read_secret(file)).collect()
}

impl Signer {
    /// Signs with the secrets in these files.
    ///
    /// # Errors
    /// When one cannot be used.
    pub(super) fn open(files: Vec<PathBuf>) -> anyhow::Result<Self> {
        let keys = RwLock::new(read_secrets(&files)?.into());
        Ok(Self { files, keys, reloading: Mutex::default() })
    }

    /// Reads the files again. If one cannot be used, the log says why, and the old secrets stay. Returns whether there are any.
    pub(super) fn reload(&self) -> bool {
        if self.files.is_empty() {
            return false;
        }
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        match read_secrets(&self.files) {
            Ok(keys) => {
                info!(secrets = keys.len(), "signing events with the secrets that were read again");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
            }
            Err(error) => warn!(error = %format_args!("{error:#}"), "keeping the old secrets of events"),
        }
        true
    }

    /// The signatures of a request at this time, in seconds since 1970; none without secrets.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> Option<String> {
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let signature = |key: &hmac::Key| {
            let mut context = hmac::Context::with_key(key);
            context.update(format!("{id}.{timestamp}.").as_bytes());
            context.update(body);
            format!("v1,{}", BASE64.encode(context.sign().as_ref()))
        };
        let signatures: Vec<String> = keys.iter().map(signature).collect();
        (!signatures.is_empty()).then(|| signatures.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(secrets: &[&str]) -> Signer {
        let key = |secret: &&str| hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(secret.as_bytes()).unwrap());
        let keys: Vec<hmac::Key> = secrets.iter().map(key).collect();
        Signer { files: Vec::new(), keys: RwLock::new(keys.into()), reloading: Mutex::default() }
    }

    const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIME: u64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    /// The vector by which the libraries of Standard Webhooks are tested.
    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        let known = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signer(&[SECRET]).sign(ID, TIME, BODY).as_deref(), Some(known));
    }

    #[test]
    fn each_secret_signs_and_without_any_nothing_is_signed() {
        let other = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
        let [one, two] = [SECRET, other].map(|secret| signer(&[secret]).sign(ID, TIME, BODY).unwrap());
        assert_eq!(signer(&[SECRET, other]).sign(ID, TIME, BODY), Some(format!("{one} {two}")));
        assert_eq!(signer(&[]).sign(ID, TIME, BODY), None);
    }
}
