//! Asks a client for a token before somebody else decides.

use std::sync::Arc;

use super::token::Tokens;
use super::{Answer, Authorizer, JoinRequest};

/// Asks for a token, and then who else decides.
pub(super) struct TokenAuthorizer {
    /// What a token must be.
    pub(super) tokens: Tokens,
    /// Who decides on those with a good token.
    pub(super) next: Arc<dyn Authorizer>,
}

impl Authorizer for TokenAuthorizer {
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
