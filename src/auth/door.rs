//! Who may enter by the settings of a relay: tokens are looked at first, then a webhook or the program that embeds the
//! relay is asked.

use std::sync::Arc;

pub(crate) use super::keys::KeyRing;
use super::token::{Bearer, Fault, Rules, Tokens};
use super::webhook::Webhook;
use super::{Answer, Authorizer, JoinRequest, Open};
use crate::config::Config;

/// Asks for a token, and then who else decides.
#[derive(Clone)]
struct Door {
    tokens: Arc<Tokens>,
    next: Arc<dyn Authorizer>,
}

impl Authorizer for Door {
    fn authorize(&self, request: &JoinRequest) -> Answer {
        match self.tokens.check(request) {
            Ok(bearer) => self.ask_next(bearer, request),
            Err(Fault::Denied(denial)) => Answer::Now(Err(denial)),
            Err(Fault::UnknownKey) => {
                let (door, request) = (self.clone(), request.clone());
                Answer::Later(Box::pin(async move {
                    let bearer = door.tokens.check_with_new_keys(&request).await?;
                    match door.ask_next(bearer, &request) {
                        Answer::Now(answer) => answer,
                        Answer::Later(decision) => decision.await,
                    }
                }))
            }
        }
    }
}

impl Door {
    /// Asks who else decides about the bearer of a token.
    fn ask_next(&self, bearer: Bearer, request: &JoinRequest) -> Answer {
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
    if !config.needs_tokens() {
        return Ok((next, None));
    }
    let keys = Arc::new(KeyRing::open(config)?);
    let tokens = Arc::new(Tokens::new(Arc::clone(&keys), Rules::new(config)));
    Ok((Arc::new(Door { tokens, next }), Some(keys)))
}
