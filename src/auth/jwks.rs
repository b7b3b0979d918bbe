//! The public keys of an identity provider, as a JSON Web Key Set (RFC 7517), from a file or from its URL.
//!
//! A set is fetched when a token names a key that is not in it, and now and then; never more than once in
//! [`JWKS_REFETCH`](limits::JWKS_REFETCH), and on the way of no message but a join that needs it. When the provider does
//! not answer, the keys that are known go on.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::{Context, ensure};
use data_encoding::BASE64URL_NOPAD;
use http_body_util::Full;
use hyper::header::{ACCEPT, USER_AGENT};
use hyper::{Request, Uri};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use super::key::Key;
use crate::http_client::{self, Client, is_of_this_machine};
use crate::limits;
use crate::net::certificate::read_file;

/// Where a key set is: a file, an https URL, or an http URL on this machine.
#[derive(Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// A file, which SIGHUP reads again.
    File(PathBuf),
    /// A URL.
    Url(JwksUrl),
}

/// The URL of a key set.
#[derive(Clone, PartialEq, Eq)]
pub struct JwksUrl(Uri);

/// Why a text names no key set. Its text is a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JwksSourceError {
    /// It is empty.
    #[error("it is empty, and must be a file or a URL such as https://login.example/jwks.json")]
    Empty,
    /// It is no URL that the relay can ask.
    #[error("it is no valid URL; a user or a password before the host is not sent")]
    Url,
    /// It is an http URL of another machine: whoever is on the way could let everybody in.
    #[error("http is only for this machine (localhost): use https")]
    Plain,
}

impl FromStr for JwksSource {
    type Err = JwksSourceError;

    fn from_str(text: &str) -> Result<Self, JwksSourceError> {
        if text.is_empty() {
            return Err(JwksSourceError::Empty);
        }
        if !text.contains("://") {
            return Ok(Self::File(text.into()));
        }
        let uri: Uri = text.parse().map_err(|_| JwksSourceError::Url)?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        authority.filter(|authority| !authority.host().is_empty()).ok_or(JwksSourceError::Url)?;
        match uri.scheme_str() {
            Some("https") => Ok(Self::Url(JwksUrl(uri))),
            Some("http") if is_of_this_machine(&uri) => Ok(Self::Url(JwksUrl(uri))),
            Some("http") => Err(JwksSourceError::Plain),
            _ => Err(JwksSourceError::Url),
        }
    }
}

impl JwksSource {
    /// Whether the relay reaches it by TLS.
    pub fn is_https(&self) -> bool {
        matches!(self, Self::Url(JwksUrl(url)) if url.scheme_str() == Some("https"))
    }
}

impl fmt::Debug for JwksSource {
    /// Without the query, which may have a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

impl fmt::Debug for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, authority) = (self.0.scheme_str().unwrap_or_default(), self.0.authority());
        write!(f, "{scheme}://{}{}", authority.map_or("", |authority| authority.as_str()), self.0.path())
    }
}

/// A key set, and the keys of it that are known.
pub(super) struct Jwks {
    source: JwksSource,
    client: Client,
    keys: RwLock<Arc<[Key]>>,
    /// When it was last tried to read the set. Whoever tries holds the lock, and the others wait for the outcome.
    tried: tokio::sync::Mutex<Option<Instant>>,
    outcome: Mutex<Outcome>,
    /// Held while the set of a file is read, so that what was read later is what stays.
    reading: Mutex<()>,
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// Nothing was read yet.
    None,
    /// It was read at that moment.
    Good(Instant),
    /// The last attempt failed.
    Bad,
}

