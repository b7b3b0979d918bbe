//! Who may enter by the settings of a relay: tokens are looked at first, then a webhook or the program that embeds the
//! relay is asked.

use std::sync::Arc;

pub(crate) use super::keys::KeyRing;
use super::token::Tokens;
use super::webhook::Webhook;
use super::{Answer, Authorizer, JoinRequest, Open};
use crate::config::Config;

/// Asks for a token, and then who else decides.
struct Door {
    tokens: Tokens,
    next: Arc<dyn Authorizer>,
}

impl Authorizer for Door {
    fn authorize(&self, request: &JoinRequest) -> Answer {
        let bearer = match self.tokens.check(request) {
            Ok(bearer) => bearer,
            Err(denial) => return Answer::Now(Err(denial)),
        };
        match self.next.authorize(&bearer.request(request)) {
            Answer::Now(answer) => Answer::Now(answer.map(|grant| bearer.grant(grant))),
            Answer::Later(decision) => {
                Answer::Later(Box::pin(async { decision.await.map(|grant| bearer.grant(grant)) }))
            }
        }
    }
}

/// Who decides on joins, and the keys of tokens, if there are any.
pub(crate) type Opened = (Arc<dyn Authorizer>, Option<Arc<KeyRing>>);

/// Who decides on joins by `config` and by `own`, the authorizer of the program that embeds the relay; and the keys of
/// tokens, if there are any.
///
/// # Errors
/// When a file with a key, or the authority of the webhook, cannot be used.
pub(crate) fn open(config: &Config, own: Option<Arc<dyn Authorizer>>) -> anyhow::Result<Opened> {
    let next: Arc<dyn Authorizer> = match (&config.auth_url, own) {
        (_, Some(own)) => own,
        (Some(url), None) => Arc::new(Webhook::new(url, config.auth_ca.as_deref())?),
        (None, None) => Arc::new(Open),
    };
    if config.token_secret_file.is_empty() && config.token_key_file.is_empty() {
        return Ok((next, None));
    }
    let keys = Arc::new(KeyRing::open(&config.token_secret_file, &config.token_key_file)?);
    Ok((Arc::new(Door { tokens: Tokens::new(Arc::clone(&keys)), next }), Some(keys)))
}
