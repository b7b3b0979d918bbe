//! What is said in a room, and what its members hear: values that each wire writes in its own way.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::names::{NameError, PeerId, PeerName, RoomName};

/// Writes an event as one frame for the clients of a wire; none where the wire has no word for it.
pub(crate) type Encoder = fn(&Event<'_>) -> Option<Bytes>;

/// What a client hears.
#[derive(Debug)]
pub enum Event<'a> {
    /// It is in the room.
    Joined {
        /// The id that it has there.
        id: &'a PeerId,
        /// The room.
        room: &'a RoomName,
        /// The id of the host, the oldest member.
        host: &'a PeerId,
        /// Everyone else, oldest first.
        peers: &'a [Peer<'a>],
        /// The STUN and TURN servers that it may use.
        ice_servers: &'a IceServers,
    },
    /// Somebody came.
    PeerJoined(Peer<'a>),
    /// Somebody went.
    PeerLeft {
        /// Who went.
        id: &'a PeerId,
        /// Why.
        reason: LeaveReason,
    },
    /// There is a new host.
    Host {
        /// Who it is.
        id: &'a PeerId,
    },
    /// A peer says something.
    Signal {
        /// Who says it.
        from: &'a PeerId,
        /// What it says.
        signal: &'a Signal<'a>,
    },
    /// What the client asked for was not carried out.
    Error {
        /// Why.
        refusal: &'a Refusal,
        /// The `ref` of what it asked for.
        reference: Option<&'a str>,
    },
    /// The relay is about to restart.
    Goaway {
        /// How long to wait before the next attempt, in milliseconds; different for each client.
        retry_after_ms: u64,
    },
}

/// A member of a room, as the others see it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Peer<'a> {
    /// Its id.
    pub id: &'a PeerId,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a PeerName>,
}

/// The messages that are carried from peer to peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalKind {
    /// A session description of type `offer` (RFC 8829).
    Offer,
    /// A session description of type `answer`.
    Answer,
    /// A candidate that the offerer trickles (RFC 8838).
    OfferIce,
    /// A candidate that the answerer trickles.
    AnswerIce,
    /// Anything else that an application needs.
    Message,
}

/// A message from peer to peer: the envelope is typed, the payload is what the sender wrote.
#[derive(Debug)]
pub struct Signal<'a> {
    /// Which of the five it is.
    pub kind: SignalKind,
    /// The id of the one who shall get it; everyone else in the room otherwise.
    pub to: Option<Cow<'a, str>>,
    /// The size of the message as it was sent, in bytes.
    pub bytes: usize,
    /// Names and values as the sender wrote them. Only the wire looks into them.
    pub fields: Vec<(&'a str, &'a str)>,
}

/// The STUN and TURN servers that a client may use, as `RTCConfiguration.iceServers` takes them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct IceServers(pub(crate) Arc<Vec<serde_json::Map<String, serde_json::Value>>>);

/// Why a peer is no longer in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeaveReason {
    /// It said `leave`.
    Left,
    /// Its connection ended.
    Closed,
    /// It gave no sign of life.
    Timeout,
    /// It did not read what was sent to it.
    Slow,
    /// It broke the protocol's rules.
    Policy,
    /// The relay is going away.
    Shutdown,
}

/// What is wrong with a message, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// Not JSON, or not one object.
    BadJson,
    /// A field is missing, of the wrong kind, or there twice; or the nesting is too deep.
    BadMessage,
    /// No client message has this `type`.
    UnknownType,
    /// The message needs a room.
    NotJoined,
    /// The connection is in a room already.
    AlreadyJoined,
    /// No room can have this name.
    BadRoom,
    /// No peer can have this id.
    BadId,
    /// The room has as many members as it takes.
    RoomFull,
    /// Somebody in the room has this id.
    IdTaken,
    /// Nobody was there to get the message.
    PeerNotFound,
    /// The receiver takes no more from this sender just now.
    PeerBusy,
    /// Too much at once.
    RateLimited,
    /// Whoever decides on joins does not let this one in.
    Unauthorized,
    /// The question cannot be answered just now.
    Unavailable,
    /// The relay itself failed.
    Internal,
}

/// Why a message was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: ErrorCode,
    /// A sentence for people.
    pub message: Cow<'static, str>,
    /// The peer that was not found, or is busy.
    pub to: Option<String>,
}

impl Refusal {
    /// A refusal that names no peer.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), to: None }
    }

    /// The peer `id` takes no more from this sender just now.
    pub fn peer_busy(id: &PeerId) -> Self {
        let message = "that peer reads slower than you send: send again in a moment";
        Self { code: ErrorCode::PeerBusy, message: message.into(), to: Some(id.as_str().to_owned()) }
    }
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        let code = match error {
            NameError::RoomEmpty | NameError::RoomTooLong | NameError::RoomControl => ErrorCode::BadRoom,
            NameError::Id => ErrorCode::BadId,
            NameError::NameTooLong | NameError::NameControl => ErrorCode::BadMessage,
        };
        Self::new(code, error.to_string())
    }
}