impl Jwks {
    /// The key set of `source`. A file is read now, a URL soon.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(super) fn open(source: &JwksSource, client: &Client) -> anyhow::Result<Arc<Self>> {
        let jwks = Arc::new(Self {
            source: source.clone(),
            client: client.clone(),
            keys: RwLock::new(Arc::new([])),
            tried: tokio::sync::Mutex::new(None),
            outcome: Mutex::new(Outcome::None),
            reading: Mutex::default(),
        });
        match source {
            JwksSource::File(path) => jwks.learn_file(path)?,
            // Without a runtime, the first join asks.
            JwksSource::Url(_) => jwks.refresh_soon(),
        }
        Ok(jwks)
    }

    /// The keys that are known.
    pub(super) fn keys(&self) -> Arc<[Key]> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the set again, unless that was tried a moment ago; returns when it is done. It goes on if the caller gives up:
    /// otherwise who hangs up could keep the relay from learning a key.
    pub(super) async fn refresh(self: &Arc<Self>) {
        if self.tried.try_lock().is_ok_and(|tried| !is_due(*tried)) {
            return;
        }
        let this = Arc::clone(self);
        // It ends with the runtime at the latest.
        let _ = tokio::spawn(async move { this.refresh_now().await }).await;
    }

    /// Begins to read the set again if that was not done for [`JWKS_AGE`](limits::JWKS_AGE): a provider takes keys back.
    pub(super) fn refresh_if_old(self: &Arc<Self>) {
        let outcome = *self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = match outcome {
            Outcome::Good(at) => at.elapsed() >= limits::JWKS_AGE,
            Outcome::Bad | Outcome::None => self.tried.try_lock().is_ok_and(|tried| is_due(*tried)),
        };
        if is_old && matches!(self.source, JwksSource::Url(_)) {
            self.refresh_soon();
        }
    }

    /// Begins to read the set, if there is a runtime.
    pub(super) fn refresh_soon(self: &Arc<Self>) {
        let this = Arc::clone(self);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { this.refresh_now().await });
        }
    }

    /// Reads the set of a file at once, and begins to read that of a URL: on SIGHUP.
    pub(super) fn reload(self: &Arc<Self>) {
        match &self.source {
            JwksSource::File(path) => self.settle(self.learn_file(path)),
            JwksSource::Url(_) => self.refresh_when_due(),
        }
    }

    fn learn_file(&self, path: &Path) -> anyhow::Result<()> {
        let _one_at_a_time = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.take_over(read_key_set(path)?);
        Ok(())
    }

    /// Reads the set as soon as that may be done again, if there is a runtime.
    fn refresh_when_due(self: &Arc<Self>) {
        let this = Arc::clone(self);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let due = this.tried.lock().await.map(|tried| tried + limits::JWKS_REFETCH);
                if let Some(due) = due {
                    sleep_until(due).await;
                }
                this.refresh_now().await;
            });
        }
    }

    async fn refresh_now(self: &Arc<Self>) {
        let mut tried = self.tried.lock().await;
        if !is_due(*tried) {
            return;
        }
        *tried = Some(Instant::now());
        let read = timeout(limits::JWKS_DEADLINE, self.read()).await;
        self.settle(read.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time"))));
    }

    /// Reads the set, and takes over its keys.
    async fn read(self: &Arc<Self>) -> anyhow::Result<()> {
        match &self.source {
            JwksSource::File(path) => {
                let (this, path) = (Arc::clone(self), path.clone());
                spawn_blocking(move || this.learn_file(&path)).await?
            }
            JwksSource::Url(JwksUrl(url)) => {
                let get = Request::builder()
                    .uri(url.clone())
                    .header(ACCEPT, "application/jwk-set+json, application/json")
                    .header(USER_AGENT, http_client::USER_AGENT)
                    .body(Full::default())?;
                let content = self.client.ask(get, limits::JWKS_BYTES).await?;
                self.take_over(parse(&content).with_context(|| format!("{:?}", self.source))?);
                Ok(())
            }
        }
    }

    fn take_over(&self, keys: Vec<Key>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Outcome::Good(Instant::now());
    }

    /// Says in the log what has become of an attempt, if that is news.
    fn settle(&self, learned: anyhow::Result<()>) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).len();
        match learned {
            Ok(()) => info!(source = ?self.source, keys, "read the keys of tokens"),
            Err(error) => {
                *outcome = Outcome::Bad;
                let error = format!("{error:#}");
                warn!(source = ?self.source, %error, keys, "cannot read the keys of tokens: those that are known go on");
            }
        }
    }
}

