//! A join whose room may live at another relay: the directory says where.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};

use tokio::time::Instant;

use super::join::{Asked, Deciding, JoinRefusal};
use super::knock::Via;
use super::search::{Search, refusal_of};
use super::{Session, Stage};
use crate::auth::{Answer, Grant};
use crate::cluster::door::{Failure, Guest};
use crate::cluster::relays::{Place, ProcessId, Unknown};
use crate::cluster::way::{Found, Goal, Seeker};
use crate::limits::LOCATE_DEADLINE;
use crate::outbox::{CloseRequest, frame};
use crate::peer::handover::Handover;
use crate::peer::resume::resume_failed;
use crate::protocol::Join;
use crate::room::names::RoomName;
use crate::room::{Deferred, ErrorCode, JoinError, Refusal};
use crate::secret::Secret;

/// A join that waits for the directory.
pub(super) struct Locating {
    search: Box<Search>,
    since: Instant,
    wait: Pin<Box<dyn Future<Output = Found> + Send>>,
    next: Next,
}

/// What follows when the room lives at no other relay.
enum Next {
    /// The authorizer decides: where the room lives, and so only once.
    Decide(Box<Deciding>),
    /// It has decided, and the client enters.
    Enter(Box<(Join, Via, Grant)>),
    /// The client, whose message had this `ref`, hears that its place is gone.
    Resume(Option<String>),
}

impl fmt::Debug for Locating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locating").field("search", &self.search).finish_non_exhaustive()
    }
}

impl Session {
    /// What is needed to find the room of a join that was `asked` for; none if this relay is not one of several, or has the room
    /// and the authorizer has answered.
    pub(super) fn search(
        &self,
        room: &RoomName,
        asked: Asked<'_>,
        answer: &Answer,
    ) -> Result<Option<Box<Search>>, Refusal> {
        let Some(directory) = &self.hub.directory else { return Ok(None) };
        if self.hub.rooms.may_open(room) && matches!(answer, Answer::Now(_)) {
            return Ok(None);
        }
        let (text, request) = match asked {
            Asked::Message(text) => (Some(text), None),
            Asked::Url(request) => (None, request.map(Arc::from)),
        };
        let memory = self.outbox.sender().purse().charge(text.map_or(0, str::len));
        let _memory = memory.ok_or_else(|| Refusal::from(JoinError::NoMemory))?;
        let (directory, text) = (Arc::clone(directory), text.map(Into::into));
        Ok(Some(Box::new(Search { directory, text, request, left: LOCATE_DEADLINE, _memory })))
    }

    /// Waits for the authorizer, if the room lives here or nowhere.
    pub(super) fn await_decision(&mut self, mut deciding: Box<Deciding>) {
        let room = deciding.room().clone();
        match deciding.search.take_if(|_| !self.hub.rooms.may_open(&room)) {
            Some(search) => {
                let seeker = self.seeker(&search, Goal::Look(room));
                self.locate(search, seeker, Next::Decide(deciding));
            }
            None => self.stage = Stage::Deciding(deciding),
        }
    }

    /// Enters the room once it is known to live here.
    pub(super) fn claim(&mut self, search: Box<Search>, join: Join, via: Via, grant: Grant) {
        let seeker = self.seeker(&search, Goal::Claim(join.room.clone()));
        self.locate(search, seeker, Next::Enter(Box::new((join, via, grant))));
    }

    /// The client, as it looks for its `goal`.
    fn seeker(&self, search: &Search, goal: Goal) -> Seeker {
        let said = self.upgrade.as_deref().map(|(said, _)| said.clone()).unwrap_or_default();
        let hops = self.hops.saturating_add(1);
        let asked = matches!(goal, Goal::Process(_)).then(Instant::now);
        let guest = Guest { ip: self.outbox.address(), origin: said.origin, named: said.named, hops, asked };
        let (directory, request) = (Arc::clone(&search.directory), search.request.clone());
        Seeker { directory, goal, guest, request, purse: Arc::clone(self.outbox.sender().purse()) }
    }

    fn locate(&mut self, search: Box<Search>, seeker: Seeker, next: Next) {
        let wait = Box::pin(seeker.search(search.left));
        self.stage = Stage::Locating(Box::new(Locating { search, since: Instant::now(), wait, next }));
    }

