//! How a session joins a room: by a message, or because the URL of its connection names the room.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::task::{self, Poll, ready};

use super::knock::Knocking;
use super::resume::Resumable;
use super::{Session, Stage};
use crate::auth::{Answer, Decision, Denial, Grant, JoinRequest};
use crate::peer::observer::RelayEvent;
use crate::protocol::Join;
use crate::quota::OverLimit;
use crate::room::names::PeerName;
use crate::room::{Entered, Entrant, ErrorCode, Flushes, Membership, Refusal};

/// A join that the authorizer decides on.
pub(super) struct Deciding {
    /// What the authorizer does not see of it: the room, its password, and whether the client wants to come back.
    join: Join,
    via: Via,
    decision: Decision,
}

/// By what a client asks to join, and so where its refusal goes.
#[derive(Debug, Clone)]
pub(super) enum Via {
    /// A message, with this `ref`: the refusal is an `error`.
    Message(Option<String>),
    /// The URL of its connection: the refusal is the response to the upgrade. If the client knocks, it is an `error`, and
    /// the connection ends.
    Url,
}

/// Why a client cannot join.
#[derive(Debug)]
pub(crate) enum JoinRefusal {
    /// Its address has joined too often.
    OverLimit(OverLimit),
    /// Another reason.
    Other(Refusal),
}

impl fmt::Debug for Deciding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deciding").field("room", &self.join.room).field("via", &self.via).finish_non_exhaustive()
    }
}

impl Session {
    /// Joins the room that the URL of the connection names, and waits for the decision on that. If the room is locked,
    /// the session knocks from then on.
    ///
    /// # Errors
    /// [`JoinRefusal`]: then nothing is queued for the client.
    pub(crate) async fn join_by_url(&mut self, join: Join) -> Result<(), JoinRefusal> {
        let mut flushes = Flushes::default();
        self.join(join, Via::Url, &mut flushes)?;
        Ok(poll_fn(|cx| self.poll_decision(cx, &mut flushes)).await?)
    }

    /// Asks whether the client may join, and then enters the room, or waits for the decision.
    pub(super) fn join(&mut self, mut join: Join, via: Via, flushes: &mut Flushes) -> Result<(), JoinRefusal> {
        self.check_is_idle()?;
        // Each join queues a `joined` and perhaps a held offer: a client that joins repeatedly must read them.
        if !self.outbox.room_for_join() {
            let message = "read the messages of your earlier joins first: then join again";
            return Err(Refusal::new(ErrorCode::Unavailable, message).into());
        }
        self.rate.take_join()?;
        let request = JoinRequest {
            room: join.room.clone(),
            id: join.id.take(),
            name: join.name.take(),
            address: self.address,
            origin: self.origin.as_deref().map(str::to_owned),
            token: join.token.take(),
        };
        match self.hub.authorize(&request) {
            Answer::Now(answer) => self.decide(&join, via, answer, flushes)?,
            Answer::Later(decision) => self.stage = Stage::Deciding(Box::new(Deciding { join, via, decision })),
        }
        Ok(())
    }

    /// Goes on once the authorizer has decided. A refusal is only returned to a join by URL: others hear of it as an
    /// `error`.
    pub(super) fn poll_decision(
        &mut self,
        cx: &mut task::Context<'_>,
        flushes: &mut Flushes,
    ) -> Poll<Result<(), Refusal>> {
        let Stage::Deciding(deciding) = &mut self.stage else { return Poll::Ready(Ok(())) };
        let answer = ready!(deciding.decision.as_mut().poll(cx));
        let Stage::Deciding(deciding) = mem::take(&mut self.stage) else { return Poll::Ready(Ok(())) };
        Poll::Ready(self.decide(&deciding.join, deciding.via, answer, flushes))
    }

    /// Enters the room if `answer` is a grant, or knocks if the room is locked.
    fn decide(
        &mut self,
        join: &Join,
        via: Via,
        answer: Result<Grant, Denial>,
        flushes: &mut Flushes,
    ) -> Result<(), Refusal> {
        let entered = answer.map_err(Refusal::from).and_then(|grant| self.enter(join, &via, grant, flushes));
        let Err(refusal) = entered else { return Ok(()) };
        if is_a_guess(refusal.code) {
            self.rate.charge_failed_join();
        }
        match via {
            Via::Message(reference) => {
                self.refuse(&refusal, reference.as_deref());
                Ok(())
            }
            Via::Url => Err(refusal),
        }
    }

    fn enter(&mut self, join: &Join, via: &Via, grant: Grant, flushes: &mut Flushes) -> Result<(), Refusal> {
        let ice_servers = grant.ice_servers.as_ref().unwrap_or(&self.hub.ice_servers);
        let places = &self.hub.places;
        let place = if join.resume { places.open(&self.outbox, ice_servers)? } else { None };
        let entrant = Entrant {
            id: grant.id.as_ref(),
            is_identified: grant.is_identified,
            name: grant.name.as_ref(),
            role: grant.role,
            password: join.password.as_ref(),
            address: self.address,
            capacity: grant.capacity,
            ice_servers,
            resume: place.as_ref().map(|place| places.offer(place)),
            outbox: &self.outbox,
        };
        let entered = self.hub.rooms.enter(&join.room, &entrant, flushes);
        if let (Err(_), Some(place)) = (&entered, &place) {
            places.close(place);
        }
        let entered = entered?;
        // The observer hears that an earlier place of the same person ended before it hears of the new one.
        flushes.give_up_removed();
        let resumable = place.map(Resumable::new);
        match entered {
            Entered::Inside(membership, heard) => {
                self.rate.charge(heard);
                self.has_joined(membership, grant.name, resumable);
            }
            Entered::Outside(knock) => {
                // The host.
                self.rate.charge(1);
                self.stage = Stage::Knocking(Knocking::new(knock, via.clone(), grant.name, resumable));
                self.is_new = false;
            }
        }
        Ok(())
    }

    /// The peer is in a room, and its name there is `name`.
    pub(super) fn has_joined(
        &mut self,
        membership: Membership,
        name: Option<PeerName>,
        resumable: Option<Box<Resumable>>,
    ) {
        self.hub.observe(|| RelayEvent::Joined {
            connection: self.connection,
            room: membership.room().clone(),
            id: membership.id().clone(),
            name,
        });
        self.become_member(membership, resumable);
    }
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
            JoinRefusal::Other(refusal) => refusal,
        }
    }
}
