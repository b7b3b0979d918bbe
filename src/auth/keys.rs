//! The keys of a relay: those of files, and those of the sets of identity providers.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tracing::{info, warn};

use super::authorities::authorities_in;
use super::jwks::{Jwks, JwksSource};
use super::key::{Key, read_keys};
use super::signature;
use crate::http_client::Client;

/// The keys of a relay; a token that any of them verifies is good.
pub(crate) struct KeyRing {
    secret_files: Vec<PathBuf>,
    key_files: Vec<PathBuf>,
    /// The keys of the files.
    keys: RwLock<Arc<[Key]>>,
    /// Held while the files are read again, so that what was read later is what stays.
    reloading: Mutex<()>,
    /// The key sets.
    sets: Vec<Arc<Jwks>>,
}

impl KeyRing {
    /// The keys in the files of `--token-secret-file` and `--token-key-file`, and in the sets of `--token-jwks`.
    /// Servers of sets that are reached by https need a certificate of `authorities`, or of the system's.
    ///
    /// # Errors
    /// When a file cannot be used, or others can read the secret or write the key in it.
    pub(super) fn open(
        secret_files: Vec<PathBuf>,
        key_files: Vec<PathBuf>,
        sources: &[JwksSource],
        authorities: Option<&Path>,
    ) -> anyhow::Result<Self> {
        signature::install();
        let keys = RwLock::new(read_keys(&secret_files, &key_files)?.into());
        let is_https = sources.iter().any(JwksSource::is_https);
        let client = Client::new(is_https, authorities_in(authorities.filter(|_| is_https)), 1)?;
        let sets = sources.iter().map(|source| Jwks::open(source, &client)).collect::<anyhow::Result<_>>()?;
        Ok(Self { secret_files, key_files, keys, reloading: Mutex::default(), sets })
    }

    /// Reads the files again. A key that is in none any more is taken back. If one of the files cannot be used, the log says
    /// why, and the previous keys stay in use.
    pub(crate) fn reload(&self) {
        self.reload_files(|| read_keys(&self.secret_files, &self.key_files));
        self.sets.iter().for_each(Jwks::reload);
    }

    fn reload_files(&self, read: impl FnOnce() -> anyhow::Result<Vec<Key>>) {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        match read() {
            Ok(mut keys) => {
                info!(keys = keys.len(), "verifying tokens with the keys that were read again");
                let mut current = self.keys.write().unwrap_or_else(PoisonError::into_inner);
                take_back_those_that_are_gone(&current, &mut keys);
                *current = keys.into();
            }
            Err(error) => warn!(error = %format_args!("{error:#}"), "keeping the old keys of tokens"),
        }
    }

    /// The keys of now, of the files and of each set.
    pub(super) fn keys(&self) -> Vec<Arc<[Key]>> {
        self.sets.iter().for_each(Jwks::refresh_if_old);
        let of_files = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        std::iter::once(of_files).chain(self.sets.iter().map(|set| set.keys())).collect()
    }

    /// Whether a key that is not known may be in a set.
    pub(super) fn has_sets(&self) -> bool {
        !self.sets.is_empty()
    }

    /// Reads the sets again; returns when that is done, or was done a moment ago.
    pub(super) async fn refresh(&self) {
        for set in &self.sets {
            set.refresh().await;
        }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = (&self.secret_files, &self.key_files);
        f.debug_struct("KeyRing").field("files", &files).finish_non_exhaustive()
    }
}

/// Takes back the keys `before` that are not among those of `now`, where the others keep their states.
fn take_back_those_that_are_gone(before: &[Key], now: &mut [Key]) {
    for key in before {
        let mut same = now.iter_mut().filter(|other| other.is_same(key)).peekable();
        if let (None, Some(state)) = (same.peek(), &key.state) {
            state.take_back();
        }
        same.for_each(|other| other.state.clone_from(&key.state));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use jsonwebtoken::{Algorithm, DecodingKey};

    use super::*;
    use crate::auth::KeyState;

    fn keys(secret: &[u8]) -> anyhow::Result<Vec<Key>> {
        let (algorithm, key) = (Algorithm::HS256, DecodingKey::from_secret(secret));
        Ok(vec![Key { algorithm, key, id: None, state: Some(KeyState::default()) }])
    }

    #[test]
    fn of_two_reloads_at_once_the_one_that_reads_later_counts() {
        let ring = KeyRing::open(Vec::new(), Vec::new(), &[], None).unwrap();
        thread::scope(|scope| {
            ring.reload_files(|| {
                let (done, is_done) = channel();
                let ring = &ring;
                scope.spawn(move || {
                    ring.reload_files(|| keys(b"of now"));
                    let _ = done.send(());
                });
                // It would be done by then if it did not wait; if it does, this is how long the test takes.
                let _ = is_done.recv_timeout(Duration::from_millis(100));
                keys(b"of before")
            });
        });
        let current = ring.keys().remove(0);
        assert!(current.len() == 1 && current[0].is_same(&keys(b"of now").unwrap()[0]));
    }
}
