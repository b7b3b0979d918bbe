//! What all sessions of a relay share.

use std::fmt;
use std::sync::Arc;

use tokio::time::timeout;

use super::observer::{Observer, RelayEvent};
use super::resume::Places;
use crate::auth::{Answer, Authorizer, Denial, JoinRequest};
use crate::contain;
use crate::limits::AUTHORIZE_DEADLINE;
use crate::room::{IceServers, Rooms};

/// What all sessions of a relay share.
pub(crate) struct Context {
    /// The rooms and their members.
    pub rooms: Arc<Rooms>,
    /// The places that survive a lost connection.
    pub places: Arc<Places>,
    /// Decides who may join.
    pub authorizer: Arc<dyn Authorizer>,
    /// The STUN and TURN servers for clients whose [`Grant`](crate::auth::Grant) names none.
    pub ice_servers: IceServers,
    /// Gets the relay's events.
    pub observer: Option<Observer>,
}

impl Context {
    /// Asks the authorizer whether a client may join. A pending answer becomes `unavailable` after
    /// [`AUTHORIZE_DEADLINE`].
    pub(crate) fn authorize(&self, request: &JoinRequest) -> Answer {
        match self.authorizer.authorize(request) {
            Answer::Now(answer) => Answer::Now(answer),
            Answer::Later(decision) => Answer::Later(Box::pin(async {
                let late = || Denial::Unavailable("the decision on this join took too long".into());
                timeout(AUTHORIZE_DEADLINE, decision).await.unwrap_or_else(|_| Err(late()))
            })),
        }
    }
}

impl Context {
    /// Sends an event to the observer, if there is one. A panic of the observer ends here: a session also sends events
    /// while it is dropped because of another panic, and a second panic would abort the process.
    pub(crate) fn observe(&self, event: impl FnOnce() -> RelayEvent) {
        if let Some(observer) = &self.observer {
            contain::call("the observer", || observer(&event()));
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("rooms", &self.rooms.len()).finish_non_exhaustive()
    }
}
