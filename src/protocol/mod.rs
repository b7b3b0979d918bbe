//! The words on the wire, typed: parse and encode, nothing else; independent of sockets, rooms and time.
//!
//! This page is the reference of the protocol.
//!
//! # Transport
//! RFC 6455 WebSocket, text frames, one JSON object (RFC 8259) a message, UTF-8, at most
//! [`MESSAGE_BYTES`](crate::limits::MESSAGE_BYTES) by default. No compression and no subprotocol is negotiated.
//! Over plain `ws://`, or over `wss://` when the relay has a certificate.
//!
//! # The URL names the room
//! | URL | what happens |
//! | --- | --- |
//! | `ws://host/?room=R` (also `&name=N`, `&id=I`) | joins room `R` as it connects |
//! | `ws://host/` | joins the room `lobby` as it connects |
//! | `ws://host/ws` | joins no room: send `join`, within 10 seconds |
//!
//! `lobby` holds two; a third who comes by the bare URL is refused at the upgrade with `503 Service Unavailable` (a bad
//! `name` or `id` with 400, a taken `id` with 409). A refused `?room=` is told why by an `error`, then closed with 1008, or
//! with 1013 when the room is full. In a query `+` is a space, other parameters are ignored, and `room`, `name` and
//! `id` may each stand there once. Over plain http(s) the same URLs serve the page.
//!
//! # Client to relay
//! | `type` | fields | meaning |
//! | --- | --- | --- |
//! | `join` | `room`, `name`?, `id`? | enter a room; one room a connection at a time |
//! | `leave` | | leave the room; the connection stays |
//! | `offer`, `answer` | `sdp` (string), `to`? | carried to peer `to`, or to everyone else in the room |
//! | `offer_ice`, `answer_ice` | `iceCandidate` (object, or null: end of candidates), `to`? | the same |
//! | `message` | `data` (any JSON), `to`? | the same |
//!
//! Every message may carry `ref`, a string of at most 64 bytes of UTF-8, which an `error` that answers it repeats. A field
//! that is not needed is left out: `null` is a value of the wrong kind for `to`, `ref`, `name` and `id`, because a `to`
//! that was lost on the way must not turn into a broadcast. An empty `name` is no name. Other fields of a signal (`ref`
//! and `to` among them) travel with it byte for byte, in their order; white space between them does not.
//!
//! # Relay to client
//! | `type` | fields | when |
//! | --- | --- | --- |
//! | `joined` | `id`, `room`, `host`, `peers` (`[{id, name?}]`, oldest first), `iceServers` | to the one who joined, before anything else of that room |
//! | `peer_joined` | `id`, `name`? | to everyone else in the room |
//! | `peer_left` | `id`, `reason` | to everyone still there, once for each `peer_joined` |
//! | `host` | `id` | the oldest member is the host; sent when that changes |
//! | the five signals | as sent, plus `from` | `from` is the relay's word: what a client put there is dropped |
//! | `error` | `code`, `message`, `to`?, `ref`?, `retryable` | the sender's message was not carried out |
//! | `goaway` | `retryAfterMs` | before the relay closes connections to restart |
//!
//! Reasons of `peer_left`: `left` (on purpose), `closed` (its connection ended), `timeout` (no sign of life), `slow` (it did
//! not read), `policy` (it broke the protocol's rules), `shutdown` (the relay is going away).
//!
//! | `code` | when | `retryable` |
//! | --- | --- | --- |
//! | `bad_json` | not JSON, or not one object | no |
//! | `bad_message` | no `type`; a field missing, of the wrong kind, or twice; nested deeper than 32 (the message itself is the first level); a bad `name` | no |
//! | `unknown_type` | a `type` that is not in the table above, the relay's own included | no |
//! | `not_joined`, `already_joined` | the message needs a room, or is a second `join` | no |
//! | `bad_room`, `bad_id` | see [`names`](crate::room::names) | no |
//! | `room_full` | the room has as many as it takes | yes |
//! | `id_taken` | somebody in the room has this `id` | no |
//! | `peer_not_found` | nobody in this room has the id `to` (which is repeated), or it is the sender's own; a broadcast that reached nobody and is not held | no |
//! | `rate_limited` | too many messages or bytes at once; the message was dropped | yes |
//! | `internal` | the relay could not make an id | yes |
//!
//! # Close codes
//! | code | meaning |
//! | --- | --- |
//! | 1000 | bye: repeats the client's own close |
//! | 1001 | the relay goes away for good |
//! | 1002 | the frames break RFC 6455 |
//! | 1003 | a binary message |
//! | 1007 | a text that is not UTF-8 |
//! | 1008 | policy: rate, no join in time, a refused `?room=` |
//! | 1009 | a message that is too large |
//! | 1012 | the relay restarts; `goaway` came before |
//! | 1013 | the room is full, or the client is too slow to read |
//!
//! # Alone in the room
//! A broadcast `offer` by someone who is alone, and the broadcast `offer_ice` that follow it, are held: at most one offer
//! and 64 KiB as sent. Whoever joins while their sender is alone gets them right after `joined`. They are forgotten when
//! their sender leaves, sends another offer, or is sent an answer.
//!
//! # Promises
//! Messages from one sender to one receiver arrive in the order sent, at most once, and none is lost while both stay
//! connected. Loss is never silent: the sender gets an `error`, or somebody's connection closes and `peer_left` says so.
//! Nothing crosses from one room to another.

mod parse;