/// The keys in the file of a set.
///
/// # Errors
/// When the file cannot be used.
pub(crate) fn read_key_set(path: &Path) -> anyhow::Result<Vec<Key>> {
    let read = || {
        let content = read_file(path).with_context(|| format!("cannot read {}", path.display()))?;
        parse(&content).with_context(|| path.display().to_string())
    };
    read().context("--token-jwks")
}

fn is_due(tried: Option<Instant>) -> bool {
    tried.is_none_or(|tried| tried.elapsed() >= limits::JWKS_REFETCH)
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

/// A key of a set, as far as the relay needs it.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a set that can verify tokens. Sets have others as well, which are left out: for encryption, of other kinds,
/// and secrets (`oct`), which no set that others can read may have.
fn parse(content: &[u8]) -> anyhow::Result<Vec<Key>> {
    // The text of a JSON error repeats nothing but numbers and names of types.
    let set: Set = serde_json::from_slice(content).context("is no JSON Web Key Set")?;
    let (count, most) = (set.keys.len(), limits::JWKS_KEYS);
    ensure!(count <= most, "has {count} keys, and may have {most}");
    let keys: Vec<Key> = set.keys.into_iter().filter_map(|key| usable(serde_json::from_value(key).ok()?)).collect();
    ensure!(!keys.is_empty(), "has no key that can verify tokens: RSA of 2048 to 8192 bits, P-256 or Ed25519");
    Ok(keys)
}

fn usable(jwk: Jwk) -> Option<Key> {
    let verifies = jwk.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
        && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|one| one == "verify"));
    let bytes = |text: &Option<String>| BASE64URL_NOPAD.decode(text.as_ref()?.as_bytes()).ok();
    let (algorithm, names, key): (_, &[&str], _) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => (Algorithm::RS256, &["RS256"], rsa_key(&bytes(&jwk.n)?, &bytes(&jwk.e)?)?),
        ("EC", Some("P-256")) => (Algorithm::ES256, &["ES256"], p256_key(&bytes(&jwk.x)?, &bytes(&jwk.y)?)?),
        ("OKP", Some("Ed25519")) => {
            let point = bytes(&jwk.x).filter(|point| point.len() == 32)?;
            (Algorithm::EdDSA, &["EdDSA", "Ed25519"], DecodingKey::from_ed_der(&point))
        }
        _ => return None,
    };
    let is_for_algorithm = jwk.alg.as_deref().is_none_or(|name| names.contains(&name));
    (verifies && is_for_algorithm).then(|| Key { algorithm, key, id: jwk.kid.map(Into::into), state: None })
}

/// The uncompressed point (SEC 1).
fn p256_key(x: &[u8], y: &[u8]) -> Option<DecodingKey> {
    (x.len() == 32 && y.len() == 32).then(|| DecodingKey::from_ec_der(&[&[4][..], x, y].concat()))
}

/// An RSAPublicKey (RFC 8017 appendix A.1.1) in DER.
fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Option<DecodingKey> {
    let modulus = without_zeros(modulus);
    let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
    if !limits::RSA_BITS.contains(&bits) {
        return None;
    }
    let integers = [der_integer(modulus), der_integer(without_zeros(exponent))].concat();
    Some(DecodingKey::from_rsa_der(&der(0x30, &integers)))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    number.get(number.iter().take_while(|byte| **byte == 0).count()..).unwrap_or_default()
}

