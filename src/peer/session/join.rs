//! How a session joins a room: by a message, or because the URL of its connection names the room.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::{self, Poll, ready};

#[cfg(feature = "cluster")]
use bytes::Bytes;
#[cfg(feature = "cluster")]
use hyper::Response;
use tokio::time::Instant;
use tracing::info;

use super::knock::{Knocking, Via};
use super::resume::Resumable;
use super::search::Search;
use super::{Session, Stage};
use crate::auth::{Answer, Decision, Denial, Grant, JoinRequest};
use crate::budget::Charge;
use crate::peer::handover::UrlRequest;
use crate::peer::observer::RelayEvent;
use crate::protocol::Join;
use crate::quota::OverLimit;
use crate::room::names::{PeerId, RoomName};
use crate::room::{Deferred, ErrorCode, JoinError, PendingMember, Refusal};
use crate::secret::Secret;

/// What the upgrade of a connection said, for the authorizer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UpgradeHeaders {
    /// The origin of the client's page.
    pub origin: Option<String>,
    /// The headers that the operator named, with their names in lower case.
    pub named: Vec<(String, Secret)>,
    /// When the client asked for its place that its first message is about, if it did so at another relay.
    pub asked: Option<Instant>,
}

impl UpgradeHeaders {
    /// The bytes of the texts.
    pub(crate) fn bytes(&self) -> usize {
        let named = self.named.iter().map(|(name, value)| name.len() + value.reveal().len());
        self.origin.as_ref().map_or(0, String::len) + named.sum::<usize>()
    }
}

/// A join that the authorizer decides on.
pub(super) struct Deciding {
    /// What the authorizer does not see of it: the room, its password, and whether the client wants to come back.
    join: Join,
    via: Via,
    /// What is needed if its room turns out to live at another relay.
    pub(super) search: Option<Box<Search>>,
    decision: Decision,
    /// The memory of what the authorizer sees.
    _memory: Charge,
}

/// Why a client cannot join.
#[derive(Debug, Clone)]
pub(crate) enum JoinRefusal {
    /// Its address has joined too often.
    OverLimit(OverLimit),
    /// The room lives at another relay, which has answered this.
    #[cfg(feature = "cluster")]
    Answered(Box<Response<Bytes>>),
    /// Another reason.
    Other(Refusal),
}

/// How a client asks to join: what another relay is told, if its room lives there.
pub(super) enum Asked<'a> {
    /// By this message.
    Message(&'a str),
    /// By the URL of its connection, with this request.
    Url(Option<Box<UrlRequest>>),
}

impl fmt::Debug for Deciding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deciding").field("room", &self.join.room).field("via", &self.via).finish_non_exhaustive()
    }
}

#[cfg(feature = "cluster")]
impl Deciding {
    /// The room.
    pub(super) fn room(&self) -> &RoomName {
        &self.join.room
    }

    /// By what the client asked to join.
    pub(super) fn via(&self) -> &Via {
        &self.via
    }

    /// The room, and by what the client asked to join. Nobody decides any more.
    pub(super) fn into_parts(self) -> (RoomName, Via) {
        (self.join.room, self.via)
    }
}

impl Session {
    /// Joins the room that the URL of the connection names, and waits for the decision on that. If the room is locked,
    /// the session knocks from then on. If it lives at another relay, `request` goes there, and the client is left to that.
    ///
    /// # Errors
    /// [`JoinRefusal`]: then nothing is queued for the client.
    pub(crate) async fn join_by_url(
        &mut self,
        join: Result<Join, Refusal>,
        request: Option<Box<UrlRequest>>,
    ) -> Result<(), JoinRefusal> {
        let room = room_of(&join);
        let joined = match join {
            Ok(join) => self.join_and_wait(join, request).await,
            Err(refusal) => Err(refusal.into()),
        };
        joined.inspect_err(|refusal| self.note_refused_join(&refusal.clone().into(), room.as_ref()))
    }

    async fn join_and_wait(&mut self, join: Join, request: Option<Box<UrlRequest>>) -> Result<(), JoinRefusal> {
        let mut deferred = Deferred::default();
        self.join(join, Via::Url, Asked::Url(request), &mut deferred)?;
        poll_fn(|cx| self.poll_join(cx, &mut deferred)).await
    }

    /// Joins because of a message, which is `text`.
    pub(super) fn join_by_message(
        &mut self,
        join: Result<Join, Refusal>,
        text: &str,
        reference: Option<&str>,
        deferred: &mut Deferred,
    ) -> Result<(), Refusal> {
        let (room, via) = (room_of(&join), Via::Message(reference.map(str::to_owned)));
        let joined =
            join.map_err(JoinRefusal::from).and_then(|join| self.join(join, via, Asked::Message(text), deferred));
        joined.map_err(Refusal::from).inspect_err(|refusal| self.note_refused_join(refusal, room.as_ref()))
    }

