//! One peer's protocol state: text in, effects out; independent of the socket.
//!
//! Answers go to the peer's own [`Outbox`], signals to those of the others by way of the [`Rooms`].

use std::sync::Arc;

use tokio::time::Instant;

use crate::limits::{Allowance, Ration};
use crate::peer::outbox::Outbox;
use crate::protocol::{self, ClientMessage, ErrorCode, Join, LeaveReason, Refusal, Signal};
use crate::room::names::{PeerId, RoomName};
use crate::room::table::{Membership, Rooms};

/// What one peer may do at this moment.
#[derive(Debug)]
pub struct Session {
    rooms: Arc<Rooms>,
    outbox: Arc<Outbox>,
    allowance: Allowance,
    membership: Option<Membership>,
    place: Option<(RoomName, PeerId)>,
}

/// The peer spent its [`Allowance`] and went on: its connection must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

impl Session {
    /// A session that is in no room yet.
    pub fn new(rooms: Arc<Rooms>, outbox: Arc<Outbox>, allowance: Allowance) -> Self {
        Self { rooms, outbox, allowance, membership: None, place: None }
    }

    /// Where this peer's messages wait for its socket.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// The room that the peer is in or was in last, and its id there; none before the first join.
    pub fn place(&self) -> Option<(&RoomName, &PeerId)> {
        self.place.as_ref().map(|(room, id)| (room, id))
    }

    /// Carries out one text from the peer, or answers it with `error`.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn receive(&mut self, text: &str, now: Instant) -> Result<(), Exhausted> {
        let parsed = protocol::parse(text);
        let done = match self.allowance.take(text.len(), now) {
            Ration::Granted => parsed.message.and_then(|message| self.carry_out(message)),
            Ration::Refused => Err(Refusal::new(ErrorCode::RateLimited, "too many messages at once: slow down")),
            Ration::Exhausted => return Err(Exhausted),
        };
        if let Err(refusal) = done {
            self.outbox.push(refusal.encode(parsed.reference.as_deref()));
        }
        Ok(())
    }

    /// Counts a ping or pong of the peer: they cost as much as a message.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn receive_control(&mut self, now: Instant) -> Result<(), Exhausted> {
        match self.allowance.take(0, now) {
            Ration::Granted | Ration::Refused => Ok(()),
            Ration::Exhausted => Err(Exhausted),
        }
    }

    /// Enters a room.
    ///
    /// # Errors
    /// `already_joined`, `room_full`, `id_taken`, `internal`.
    pub fn join(&mut self, join: Join) -> Result<(), Refusal> {
        if let Some(membership) = &self.membership {
            let message = format!("you are in the room {:?}: leave it first", membership.room().as_str());
            return Err(Refusal::new(ErrorCode::AlreadyJoined, message));
        }
        let membership = self.rooms.join(join, Arc::clone(&self.outbox))?;
        self.place = Some((membership.room().clone(), membership.id().clone()));
        self.membership = Some(membership);
        Ok(())
    }

    /// Leaves the room, if the peer is in one.
    pub fn leave(&mut self, reason: LeaveReason) {
        if let Some(membership) = self.membership.take() {
            membership.leave(reason);
        }
    }

    fn carry_out(&mut self, message: ClientMessage<'_>) -> Result<(), Refusal> {
        match message {
            ClientMessage::Join(join) => self.join(join),
            ClientMessage::Leave => self.membership().map(drop).map(|()| self.leave(LeaveReason::Left)),
            ClientMessage::Signal(signal) => self.relay(&signal),
        }
    }

    fn relay(&mut self, signal: &Signal<'_>) -> Result<(), Refusal> {
        let receivers = self.membership()?.relay(signal)?;
        // The first receiver was paid for when the message was taken.
        self.allowance.charge(receivers.saturating_sub(1));
        Ok(())
    }

    fn membership(&self) -> Result<&Membership, Refusal> {
        self.membership.as_ref().ok_or_else(|| Refusal::new(ErrorCode::NotJoined, "you are in no room: join one first"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{BYTE_RATE, MESSAGE_BURST, MESSAGE_RATE, REFUSALS};
    use crate::protocol::IceServers;

    fn session() -> Session {
        let rooms = Arc::new(Rooms::new(8, IceServers::default()));
        let allowance = Allowance::new(MESSAGE_RATE, BYTE_RATE, Instant::now());
        Session::new(rooms, Arc::new(Outbox::new(64 * 1024)), allowance)
    }

    /// What the relay answers to `text`; empty when it answers nothing.
    fn answer(session: &mut Session, text: &str) -> String {
        session.receive(text, Instant::now()).unwrap();
        session.outbox().pop().map(|message| message.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_peer_joins_leaves_and_joins_again() {
        let mut session = session();
        assert!(answer(&mut session, r#"{"type":"join","room":"one"}"#).contains("joined"));
        assert!(answer(&mut session, r#"{"type":"join","room":"two"}"#).contains("already_joined"));
        assert_eq!(session.place().unwrap().0.as_str(), "one");
        assert_eq!(answer(&mut session, r#"{"type":"leave"}"#), "");
        assert!(answer(&mut session, r#"{"type":"join","room":"two"}"#).contains("joined"));
        assert_eq!(session.place().unwrap().0.as_str(), "two");
    }

    #[test]
    fn what_needs_a_room_is_refused_outside_of_one() {
        let mut session = session();
        for text in [r#"{"type":"leave"}"#, r#"{"type":"offer","sdp":""}"#, r#"{"type":"message","data":1,"to":"x"}"#] {
            assert!(answer(&mut session, text).contains("not_joined"), "{text}");
        }
        assert!(session.place().is_none());
    }

    #[test]
    fn a_flood_is_told_and_then_ended() {
        let mut session = session();
        let now = Instant::now();
        for _ in 0..MESSAGE_BURST {
            session.receive(r#"{"type":"leave"}"#, now).unwrap();
            session.outbox().pop().unwrap();
        }
        for _ in 0..REFUSALS {
            session.receive(r#"{"type":"leave","ref":"x"}"#, now).unwrap();
            let error = session.outbox().pop().unwrap().to_string();
            assert!(error.contains("rate_limited") && error.contains(r#""ref":"x""#), "{error}");
        }
        assert_eq!(session.receive(r#"{"type":"leave"}"#, now), Err(Exhausted));
        assert_eq!(session.receive_control(now), Err(Exhausted));
    }
}
