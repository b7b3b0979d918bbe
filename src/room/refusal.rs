//! Why the relay does not do what a client asks for.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::names::{NameError, PeerId};
use crate::limits::WRONG_PASSWORDS_FOR;
use crate::metrics;

/// Why a message was not carried out, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// Not JSON, or not one object.
    BadJson,
    /// A field is missing, of the wrong kind, or present twice; or the nesting is too deep.
    BadMessage,
    /// No client message has this `type`.
    UnknownType,
    /// The client must join a room first.
    NotJoined,
    /// The client is in a room already.
    AlreadyJoined,
    /// This is not a valid room name.
    BadRoom,
    /// This is not a valid peer id.
    BadId,
    /// The room has reached its capacity.
    RoomFull,
    /// Another peer in the room has this id.
    IdTaken,
    /// The message has no receiver in the room.
    PeerNotFound,
    /// The receiver reads slower than this sender sends.
    PeerBusy,
    /// The client sends more messages than its rate allows.
    RateLimited,
    /// The place that the client had cannot be given back to it.
    ResumeFailed,
    /// The authorizer does not let this client into the room.
    Unauthorized,
    /// Whether the client may join cannot be decided now.
    Unavailable,
    /// The room has a password, and the client did not give it.
    WrongPassword,
    /// The client was not let into a locked room, or was kicked from it before.
    Denied,
    /// The host removed the client from the room.
    Kicked,
    /// Only the host of the room may do that.
    NotHost,
    /// The relay itself failed.
    Internal,
}

impl ErrorCode {
    /// All of them, each at the place of its number.
    pub(crate) const ALL: [Self; metrics::ERROR_CODES] = [
        Self::BadJson,
        Self::BadMessage,
        Self::UnknownType,
        Self::NotJoined,
        Self::AlreadyJoined,
        Self::BadRoom,
        Self::BadId,
        Self::RoomFull,
        Self::IdTaken,
        Self::PeerNotFound,
        Self::PeerBusy,
        Self::RateLimited,
        Self::ResumeFailed,
        Self::Unauthorized,
        Self::Unavailable,
        Self::WrongPassword,
        Self::Denied,
        Self::Kicked,
        Self::NotHost,
        Self::Internal,
    ];

    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::BadMessage => "bad_message",
            Self::UnknownType => "unknown_type",
            Self::NotJoined => "not_joined",
            Self::AlreadyJoined => "already_joined",
            Self::BadRoom => "bad_room",
            Self::BadId => "bad_id",
            Self::RoomFull => "room_full",
            Self::IdTaken => "id_taken",
            Self::PeerNotFound => "peer_not_found",
            Self::PeerBusy => "peer_busy",
            Self::RateLimited => "rate_limited",
            Self::ResumeFailed => "resume_failed",
            Self::Unauthorized => "unauthorized",
            Self::Unavailable => "unavailable",
            Self::WrongPassword => "wrong_password",
            Self::Denied => "denied",
            Self::Kicked => "kicked",
            Self::NotHost => "not_host",
            Self::Internal => "internal",
        }
    }

    /// Whether the same message may succeed later.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::RoomFull | Self::PeerBusy | Self::RateLimited | Self::Unavailable | Self::Internal)
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Why a message was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason, for programs.
    pub code: ErrorCode,
    /// The reason as a sentence, for people.
    pub message: Cow<'static, str>,
    /// The id of the peer that was not found or is busy.
    pub to: Option<String>,
}

impl Refusal {
    /// A refusal that concerns no other peer.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), to: None }
    }

    /// A refusal because the peer `id` is busy for this sender.
    pub fn peer_busy(id: &PeerId) -> Self {
        let message = "that peer reads slower than you send: send again in a moment";
        Self { code: ErrorCode::PeerBusy, message: message.into(), to: Some(id.as_str().to_owned()) }
    }
}

/// The refusal for somebody who knocked.
pub(super) fn denied(message: &'static str) -> Refusal {
    Refusal::new(ErrorCode::Denied, message)
}

/// The refusal for somebody who knocked under an id that it chose, and for whom another one is vouched for.
pub(super) fn displaced() -> Refusal {
    denied(DISPLACED)
}

/// What somebody hears who chose an id that another one is vouched for.
pub(super) const DISPLACED: &str = "somebody came whose id this is: the relay knows that one by it; choose another id";

/// The refusal of a message from `from` to `to`, which is the id of nobody else in the room. What cannot be an id is not
/// repeated: it may be as long as the message was.
pub(super) fn not_found(to: &str, from: &PeerId) -> Refusal {
    let message = if to == from.as_str() { "that is your own id" } else { "nobody in this room has that id" };
    let to = PeerId::parse(to).is_ok().then(|| to.to_owned());
    Refusal { code: ErrorCode::PeerNotFound, message: message.into(), to }
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        let code = match error {
            NameError::RoomEmpty | NameError::RoomTooLong | NameError::RoomControl => ErrorCode::BadRoom,
            NameError::Id | NameError::ReservedId => ErrorCode::BadId,
            NameError::NameTooLong | NameError::NameControl => ErrorCode::BadMessage,
        };
        Self::new(code, error.to_string())
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
    /// There is no memory for what the client would cause.
    #[error("as much memory is in use as --address-memory or --memory allows: try again in a moment")]
    NoMemory,
    /// The relay is being drained: it makes no new rooms.
    #[error("the relay makes no new rooms now: try again later")]
    Draining,
    /// This relay is one of several, and does not own the room.
    #[error("this relay does not have the room now: try again in a moment")]
    NotOwned,
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
            JoinError::Unavailable | JoinError::NoMemory | JoinError::Draining | JoinError::NotOwned => {
                ErrorCode::Unavailable
            }
            JoinError::WrongPassword => ErrorCode::WrongPassword,
            JoinError::TooManyGuesses => ErrorCode::RateLimited,
            JoinError::Banned => ErrorCode::Denied,
            JoinError::NoRandomness(_) => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}
