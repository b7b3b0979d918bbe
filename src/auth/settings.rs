//! Who decides on joins by the settings of a relay: tokens are looked at first, then a webhook or the program that embeds
//! the relay is asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::jwks::JwksSource;
use super::keys::KeyRing;
use super::token::{Rules, Tokens};
use super::token_authorizer::TokenAuthorizer;
use super::webhook::{AuthUrl, Webhook};
use super::{Authorizer, Open};

/// The settings that say who decides on joins.
#[derive(Debug)]
pub(crate) struct AuthSettings<'a> {
    /// Files with a secret that signs tokens.
    pub token_secret_files: &'a [PathBuf],
    /// Files with a public key that verifies tokens.
    pub token_key_files: &'a [PathBuf],
    /// Key sets of identity providers.
    pub token_key_sets: &'a [JwksSource],
    /// What tokens must say.
    pub token_rules: Rules,
    /// The webhook.
    pub webhook: Option<&'a AuthUrl>,
    /// The file with the certificate authorities of the webhook and the key sets; without one, they are the system's.
    pub authorities: Option<&'a Path>,
}

/// Who decides on joins, and the keys of tokens, if there are any.
pub(crate) type Opened = (Arc<dyn Authorizer>, Option<Arc<KeyRing>>);

impl AuthSettings<'_> {
    /// Who decides on joins by these settings and by `own`, the authorizer of the program that embeds the relay; and the
    /// keys of tokens, if there are any.
    ///
    /// # Errors
    /// When a file with a key, or an authority, cannot be used.
    pub(crate) fn open(self, own: Option<Arc<dyn Authorizer>>) -> anyhow::Result<Opened> {
        let next: Arc<dyn Authorizer> = match (self.webhook, own) {
            (_, Some(own)) => own,
            (Some(url), None) => Arc::new(Webhook::new(url, self.authorities)?),
            (None, None) => Arc::new(Open),
        };
        if self.token_secret_files.is_empty() && self.token_key_files.is_empty() && self.token_key_sets.is_empty() {
            return Ok((next, None));
        }
        let (secret_files, key_files) = (self.token_secret_files.to_vec(), self.token_key_files.to_vec());
        let keys = Arc::new(KeyRing::open(secret_files, key_files, self.token_key_sets, self.authorities)?);
        let tokens = Arc::new(Tokens::new(Arc::clone(&keys), self.token_rules));
        Ok((Arc::new(TokenAuthorizer { tokens, next }), Some(keys)))
    }
}
