//! The keys of a relay: those of files, and those of the sets of identity providers.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tracing::{info, warn};

use super::http_client::Client;
use super::jwks::{Jwks, JwksSource};
use super::key::{Key, read_keys};
use super::signature;

/// The keys of a relay; a token that any of them verifies is good.
pub(crate) struct KeyRing {
    secret_files: Vec<PathBuf>,
    key_files: Vec<PathBuf>,
    /// The keys of the files.
    keys: RwLock<Arc<[Key]>>,
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
        let client = Client::new(is_https, authorities.filter(|_| is_https), 1)?;
        let sets = sources.iter().map(|source| Jwks::open(source, &client)).collect::<anyhow::Result<_>>()?;
        Ok(Self { secret_files, key_files, keys, sets })
    }

    /// Reads the files again. A key that is in none any more is taken back. If one of the files cannot be used, the log says
    /// why, and the previous keys stay in use.
    pub(crate) fn reload(&self) {
        match read_keys(&self.secret_files, &self.key_files) {
            Ok(mut keys) => {
                info!(keys = keys.len(), "verifying tokens with the keys that were read again");
                let mut current = self.keys.write().unwrap_or_else(PoisonError::into_inner);
                take_back_those_that_are_gone(&current, &mut keys);
                *current = keys.into();
            }
            Err(error) => warn!(error = %format_args!("{error:#}"), "keeping the old keys of tokens"),
        }
        self.sets.iter().for_each(Jwks::reload);
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
