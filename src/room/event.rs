//! The signals that peers send in a room, and the events that a room sends to its members, as values. An encoder writes
//! them for the wire: as JSON, the events are the relay's messages of [`protocol`](crate::protocol).

use std::borrow::Cow;

use bytes::Bytes;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::names::{PeerId, PeerName};
use super::refusal::Refusal;
use crate::ice::{CandidatePolicy, ClientsServers};
use crate::secret::Secret;

/// Encodes an event as one frame; none if the protocol of the clients has no message for it.
pub(crate) type Encoder = fn(&Event<'_>) -> Option<Bytes>;

/// What a client that has a place in a room learns of it.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View<'a> {
    /// Its id there.
    pub id: &'a PeerId,
    /// Its display name, as the others see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a PeerName>,
    /// The room, as this client wrote its name.
    pub room: &'a str,
    /// The id of the host.
    pub host: &'a PeerId,
    /// The other members, oldest first.
    pub peers: &'a [Peer<'a>],
    /// The STUN and TURN servers that it may use.
    #[serde(flatten)]
    pub ice_servers: &'a ClientsServers<'a>,
    /// Which candidates it should use, if not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate_policy: Option<CandidatePolicy>,
    /// The largest message that it may send, in bytes.
    pub max_message_bytes: usize,
    /// Whether the room is locked.
    #[serde(rename = "locked", skip_serializing_if = "std::ops::Not::not")]
    pub is_locked: bool,
    /// Whether the room has a password.
    #[serde(rename = "password", skip_serializing_if = "std::ops::Not::not")]
    pub has_password: bool,
}

/// What the relay tells a client.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Event<'a> {
    /// The client has joined a room.
    Joined {
        /// Where it is.
        #[serde(flatten)]
        view: View<'a>,
        /// How it can come back after its connection is lost, if it asked for that.
        #[serde(skip_serializing_if = "Option::is_none")]
        resume: Option<ResumeOffer<'a>>,
    },
    /// The client has its place again, on another connection.
    Resumed {
        /// Where it is.
        #[serde(flatten)]
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
    /// The STUN and TURN servers that the client asked for.
    IceServers(&'a ClientsServers<'a>),
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
        #[serde(rename = "locked")]
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
    /// Something that the host of the room should know.
    #[serde(serialize_with = "serialize_notice")]
    Notice {
        /// What.
        code: NoticeCode,
    },
    /// A peer has sent a signal. Not serialized: its fields are text already.
    #[serde(skip)]
    Signal {
        /// The sender's id.
        from: &'a PeerId,
        /// The signal.
        signal: &'a Signal<'a>,
    },
    /// A message of the client was not carried out.
    #[serde(serialize_with = "serialize_error")]
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

/// What the host of a room is told beside what everybody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoticeCode {
    /// There were [`WRONG_PASSWORDS`](crate::limits::WRONG_PASSWORDS) wrong passwords within a minute.
    PasswordGuessing,
}

impl NoticeCode {
    /// A sentence for people.
    fn message(self) -> &'static str {
        match self {
            Self::PasswordGuessing => "somebody is guessing the password of this room",
        }
    }
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
    /// Whether the authorizer vouches for its id.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub verified: bool,
}

/// How a client gets its place back after its connection is lost.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResumeOffer<'a> {
    /// What proves that the place is the client's.
    #[serde(serialize_with = "reveal")]
    pub token: &'a Secret,
    /// For how long the place is held after a connection is lost, in milliseconds.
    pub hold_ms: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn serialize_notice<S: Serializer>(code: &NoticeCode, to: S) -> Result<S::Ok, S::Error> {
    let mut notice = to.serialize_struct("Notice", 2)?;
    notice.serialize_field("code", code)?;
    notice.serialize_field("message", code.message())?;
    notice.end()
}

#[allow(clippy::trivially_copy_pass_by_ref, clippy::ref_option, reason = "serde passes references")]
fn serialize_error<S: Serializer>(refusal: &&Refusal, reference: &Option<&str>, to: S) -> Result<S::Ok, S::Error> {
    let optional = usize::from(refusal.to.is_some()) + usize::from(reference.is_some());
    let mut error = to.serialize_struct("Error", 3 + optional)?;
    error.serialize_field("code", &refusal.code)?;
    error.serialize_field("message", &refusal.message)?;
    if let Some(to) = &refusal.to {
        error.serialize_field("to", to)?;
    }
    if let Some(reference) = reference {
        error.serialize_field("ref", reference)?;
    }
    error.serialize_field("retryable", &refusal.code.is_retryable())?;
    error.end()
}

/// Writes a secret for the client whose it is.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn reveal<S: Serializer>(secret: &&Secret, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(secret.reveal())
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

impl SignalKind {
    /// The `type` on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::OfferIce => "offer_ice",
            Self::AnswerIce => "answer_ice",
            Self::Message => "message",
        }
    }
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
    /// It chose its id, and somebody came for whose id the authorizer vouches.
    Displaced,
    /// The relay shuts down.
    Shutdown,
}
