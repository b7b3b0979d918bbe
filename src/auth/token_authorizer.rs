//! Asks a client for a token before somebody else decides.

use std::sync::Arc;

use super::token::{Bearer, Fault, Tokens};
use super::{Answer, Authorizer, JoinRequest};

/// Asks for a token, and then who else decides.
#[derive(Clone)]
pub(super) struct TokenAuthorizer {
    /// What a token must be.
    pub(super) tokens: Arc<Tokens>,
    /// Who decides on those with a good token.
    pub(super) next: Arc<dyn Authorizer>,
}

impl Authorizer for TokenAuthorizer {
    fn authorize(&self, request: &JoinRequest) -> Answer {
        match self.tokens.check(request) {
            Ok(bearer) => self.ask_next(bearer, request),
            Err(Fault::Denied(denial)) => Answer::Now(Err(denial)),
            Err(Fault::UnknownKey) => {
                let (authorizer, request) = (self.clone(), request.clone());
                Answer::Later(Box::pin(async move {
                    let bearer = authorizer.tokens.check_with_new_keys(&request).await?;
                    match authorizer.ask_next(bearer, &request) {
                        Answer::Now(answer) => answer,
                        Answer::Later(decision) => decision.await,
                    }
                }))
            }
        }
    }
}

impl TokenAuthorizer {
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