use std::borrow::Cow;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use tokio_tungstenite::tungstenite::Utf8Bytes;

pub use parse::{Parsed, parse};

use crate::room::names::{NameError, PeerId, PeerName, RoomName};

/// What a client asks for.
#[derive(Debug)]
pub enum ClientMessage<'a> {
    /// Enter a room.
    Join(Join),
    /// Leave the room.
    Leave,
    /// Carry this to one peer or to all.
    Signal(Signal<'a>),
}

/// A request to enter a room.
#[derive(Debug, Clone)]
pub struct Join {
    /// The room to enter.
    pub room: RoomName,
    /// What people call the one who enters.
    pub name: Option<PeerName>,
    /// The id that the client chose; the relay makes one otherwise.
    pub id: Option<PeerId>,
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

    /// The field that carries what the signal is about, what may stand there, and the test for it.
    fn payload(self) -> (&'static str, &'static str, fn(&str) -> bool) {
        match self {
            Self::Offer | Self::Answer => ("sdp", "a string", |json| json.starts_with('"')),
            Self::OfferIce | Self::AnswerIce => {
                ("iceCandidate", "an object or null", |json| json.starts_with('{') || json == "null")
            }
            Self::Message => ("data", "any JSON", |_| true),
        }
    }
}

/// A message from peer to peer: the envelope is typed, the payload is the text that the sender wrote.
#[derive(Debug)]
pub struct Signal<'a> {
    /// Which of the five it is.
    pub kind: SignalKind,
    /// The id of the one who shall get it; everyone else in the room otherwise.
    pub to: Option<Cow<'a, str>>,
    /// The size of the message as it was sent, in bytes.
    pub bytes: usize,
    fields: Vec<(&'a str, &'a str)>,
}

impl Signal<'_> {
    /// Writes the message anew, with `from` as the relay's word.
    pub fn encode(&self, from: &PeerId) -> Utf8Bytes {
        let mut json = String::with_capacity(self.bytes + from.as_str().len() + 16);
        for part in [r#"{"type":""#, self.kind.as_str(), r#"","from":""#, from.as_str(), "\""] {
            json.push_str(part);
        }
        for (key, value) in &self.fields {
            for part in [",", key, ":", value] {
                json.push_str(part);
            }
        }
        json.push('}');
        json.into()
    }
}

/// What the relay says of its own accord.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RelayMessage<'a> {
    /// To the one who joined.
    #[serde(rename_all = "camelCase")]
    Joined {
        /// The id that this peer has in the room.
        id: &'a PeerId,
        /// The room that was joined.
        room: &'a RoomName,
        /// The id of the host, the oldest member.
        host: &'a PeerId,
        /// Everyone else, oldest first.
        peers: Vec<Peer<'a>>,
        /// For `RTCConfiguration.iceServers`.
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
    /// A message was not carried out.
    Error {
        /// What is wrong, for programs.
        code: ErrorCode,
        /// What is wrong, for people.
        message: &'a str,
        /// The `to` that was not found.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<&'a str>,
        /// The `ref` of the message that was not carried out.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        /// Whether the same message may succeed later.
        retryable: bool,
    },
    /// The relay is about to restart.
    #[serde(rename_all = "camelCase")]
    Goaway {
        /// How long to wait before the next attempt, in milliseconds; different for each peer.
        retry_after_ms: u64,
    },
}

impl RelayMessage<'_> {
    /// Writes the message.
    pub fn encode(&self) -> Utf8Bytes {
        // Every key is a string and every value one that serde_json can write, so this cannot fail.
        serde_json::to_string(self).unwrap_or_default().into()
    }
}

/// The STUN and TURN servers that a client may use, as `RTCConfiguration.iceServers` takes them.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct IceServers(Vec<serde_json::Map<String, serde_json::Value>>);

impl IceServers {
    /// The list as JSON.
    pub fn json(&self) -> String {
        // Strings, numbers and maps with keys that are strings: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl FromStr for IceServers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = r#"it is not a JSON array such as [{"urls":"stun:stun.example:3478"}]"#;
        let servers: Vec<serde_json::Map<_, _>> =
            serde_json::from_str(text).map_err(|error| format!("{wrong}: {error}"))?;
        if servers.iter().any(|server| !server.contains_key("urls")) {
            return Err(format!("{wrong}: each server needs \"urls\""));
        }
        Ok(Self(servers))
    }
}

/// A member of a room, as the others see it.
#[derive(Debug, Serialize)]
pub struct Peer<'a> {
    /// Its id.
    pub id: &'a PeerId,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a PeerName>,
}

/// Why a peer is no longer in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
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
    /// Too much at once.
    RateLimited,
    /// The relay itself failed.
    Internal,
}

impl ErrorCode {
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
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal",
        }
    }

    /// Whether the same message may succeed later.
    pub fn retryable(self) -> bool {
        matches!(self, Self::RoomFull | Self::RateLimited | Self::Internal)
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
    /// For programs.
    pub code: ErrorCode,
    /// A sentence for people.
    pub message: Cow<'static, str>,
    /// The `to` that was not found.
    pub to: Option<String>,
}

impl Refusal {
    /// A refusal without a `to`.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), to: None }
    }

    /// Writes the `error` that answers the message whose `ref` is `reference`.
    pub fn encode(&self, reference: Option<&str>) -> Utf8Bytes {
        RelayMessage::Error {
            code: self.code,
            message: &self.message,
            to: self.to.as_deref(),
            reference,
            retryable: self.code.retryable(),
        }
        .encode()
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