fn der_integer(number: &[u8]) -> Vec<u8> {
    // Without a zero before it, the highest bit would be a sign.
    let sign: &[u8] = if number.first().is_none_or(|first| *first >= 0x80) { &[0] } else { &[] };
    der(2, &[sign, number].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = without_zeros(&length);
    let header = match content.len() {
        0..0x80 => vec![tag, content.len() as u8],
        _ => [&[tag, 0x80 | length.len() as u8][..], length].concat(),
    };
    [&header[..], content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_set_is_a_file_or_a_url_that_nobody_on_the_way_can_change() {
        assert_eq!("keys.json".parse(), Ok(JwksSource::File("keys.json".into())));
        for url in ["https://login.example/keys", "http://localhost:3000/jwks", "http://127.0.0.1/", "http://[::1]:1/x"]
        {
            assert!(matches!(url.parse(), Ok(JwksSource::Url(_))), "{url}");
        }
        for (text, error) in [
            ("", JwksSourceError::Empty),
            ("http://login.example/keys", JwksSourceError::Plain),
            ("http://localhost.evil.example/", JwksSourceError::Plain),
            ("http://10.0.0.1/", JwksSourceError::Plain),
            ("https://me:pass@login.example/", JwksSourceError::Url),
            ("ftp://login.example/", JwksSourceError::Url),
            ("https://", JwksSourceError::Url),
        ] {
            assert_eq!(text.parse::<JwksSource>(), Err(error), "{text}");
        }
        let shown = format!("{:?}", "https://login.example/keys?key=k".parse::<JwksSource>().unwrap());
        assert_eq!(shown, "https://login.example/keys");
    }

    fn rsa(bytes: usize) -> String {
        BASE64URL_NOPAD.encode(&vec![0xc1; bytes])
    }

    #[test]
    fn only_keys_that_can_verify_tokens_are_taken() {
        let point = BASE64URL_NOPAD.encode(&[7; 32]);
        let set = |key: serde_json::Value| parse(serde_json::json!({ "keys": [key] }).to_string().as_bytes());
        let rsa_key = |more: serde_json::Value| {
            let mut key = serde_json::json!({"kty": "RSA", "n": rsa(256), "e": "AQAB"});
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            key
        };
        for (key, algorithm) in [
            (rsa_key(serde_json::json!({"kid": "1", "use": "sig", "alg": "RS256"})), Algorithm::RS256),
            (rsa_key(serde_json::json!({"key_ops": ["verify"], "x5c": ["..."]})), Algorithm::RS256),
            (serde_json::json!({"kty": "EC", "crv": "P-256", "x": point, "y": point}), Algorithm::ES256),
            (serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": point, "alg": "EdDSA"}), Algorithm::EdDSA),
        ] {
            let keys = set(key.clone()).unwrap_or_else(|error| panic!("{key}: {error}"));
            assert_eq!(keys[0].algorithm, algorithm);
        }
        for key in [
            serde_json::json!({"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}),
            serde_json::json!({"kty": "oct", "alg": "HS256", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}),
            rsa_key(serde_json::json!({"use": "enc"})),
            rsa_key(serde_json::json!({"alg": "RSA-OAEP"})),
            rsa_key(serde_json::json!({"alg": "HS256"})),
            rsa_key(serde_json::json!({"key_ops": ["encrypt"]})),
            serde_json::json!({"kty": "RSA", "n": rsa(128), "e": "AQAB"}),
            serde_json::json!({"kty": "RSA", "n": rsa(2048), "e": "AQAB"}),
            serde_json::json!({"kty": "RSA", "n": "!", "e": "AQAB"}),
            serde_json::json!({"kty": "EC", "crv": "P-384", "x": point, "y": point}),
            serde_json::json!({"kty": "EC", "crv": "P-256", "x": point}),
            serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
            serde_json::json!({"kty": 5}),
            serde_json::json!(5),
        ] {
            assert!(set(key.clone()).is_err(), "{key}");
        }
        // What cannot be used is no fault of the others.
        let mixed = serde_json::json!({"keys": [{"kty": "oct", "k": "AA"}, 5, rsa_key(serde_json::json!({}))]});
        assert_eq!(parse(mixed.to_string().as_bytes()).unwrap().len(), 1);
        let many = serde_json::json!({"keys": vec![rsa_key(serde_json::json!({})); limits::JWKS_KEYS + 1]});
        assert!(parse(many.to_string().as_bytes()).is_err());
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]}"#] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