    /// Says in the log, and tells the observer, that the client was not let in.
    pub(super) fn note_refused_join(&self, refusal: &Refusal, room: Option<&RoomName>) {
        // A client that is in its room asks so whether the relay is still there, as `signaling.js` does.
        if refusal.code == ErrorCode::AlreadyJoined {
            return;
        }
        if self.may_log() {
            // What a client may have written comes last, quoted and escaped: programs that read the log stop before it.
            info!(
                connection = self.connection(),
                address = %self.address_for_log(),
                code = %refusal.code.as_str(),
                why = ?refusal.message,
                room = ?room.map_or("", RoomName::as_str),
                "refused a join"
            );
        }
        self.hub.observe(|| RelayEvent::JoinRefused {
            connection: self.connection(),
            address: self.outbox.address(),
            room: room.cloned(),
            code: refusal.code,
            message: refusal.message.clone().into_owned(),
        });
    }

    /// Asks whether the client may join, and then enters the room, or waits for the decision.
    fn join(&mut self, mut join: Join, via: Via, asked: Asked<'_>, deferred: &mut Deferred) -> Result<(), JoinRefusal> {
        self.check_is_idle()?;
        self.check_reads()?;
        self.take_join()?;
        let said = self.upgrade.as_deref().map(|(said, _)| said);
        let request = JoinRequest {
            room: join.room.clone(),
            #[cfg(feature = "wires")]
            wire: None,
            id: join.id.take(),
            name: join.name.take(),
            address: self.outbox.address(),
            origin: said.and_then(|said| said.origin.clone()),
            headers: said.map(|said| said.named.clone()).unwrap_or_default(),
            token: join.token.take(),
        };
        let answer = self.hub.authorize(&request);
        let search = self.search(&join.room, asked, &answer)?;
        match answer {
            Answer::Now(answer) => self.decide(join, via, search, answer, deferred)?,
            Answer::Later(decision) => {
                let token = request.token.as_ref().map_or(0, |token| token.reveal().len());
                let bytes = token + self.upgrade.as_deref().map_or(0, |(said, _)| said.bytes());
                let memory = self.outbox.sender().purse().charge(bytes);
                let _memory = memory.ok_or_else(|| Refusal::from(JoinError::NoMemory))?;
                self.await_decision(Box::new(Deciding { join, via, search, decision, _memory }));
            }
        }
        Ok(())
    }

    /// Counts a join of the client's address.
    pub(super) fn take_join(&self) -> Result<(), JoinRefusal> {
        self.rate.take_join().map_err(|over| {
            self.hub.metrics.refusals.add(over.number());
            over.into()
        })
    }

    /// Checks that what the client's earlier joins have queued for it leaves room for more: each queues a `joined` and perhaps
    /// a held offer, so a client that joins repeatedly must read them.
    pub(super) fn check_reads(&self) -> Result<(), Refusal> {
        if self.outbox.room_for_join() {
            return Ok(());
        }
        let message = "read the messages of your earlier joins first: then try again";
        Err(Refusal::new(ErrorCode::Unavailable, message))
    }

