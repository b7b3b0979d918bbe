//! Credentials of TURN servers that are made for one client and run out: the user name is the time when they do, in seconds
//! since 1970, a colon and the client's id, and the password is the HMAC-SHA1 of that in base64, with a secret that the relay
//! and the TURN server share. coturn calls it `use-auth-secret`; it was described as "A REST API For Access To TURN Services"
//! (draft-uberti-behave-turn-rest).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use data_encoding::BASE64;
use ring::hmac;
use serde::Serialize;
use tracing::{info, warn};

use super::TurnUrl;
use crate::limits::TURN_SECRET_BYTES;
use crate::net::read;

/// Makes the credentials of TURN servers.
pub(crate) struct TurnSigner {
    urls: Vec<TurnUrl>,
    ttl: Duration,
    /// The files with the secrets; the first one signs.
    files: Vec<PathBuf>,
    key: RwLock<hmac::Key>,
}

/// TURN servers with the credentials of one client.
#[derive(Serialize)]
pub(super) struct TurnServer<'a> {
    urls: Vec<&'a str>,
    username: String,
    credential: String,
}

impl TurnSigner {
    /// Signs for the servers at `urls` with the secret in the first of `files`; what it signs is good for `ttl`.
    ///
    /// # Errors
    /// When one of the files cannot be used, or others can read it.
    pub(crate) fn open(urls: Vec<TurnUrl>, files: Vec<PathBuf>, ttl: Duration) -> anyhow::Result<Self> {
        let key = RwLock::new(first_key(&files)?);
        Ok(Self { urls, ttl, files, key })
    }

    /// Reads the files again. If one of them cannot be used, the log says why, and the old secret goes on.
    pub(super) fn reload(&self) {
        match first_key(&self.files) {
            Ok(key) => {
                *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
                info!("signing the credentials of TURN servers with the secret that was read again");
            }
            Err(error) => warn!(error = %format_args!("{error:#}"), "keeping the old secret of TURN servers"),
        }
    }

    /// The servers, with credentials for the client with this id.
    pub(super) fn server_for(&self, id: &str) -> TurnServer<'_> {
        self.server_at(id, SystemTime::now())
    }

    fn server_at(&self, id: &str, now: SystemTime) -> TurnServer<'_> {
        // A clock before 1970 makes credentials that no server takes, as any clock that is wrong by more than their time.
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        // The seconds are whole: the last one begins after the time that the client is told.
        let until = (now + self.ttl).as_secs() + 1;
        let username = format!("{until}:{id}");
        let key = self.key.read().unwrap_or_else(PoisonError::into_inner);
        let credential = BASE64.encode(hmac::sign(&key, username.as_bytes()).as_ref());
        TurnServer { urls: self.urls.iter().map(TurnUrl::as_str).collect(), username, credential }
    }

    /// For how many milliseconds its credentials are good.
    pub(super) fn ttl_ms(&self) -> u64 {
        self.ttl.as_millis() as u64
    }

    /// The most bytes of JSON for one client.
    pub(super) fn most_bytes(&self) -> usize {
        // An id of 64 characters, the time of up to 20, the credential of 28, the names of the fields, and punctuation.
        const OF_ONE_CLIENT: usize = 192;
        // URLs have no character that JSON escapes.
        self.urls.iter().map(|url| url.as_str().len() + r#""","#.len()).sum::<usize>() + OF_ONE_CLIENT
    }
}

/// The key made of the secret in the first of the files; the others are looked at too, so that a mistake shows at once.
fn first_key(files: &[PathBuf]) -> anyhow::Result<hmac::Key> {
    let secrets = files.iter().map(|file| read_secret(file)).collect::<anyhow::Result<Vec<_>>>()?;
    let first = secrets.first().context("--turn-secret-file is missing")?;
    Ok(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, first))
}

/// The secret in a file of `--turn-secret-file`, without the white space around it.
///
/// # Errors
/// When the file cannot be used, or others can read it.
pub(crate) fn read_secret(file: &Path) -> anyhow::Result<Vec<u8>> {
    let read = || {
        let secret = read::secret(file)?;
        ensure!(!secret.is_empty(), "{} has no secret", file.display());
        if secret.len() < TURN_SECRET_BYTES {
            warn!(
                file = %file.display(),
                "the secret of the TURN server has {} bytes: whoever is told credentials may find it out by trying; make a \
                 longer one with `openssl rand -hex 32`, for the relay and the TURN server",
                secret.len()
            );
        }
        Ok(secret)
    };
    read().context("--turn-secret-file")
}

impl fmt::Debug for TurnSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnSigner").field("urls", &self.urls).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

impl fmt::Debug for TurnServer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnServer").field("urls", &self.urls).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ice::IceServers;

    fn own_file(folder: &Path, name: &str, content: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    fn signer(secret: &str) -> (tempfile::TempDir, TurnSigner) {
        let folder = tempfile::tempdir().unwrap();
        let file = own_file(folder.path(), "secret", secret);
        let urls = vec!["turn:turn.example:3478".parse().unwrap(), "turns:turn.example:5349".parse().unwrap()];
        let signer = TurnSigner::open(urls, vec![file], Duration::from_secs(3600)).unwrap();
        (folder, signer)
    }

    #[test]
    fn a_credential_is_what_coturn_computes() {
        let (_folder, signer) = signer("  north\n");
        let server = signer.server_at("ana", UNIX_EPOCH + Duration::from_millis(1_700_000_000_500));
        assert_eq!(server.username, "1700003601:ana");
        // printf 1700003601:ana | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(server.credential, "vMRowDy59w6IAoGTnPJXs9cE6JI=");
        assert_eq!(server.urls, ["turn:turn.example:3478", "turns:turn.example:5349"]);
    }

    #[test]
    fn a_secret_is_read_again_and_a_wrong_file_changes_nothing() {
        let (folder, signer) = signer("first secret of the server");
        let of = |signer: &TurnSigner| signer.server_at("ana", UNIX_EPOCH).credential;
        let first = of(&signer);
        own_file(folder.path(), "secret", " \n");
        signer.reload();
        assert_eq!(of(&signer), first);
        own_file(folder.path(), "secret", "second secret of the server");
        signer.reload();
        assert_ne!(of(&signer), first);
    }

    #[test]
    fn nothing_that_is_printed_has_a_secret_and_no_client_is_told_more_than_was_counted() {
        let (_folder, signer) = signer("a secret that is long enough");
        let id = "x".repeat(64);
        let credential = signer.server_at(&id, SystemTime::now()).credential;
        let printed = format!("{signer:?} {:?}", signer.server_for(&id));
        assert!(!printed.contains("secret that") && !printed.contains(&credential), "{printed}");
        let list: IceServers = r#"[{"urls":"stun:stun.example"}]"#.parse().unwrap();
        let servers = list.and_signed(signer).unwrap();
        let told = serde_json::to_string(&servers.for_client(&id)).unwrap();
        let list = &told[told.find('[').unwrap()..=told.rfind(']').unwrap()];
        assert!(list.len() <= servers.bytes(), "{} of {}", list.len(), servers.bytes());
        assert!(told.ends_with(r#","ttlMs":3600000}"#), "{told}");
    }
}