    /// Goes on once it is known where the room lives. A refusal is only returned to a join by URL: others hear of it as an
    /// `error`.
    pub(super) fn poll_locating(
        &mut self,
        cx: &mut task::Context<'_>,
        deferred: &mut Deferred,
    ) -> Poll<Result<(), JoinRefusal>> {
        let Stage::Locating(locating) = &mut self.stage else { return Poll::Ready(Ok(())) };
        let found = ready!(locating.wait.as_mut().poll(cx));
        let Stage::Locating(locating) = mem::take(&mut self.stage) else { return Poll::Ready(Ok(())) };
        let Locating { mut search, since, next, .. } = *locating;
        search.left = search.left.saturating_sub(since.elapsed());
        let place = match found {
            Found::Place(place) => place,
            elsewhere => return Poll::Ready(self.go_elsewhere(elsewhere, search.text, next)),
        };
        let went_on = match (place, next) {
            (Place::Here(_) | Place::Nowhere, Next::Decide(mut deciding)) => {
                deciding.search = Some(search);
                self.stage = Stage::Deciding(deciding);
                Ok(())
            }
            // The relay has let go of it since.
            (Place::Here(ownership), Next::Enter(entering)) if ownership.is_lost() => {
                let (join, via, grant) = *entering;
                self.claim(search, join, via, grant);
                Ok(())
            }
            // The name is this relay's for as long as somebody has `_ownership`, unless it is lost.
            (Place::Here(_ownership), Next::Enter(entering)) => {
                let (join, via, grant) = *entering;
                self.decide(join, via, None, Ok(grant), deferred)
            }
            (Place::At(_), next) => self.refuse_for(Unknown::OwnerAway, next),
            (Place::Here(_) | Place::Nowhere, next) => self.refuse_for(Unknown::Away, next),
            (Place::Unknown(why), next) => self.refuse_for(why, next),
        };
        Poll::Ready(went_on)
    }

    fn refuse_for(&mut self, why: Unknown, next: Next) -> Result<(), JoinRefusal> {
        self.refuse_next(next, Refusal::new(ErrorCode::Unavailable, why.to_string()))
    }

    fn refuse_next(&mut self, next: Next, refusal: Refusal) -> Result<(), JoinRefusal> {
        let (room, via) = match next {
            Next::Decide(deciding) => deciding.into_parts(),
            Next::Enter(entering) => {
                let (join, via, _) = *entering;
                (join.room, via)
            }
            Next::Resume(reference) => {
                self.refuse(&refusal, reference.as_deref());
                return Ok(());
            }
        };
        Ok(self.refuse_join(via, &room, refusal)?)
    }

    /// Goes to the relay that holds the place of this token, if that is another one; whether it is.
    ///
    /// # Errors
    /// When there is no memory for the message, which is `text`.
    pub(super) fn resume_elsewhere(
        &mut self,
        token: &Secret,
        text: &str,
        reference: Option<&str>,
    ) -> Result<bool, Refusal> {
        let Some(directory) = &self.hub.directory else { return Ok(false) };
        let process = ProcessId::of_token(token.reveal()).filter(|process| *process != directory.process());
        let Some(process) = process else { return Ok(false) };
        let memory = self.outbox.sender().purse().charge(text.len());
        let _memory = memory.ok_or_else(|| Refusal::from(JoinError::NoMemory))?;
        let (directory, text) = (Arc::clone(directory), Some(text.into()));
        let search = Box::new(Search { directory, text, request: None, left: LOCATE_DEADLINE, _memory });
        let seeker = self.seeker(&search, Goal::Process(process));
        self.locate(search, seeker, Next::Resume(reference.map(str::to_owned)));
        Ok(true)
    }

    /// Leaves the client to the relay that has the room, or tells it why that does not take it. What it has sent by a message is
    /// `text`.
    fn go_elsewhere(&mut self, found: Found, text: Option<Box<str>>, next: Next) -> Result<(), JoinRefusal> {
        let refusal = match found {
            Found::Tunnel(response, tunnel) => {
                let first = text.map(|text| frame::masked_text(&text)).unwrap_or_default();
                let is_resume = matches!(next, Next::Resume(_));
                let response = next.is_by_url().then_some(response);
                self.leave_to(Handover { tunnel, first, response, is_resume });
                return Ok(());
            }
            Found::Refused(answer) if next.is_by_url() => return Err(JoinRefusal::Answered(Box::new(answer))),
            Found::Refused(answer) => refusal_of(&answer),
            Found::Failed(Failure::NoMemory) => JoinError::NoMemory.into(),
            Found::Failed(failure) => Refusal::new(ErrorCode::Unavailable, format!("{failure}: try again in a moment")),
            Found::TooFar => {
                if !next.is_by_url() {
                    self.outbox.request_close(CloseRequest::RoomMoved);
                }
                let message = "you have come to this relay by too many others: connect again, and join then";
                Refusal::new(ErrorCode::Unavailable, message)
            }
            Found::Gone => {
                self.rate.charge_failed_join();
                resume_failed()
            }
            Found::Place(_) => Refusal::new(ErrorCode::Unavailable, Unknown::OwnerAway.to_string()),
        };
        self.refuse_next(next, refusal)
    }
}

impl Next {
    /// Whether the URL of the connection names the room.
    fn is_by_url(&self) -> bool {
        match self {
            Self::Decide(deciding) => matches!(deciding.via(), Via::Url),
            Self::Enter(entering) => matches!(entering.1, Via::Url),
            Self::Resume(_) => false,
        }
    }
}

#[cfg(test)]
#[path = "locate_tests.rs"]
mod tests;