    /// Goes on with a join by message that waits; ready when the session may receive the next text.
    pub(super) fn poll_join_by_message(&mut self, cx: &mut task::Context<'_>, deferred: &mut Deferred) -> Poll<()> {
        // A join by URL is decided before anything is received, and others hear of a refusal as an `error`.
        let _ = ready!(self.poll_join(cx, deferred));
        if self.is_handed_over() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Goes on with a join that waits. A refusal is only returned to a join by URL: others hear of it as an `error`.
    pub(super) fn poll_join(
        &mut self,
        cx: &mut task::Context<'_>,
        deferred: &mut Deferred,
    ) -> Poll<Result<(), JoinRefusal>> {
        loop {
            match self.stage {
                Stage::Deciding(_) => ready!(self.poll_decision(cx, deferred))?,
                #[cfg(feature = "cluster")]
                Stage::Locating(_) => ready!(self.poll_locating(cx, deferred))?,
                _ => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Goes on once the authorizer has decided. A refusal is only returned to a join by URL: others hear of it as an
    /// `error`.
    fn poll_decision(&mut self, cx: &mut task::Context<'_>, deferred: &mut Deferred) -> Poll<Result<(), JoinRefusal>> {
        let Stage::Deciding(deciding) = &mut self.stage else { return Poll::Ready(Ok(())) };
        let answer = ready!(deciding.decision.as_mut().poll(cx));
        let Stage::Deciding(deciding) = mem::take(&mut self.stage) else { return Poll::Ready(Ok(())) };
        let Deciding { join, via, search, .. } = *deciding;
        Poll::Ready(self.decide(join, via, search, answer, deferred))
    }

    /// Enters the room if `answer` is a grant, or knocks if the room is locked; or finds out first where the room lives.
    pub(super) fn decide(
        &mut self,
        mut join: Join,
        via: Via,
        search: Option<Box<Search>>,
        answer: Result<Grant, Denial>,
        deferred: &mut Deferred,
    ) -> Result<(), JoinRefusal> {
        let answer = match (search, answer) {
            (Some(search), Ok(grant)) if !self.hub.rooms.may_open(&join.room) => {
                self.claim(search, join, via, grant);
                return Ok(());
            }
            (_, answer) => answer,
        };
        let entered = answer.map_err(Refusal::from).and_then(|grant| self.enter(&mut join, &via, grant, deferred));
        let Err(refusal) = entered else { return Ok(()) };
        if is_a_guess(refusal.code) {
            self.rate.charge_failed_join();
        }
        Ok(self.refuse_join(via, &join.room, refusal)?)
    }

    /// Refuses a join that has waited: a join by URL gets the refusal returned.
    pub(super) fn refuse_join(&self, via: Via, room: &RoomName, refusal: Refusal) -> Result<(), Refusal> {
        match via {
            Via::Message(reference) => {
                self.note_refused_join(&refusal, Some(room));
                self.refuse(&refusal, reference.as_deref());
                Ok(())
            }
            Via::Url => Err(refusal),
        }
    }

    fn enter(&mut self, join: &mut Join, via: &Via, grant: Grant, deferred: &mut Deferred) -> Result<(), Refusal> {
        let id = grant.id.map_or_else(PeerId::random, Ok).map_err(JoinError::from)?;
        let ice_servers = grant.ice_servers.unwrap_or_else(|| self.hub.ice_servers.clone());
        let resumptions = &self.hub.resumptions;
        let resumption = if join.resume { resumptions.open(&self.outbox, grant.way_back)? } else { None };
        let pending = PendingMember {
            id,
            is_identified: grant.is_identified,
            name: grant.name.clone(),
            role: grant.role,
            password: join.password.take(),
            address: self.outbox.address(),
            capacity: grant.capacity,
            ice_servers,
            resume: resumption.as_ref().map(|resumption| resumptions.offer(resumption)),
            spelling: join.spelling.take(),
            outbox: Arc::clone(&self.outbox),
        };
        let entered = self.hub.rooms.enter(&join.room, pending, deferred);
        if let (Err(_), Some(resumption)) = (&entered, &resumption) {
            resumptions.close(resumption);
        }
        let (membership, knock) = entered?;
        // The observer hears that an earlier place of the same person ended before it hears of the new one.
        deferred.give_up_removed();
        self.pay_for_message(deferred);
        let resumable = resumption.map(Resumable::new);
        match knock {
            None => self.has_joined(membership, grant.name, resumable),
            Some(knock) => {
                let knocking = Knocking::new(membership, knock, via.clone(), grant.name, resumable);
                self.stage = Stage::Knocking(knocking);
                self.is_new = false;
            }
        }
        Ok(())
    }
}

/// The room of a join; none if the join is not valid.
fn room_of(join: &Result<Join, Refusal>) -> Option<RoomName> {
    join.as_ref().ok().map(|join| join.room.clone())
}

/// Whether a join that fails with this code may have been an attempt to find a room, rather than the relay's own trouble.
fn is_a_guess(code: ErrorCode) -> bool {
    use ErrorCode::{IdTaken, RoomFull, Unauthorized, WrongPassword};
    matches!(code, RoomFull | IdTaken | Unauthorized | WrongPassword)
}

impl From<OverLimit> for JoinRefusal {
    fn from(over: OverLimit) -> Self {
        Self::OverLimit(over)
    }
}

impl From<Refusal> for JoinRefusal {
    fn from(refusal: Refusal) -> Self {
        Self::Other(refusal)
    }
}

/// A client beyond a limit of its address learns that by the code for too many messages.
impl From<JoinRefusal> for Refusal {
    fn from(refusal: JoinRefusal) -> Self {
        match refusal {
            JoinRefusal::OverLimit(over) => {
                Self::new(ErrorCode::RateLimited, format!("{over}: try again in {} s", over.retry_after()))
            }
            #[cfg(feature = "cluster")]
            JoinRefusal::Answered(answer) => super::search::refusal_of(&answer),
            JoinRefusal::Other(refusal) => refusal,
        }
    }
}
