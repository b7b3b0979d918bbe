//! A client that enters a room, and why it cannot.

use std::net::IpAddr;
use std::sync::Arc;

use thiserror::Error;

use super::Role;
use super::event::{ErrorCode, IceServers, Refusal, ResumeOffer};
use super::names::{PeerId, PeerName};
use super::state::{Member, State};
use crate::limits::WRONG_PASSWORDS_FOR;
use crate::outbox::Outbox;
use crate::secret::Secret;

/// A client that enters a room.
#[derive(Debug)]
pub(crate) struct Entrant<'a> {
    /// Its id; without one it gets a random id.
    pub id: Option<&'a PeerId>,
    /// Whether that id stands for one person.
    pub is_identified: bool,
    /// Its display name.
    pub name: Option<&'a PeerName>,
    /// Its role.
    pub role: Role,
    /// The password that it gives.
    pub password: Option<&'a Secret>,
    /// Its address, if it is known.
    pub address: Option<IpAddr>,
    /// The capacity of the room for this client; without it, that of the table.
    pub capacity: Option<usize>,
    /// The STUN and TURN servers for this client.
    pub ice_servers: &'a IceServers,
    /// How it can come back, if it asked for that.
    pub resume: Option<ResumeOffer<'a>>,
    /// Its outbox.
    pub outbox: &'a Arc<Outbox>,
}

/// A client that may enter as soon as there is room, and what the room needs for that.
#[derive(Debug)]
pub(super) struct Newcomer {
    pub(super) member: Member,
    pub(super) capacity: usize,
    pub(super) ice_servers: IceServers,
    pub(super) resume: Option<Resumption>,
}

impl Newcomer {
    /// Whether it may be added now.
    pub(super) fn check(&self, state: &State) -> Result<(), JoinError> {
        state.check(&self.member.id, self.member.standing.is_identified, self.capacity)
    }
}

/// A [`ResumeOffer`] that is kept until the client is a member.
#[derive(Debug)]
pub(super) struct Resumption {
    token: Secret,
    hold_ms: u64,
}

impl Resumption {
    pub(super) fn offer(&self) -> ResumeOffer<'_> {
        ResumeOffer { token: &self.token, hold_ms: self.hold_ms }
    }
}

impl From<ResumeOffer<'_>> for Resumption {
    fn from(offer: ResumeOffer<'_>) -> Self {
        Self { token: offer.token.clone(), hold_ms: offer.hold_ms }
    }
}

/// Why a client cannot enter a room.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The room has reached this capacity.
    #[error("the room is full: it takes {0}")]
    Full(usize),
    /// As many clients as may knock at a time do so.
    #[error("the room is locked, and as many as may wait at it do so: {0}")]
    TooManyKnocks(usize),
    /// Another member has this id, or one who knocks.
    #[error("another peer in the room has this id")]
    IdTaken,
    /// A member has not read the messages about earlier joins and leaves.
    #[error("a member of the room has not yet read about earlier joins and leaves: try again in a moment")]
    Unavailable,
    /// The room has a password, and this is another one or none.
    #[error("the room has a password, and this is not it")]
    WrongPassword,
    /// The client's address gave too many wrong passwords.
    #[error("too many wrong passwords for this room: try again in {} s", WRONG_PASSWORDS_FOR.as_secs())]
    TooManyGuesses,
    /// The host removed this person from the room.
    #[error("the host removed you from this room")]
    Banned,
    /// The operating system provides no randomness for an id.
    #[error("cannot make an id: {0}")]
    NoRandomness(#[from] getrandom::Error),
}

impl From<JoinError> for Refusal {
    fn from(error: JoinError) -> Self {
        let code = match error {
            JoinError::Full(_) | JoinError::TooManyKnocks(_) => ErrorCode::RoomFull,
            JoinError::IdTaken => ErrorCode::IdTaken,
            JoinError::Unavailable => ErrorCode::Unavailable,
            JoinError::WrongPassword => ErrorCode::WrongPassword,
            JoinError::TooManyGuesses => ErrorCode::RateLimited,
            JoinError::Banned => ErrorCode::Denied,
            JoinError::NoRandomness(_) => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}
