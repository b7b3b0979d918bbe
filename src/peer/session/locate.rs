//! A join whose room may live at another relay: the directory says where.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};

use tokio::time::{Instant, timeout};

use super::join::{Deciding, JoinRefusal};
use super::knock::Via;
use super::{Session, Stage};
use crate::auth::{Answer, Grant};
use crate::budget::Charge;
use crate::cluster::directory::Directory;
use crate::cluster::relays::{Neighbour, Place, Unknown};
use crate::limits::LOCATE_DEADLINE;
use crate::protocol::Join;
use crate::room::names::RoomName;
use crate::room::{Deferred, ErrorCode, JoinError, Refusal};

/// What a join needs until it is known where its room lives.
#[derive(Debug)]
pub(super) struct Search {
    directory: Arc<Directory>,
    /// The message, for the relay that has the room; none if the URL named the room.
    text: Option<Box<str>>,
    /// For how long the directory may still be asked.
    left: tokio::time::Duration,
    /// The memory of the message.
    _memory: Charge,
}

/// A join that waits for the directory.
pub(super) struct Locating {
    search: Box<Search>,
    since: Instant,
    wait: Pin<Box<dyn Future<Output = Place> + Send>>,
    next: Next,
}

/// What follows when the room lives at no other relay.
enum Next {
    /// The authorizer decides: where the room lives, and so only once.
    Decide(Box<Deciding>),
    /// It has decided, and the client enters.
    Enter(Box<(Join, Via, Grant)>),
}

/// A join whose room lives at another relay.
#[derive(Debug)]
pub(super) struct Elsewhere {
    /// That relay.
    pub(super) owner: Arc<Neighbour>,
    /// The room.
    pub(super) room: RoomName,
    /// By what the client asked to join.
    pub(super) via: Via,
    /// The message by which it did so.
    #[expect(dead_code, reason = "no relay hands it on yet")]
    pub(super) text: Option<Box<str>>,
}

impl fmt::Debug for Locating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locating").field("search", &self.search).finish_non_exhaustive()
    }
}

impl Session {
    /// What is needed to find the room of a join that came by this `text`; none if this relay is not one of several, or has the
    /// room and the authorizer has answered.
    pub(super) fn search(
        &self,
        room: &RoomName,
        text: Option<&str>,
        answer: &Answer,
    ) -> Result<Option<Box<Search>>, Refusal> {
        let Some(directory) = &self.hub.directory else { return Ok(None) };
        if self.hub.rooms.may_open(room) && matches!(answer, Answer::Now(_)) {
            return Ok(None);
        }
        let memory = self.outbox.sender().purse().charge(text.map_or(0, str::len));
        let _memory = memory.ok_or_else(|| Refusal::from(JoinError::NoMemory))?;
        let (directory, text) = (Arc::clone(directory), text.map(Into::into));
        Ok(Some(Box::new(Search { directory, text, left: LOCATE_DEADLINE, _memory })))
    }

    /// Waits for the authorizer, if the room lives here or nowhere.
    pub(super) fn await_decision(&mut self, mut deciding: Box<Deciding>) {
        let room = deciding.room().clone();
        match deciding.search.take_if(|_| !self.hub.rooms.may_open(&room)) {
            Some(search) => {
                let directory = Arc::clone(&search.directory);
                let looks = async move {
                    let place = directory.look(&room).await;
                    replace_if_dead(&directory, &room, place).await
                };
                self.locate(search, looks, Next::Decide(deciding));
            }
            None => self.stage = Stage::Deciding(deciding),
        }
    }

    /// Enters the room once it is known to live here.
    pub(super) fn claim(&mut self, search: Box<Search>, join: Join, via: Via, grant: Grant) {
        let (directory, room) = (Arc::clone(&search.directory), join.room.clone());
        let claims = async move {
            let place = directory.claim(&room).await;
            replace_if_dead(&directory, &room, place).await
        };
        self.locate(search, claims, Next::Enter(Box::new((join, via, grant))));
    }

    fn locate(&mut self, search: Box<Search>, asks: impl Future<Output = Place> + Send + 'static, next: Next) {
        let left = search.left;
        let wait = async move { timeout(left, asks).await.unwrap_or(Place::Unknown(Unknown::Away)) };
        self.stage = Stage::Locating(Box::new(Locating { search, since: Instant::now(), wait: Box::pin(wait), next }));
    }

    /// Goes on once it is known where the room lives. A refusal is only returned to a join by URL: others hear of it as an
    /// `error`.
    pub(super) fn poll_locating(
        &mut self,
        cx: &mut task::Context<'_>,
        deferred: &mut Deferred,
    ) -> Poll<Result<(), JoinRefusal>> {
        let Stage::Locating(locating) = &mut self.stage else { return Poll::Ready(Ok(())) };
        let place = ready!(locating.wait.as_mut().poll(cx));
        let Stage::Locating(locating) = mem::take(&mut self.stage) else { return Poll::Ready(Ok(())) };
        let Locating { mut search, since, next, .. } = *locating;
        search.left = search.left.saturating_sub(since.elapsed());
        let went_on = match (place, next) {
            (Place::Here(_) | Place::Nowhere, Next::Decide(mut deciding)) => {
                deciding.search = Some(search);
                self.stage = Stage::Deciding(deciding);
                Ok(())
            }
            // The name is this relay's for as long as somebody has `_ownership`, unless it is lost.
            (Place::Here(_ownership), Next::Enter(entering)) => {
                let (join, via, grant) = *entering;
                self.decide(join, via, None, Ok(grant), deferred)
            }
            (Place::At(owner), next) => {
                let (room, via) = next.into_parts();
                self.hand_over(Elsewhere { owner, room, via, text: search.text })
            }
            (Place::Nowhere, next) => self.refuse_for(Unknown::Away, next),
            (Place::Unknown(why), next) => self.refuse_for(why, next),
        };
        Poll::Ready(went_on)
    }

    fn refuse_for(&mut self, why: Unknown, next: Next) -> Result<(), JoinRefusal> {
        let (room, via) = next.into_parts();
        let refusal = Refusal::new(ErrorCode::Unavailable, why.to_string());
        Ok(self.refuse_join(via, &room, refusal)?)
    }

    /// Hands the client over to the relay that has the room. No relay does that yet.
    fn hand_over(&mut self, elsewhere: Elsewhere) -> Result<(), JoinRefusal> {
        let Elsewhere { owner, room, via, .. } = elsewhere;
        match via {
            Via::Url => Err(JoinRefusal::Elsewhere(owner)),
            via => Ok(self.refuse_join(via, &room, JoinRefusal::Elsewhere(owner).into())?),
        }
    }
}

impl Next {
    fn into_parts(self) -> (RoomName, Via) {
        match self {
            Self::Decide(deciding) => deciding.into_parts(),
            Self::Enter(entering) => {
                let (join, via, _) = *entering;
                (join.room, via)
            }
        }
    }
}

/// As long as relays cannot reach each other, the lease alone says whether one lives.
async fn replace_if_dead(directory: &Arc<Directory>, room: &RoomName, place: Place) -> Place {
    match place {
        Place::At(owner) => directory.replace(room, &owner).await,
        place => place,
    }
}

#[cfg(test)]
#[path = "locate_tests.rs"]
mod tests;
