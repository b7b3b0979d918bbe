//! The signals that peers send in a room, and the events that a room sends to its members, as values. An encoder writes
//! them for the wire.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::names::{NameError, PeerId, PeerName, RoomName};
use crate::secret::Secret;

/// Encodes an event as one frame; none if the protocol of the clients has no message for it.
pub(crate) type Encoder = fn(&Event<'_>) -> Option<Bytes>;

/// What a client that has a place in a room learns of it.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Its id there.
    pub id: &'a PeerId,
    /// The room.
    pub room: &'a RoomName,
    /// The id of the host.
    pub host: &'a PeerId,
    /// The other members, oldest first.
    pub peers: &'a [Peer<'a>],
    /// The STUN and TURN servers that it may use.
    pub ice_servers: &'a IceServers,
    /// Whether the room is locked.
    pub is_locked: bool,
    /// Whether the room has a password.
    pub has_password: bool,
}

/// What the relay tells a client.
#[derive(Debug)]
pub enum Event<'a> {
    /// The client has joined a room.
    Joined {
        /// Where it is.
        view: View<'a>,
        /// How it can come back after its connection is lost, if it asked for that.
        resume: Option<ResumeOffer<'a>>,
    },
    /// The client has its place again, on another connection.
    Resumed {
        /// Where it is.
        view: View<'a>,
        /// How many of the client's messages the relay has taken since `Joined`.
        received: u64,
        /// The same as in `Joined`.
        resume: ResumeOffer<'a>,
    },
    /// How many of the client's messages the relay has taken since `Joined`.
    Taken {
        /// The number.
        received: u64,
    },
    /// Another peer has lost its connection, and keeps its place for a while.
    PeerAway {
        /// Its id.
        id: &'a PeerId,
    },
    /// A peer that was away has a connection again.
    PeerBack {
        /// Its id.
        id: &'a PeerId,
    },
    /// Another peer has joined the room.
    PeerJoined(Peer<'a>),
    /// Another peer has left the room.
    PeerLeft {
        /// Its id.
        id: &'a PeerId,
        /// Why.
        reason: LeaveReason,
    },
    /// The room has a new host.
    Host {
        /// Its id.
        id: &'a PeerId,
    },
    /// The room is locked or unlocked.
    Room {
        /// Whether it is locked now.
        is_locked: bool,
    },
    /// The room is locked: the client waits until its host lets it in.
    Waiting,
    /// A client waits to be let in.
    Knock(Peer<'a>),
    /// A client that waited to be let in is gone.
    KnockGone {
        /// The id that it would have had.
        id: &'a PeerId,
    },
    /// A peer has sent a signal.
    Signal {
        /// The sender's id.
        from: &'a PeerId,
        /// The signal.
        signal: &'a Signal<'a>,
    },
    /// A message of the client was not carried out.
    Error {
        /// Why.
        refusal: &'a Refusal,
        /// The `ref` of that message.
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
    /// Its display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a PeerName>,
    /// Whether it has lost its connection, and may come back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
}

/// How a client gets its place back after its connection is lost.
#[derive(Debug, Clone, Copy)]
pub struct ResumeOffer<'a> {
    /// What proves that the place is the client's.
    pub token: &'a Secret,
    /// For how long the place is held after a connection is lost, in milliseconds.
    pub hold_ms: u64,
}

/// The types of the messages that peers send to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalKind {
    /// A session description of type `offer` (RFC 8829).
    Offer,
    /// A session description of type `answer`.
    Answer,
    /// An ICE candidate of the offerer (trickle ICE, RFC 8838).
    OfferIce,
    /// An ICE candidate of the answerer.
    AnswerIce,
    /// Anything else that an application sends.
    Message,
}

/// A message from peer to peer: the envelope is typed, and the payload is the sender's text.
#[derive(Debug)]
pub struct Signal<'a> {
    /// Its type.
    pub kind: SignalKind,
    /// The receiver's id; none for a broadcast to everyone else in the room.
    pub to: Option<Cow<'a, str>>,
    /// The size of the message as it was sent, in bytes.
    pub bytes: usize,
    /// The names and values of its fields as JSON, as the sender wrote them.
    pub fields: Vec<(&'a str, &'a str)>,
}

/// What the host of a room may do there. Each `to` is an id as it was sent.
#[derive(Debug)]
pub enum HostCommand<'a> {
    /// Remove a member from the room, and end its connection.
    Kick {
        /// The member.
        to: Cow<'a, str>,
        /// A sentence for it.
        message: Option<Cow<'a, str>>,
    },
    /// Lock the room, or unlock it.
    Lock {
        /// Whether to lock it.
        is_locked: bool,
    },
    /// Let somebody in who knocks.
    Admit {
        /// The id of the knock.
        to: Cow<'a, str>,
    },
    /// Turn somebody away who knocks.
    Deny {
        /// The id of the knock.
        to: Cow<'a, str>,
    },
    /// Make another member the host.
    MakeHost {
        /// The member.
        to: Cow<'a, str>,
    },
}

/// The STUN and TURN servers that a client may use, as `RTCConfiguration.iceServers` takes them. They are parsed from JSON,
/// [64 KiB](crate::limits::ICE_SERVERS_BYTES) at most, and what `RTCPeerConnection` refuses (W3C webrtc-pc, RFC 7064, RFC
/// 7065) is an error.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct IceServers(pub(crate) Arc<Vec<serde_json::Map<String, serde_json::Value>>>);

/// Why a peer is no longer in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeaveReason {
    /// It sent `leave`.
    Left,
    /// Its connection ended.
    Closed,
    /// It did not respond to a ping, or its connection was lost and it did not come back in time.
    Timeout,
    /// It did not read what was sent to it.
    Slow,
    /// It broke the protocol's rules.
    Policy,
    /// It was idle in a full `lobby`, and gave way to another peer.
    Idle,
    /// The host removed it.
    Kicked,
    /// The relay shuts down.
    Shutdown,
}

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
