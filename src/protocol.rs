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
//! | `bad_room`, `bad_id` | see [`names`](crate::names) | no |
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

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::limits::{NESTING_DEPTH, REF_BYTES};
use crate::names::{NameError, PeerId, PeerName, RoomName};

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

/// One text from a client: what it asks for, or why it cannot be carried out, and the `ref` that an answer repeats.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// The `ref`, where it could be read.
    pub reference: Option<Cow<'a, str>>,
    /// The message.
    pub message: Result<ClientMessage<'a>, Refusal>,
}

/// Reads one text from a client.
pub fn parse(text: &str) -> Parsed<'_> {
    let envelope: Envelope<'_> = match serde_json::from_str(text) {
        Ok(envelope) => envelope,
        Err(error) => {
            let refusal = Refusal::new(ErrorCode::BadJson, format!("a message is one JSON object: {error}"));
            return Parsed { reference: None, message: Err(refusal) };
        }
    };
    match envelope.reference() {
        Ok(reference) => Parsed { reference, message: envelope.message(text) },
        Err(refusal) => Parsed { reference: None, message: Err(refusal) },
    }
}

/// A flat JSON object whose keys and values are kept as they were written. (serde's internally tagged enums cannot
/// hold a `RawValue`: serde-rs/serde#545.)
struct Envelope<'a> {
    fields: Vec<Field<'a>>,
}

struct Field<'a> {
    /// The key as JSON, with its quotes and escapes.
    raw_key: &'a str,
    /// The key as text. One that is no Unicode text (a lone surrogate) stands here as JSON: it matches no name of ours.
    key: Cow<'a, str>,
    value: &'a str,
}

impl<'a> Envelope<'a> {
    fn message(self, text: &'a str) -> Result<ClientMessage<'a>, Refusal> {
        if nested_deeper_than(text, NESTING_DEPTH) {
            return Err(bad_message(format!("nested deeper than {NESTING_DEPTH} levels")));
        }
        if let Some(key) = self.key_that_stands_twice() {
            return Err(bad_message(format!("the field {key:?} is there twice")));
        }
        let Some(kind) = self.string("type")? else {
            return Err(bad_message("the field \"type\" is missing"));
        };
        match kind.as_ref() {
            "join" => self.join().map(ClientMessage::Join),
            "leave" => Ok(ClientMessage::Leave),
            "offer" => self.signal(SignalKind::Offer, text.len()),
            "answer" => self.signal(SignalKind::Answer, text.len()),
            "offer_ice" => self.signal(SignalKind::OfferIce, text.len()),
            "answer_ice" => self.signal(SignalKind::AnswerIce, text.len()),
            "message" => self.signal(SignalKind::Message, text.len()),
            "joined" | "peer_joined" | "peer_left" | "host" | "error" | "goaway" => {
                Err(Refusal::new(ErrorCode::UnknownType, format!("only the relay says {kind:?}")))
            }
            _ => Err(Refusal::new(ErrorCode::UnknownType, format!("no message has the type {}", shortened(&kind)))),
        }
    }

    fn join(&self) -> Result<Join, Refusal> {
        let Some(room) = self.string("room")? else {
            return Err(bad_message("\"join\" needs the field \"room\""));
        };
        let name = self.string("name")?.map_or(Ok(None), |name| PeerName::parse(&name))?;
        let id = self.string("id")?.map(|id| PeerId::parse(&id)).transpose()?;
        Ok(Join { room: RoomName::parse(&room)?, name, id })
    }

    fn signal(self, kind: SignalKind, bytes: usize) -> Result<ClientMessage<'a>, Refusal> {
        let (field, expected, fits) = kind.payload();
        match self.get(field) {
            None => return Err(bad_message(format!("{:?} needs the field {field:?}", kind.as_str()))),
            Some(value) if !fits(value) => return Err(bad_message(format!("the field {field:?} must be {expected}"))),
            Some(_) => {}
        }
        let to = self.string("to")?;
        let ours = |key: &str| key == "type" || key == "from";
        let fields = self.fields.iter().filter(|field| !ours(&field.key)).map(|field| (field.raw_key, field.value));
        Ok(ClientMessage::Signal(Signal { kind, to, bytes, fields: fields.collect() }))
    }

    fn reference(&self) -> Result<Option<Cow<'a, str>>, Refusal> {
        let reference = self.string("ref")?;
        match reference {
            Some(reference) if reference.len() > REF_BYTES => {
                Err(bad_message(format!("the field \"ref\" has at most {REF_BYTES} bytes")))
            }
            reference => Ok(reference),
        }
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.fields.iter().find(|field| field.key == key).map(|field| field.value)
    }

    fn string(&self, key: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
        let Some(json) = self.get(key) else { return Ok(None) };
        decode_string(json).map(Some).ok_or_else(|| bad_message(format!("the field {key:?} must be a string")))
    }

    /// Sorted, so that ten thousand keys in one message cost no more than reading them.
    fn key_that_stands_twice(&self) -> Option<&str> {
        let mut keys: Vec<&str> = self.fields.iter().map(|field| field.key.as_ref()).collect();
        keys.sort_unstable();
        keys.windows(2).find_map(|pair| match pair {
            [one, next] if one == next => Some(*one),
            _ => None,
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some((key, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
                    let raw_key = key.get();
                    let key = decode_string(raw_key).unwrap_or(Cow::Borrowed(raw_key));
                    fields.push(Field { raw_key, key, value: value.get() });
                }
                Ok(Envelope { fields })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// The text that a JSON string stands for; none when `json` is no string, or one that is no Unicode text.
fn decode_string(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// Whether valid JSON nests deeper than `levels`. (serde_json's own limit does not reach into a `RawValue`.)
fn nested_deeper_than(json: &str, levels: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > levels {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn bad_message(message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(ErrorCode::BadMessage, message)
}

/// At most 40 characters of what a client wrote, quoted and escaped, to say it back.
fn shortened(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> Refusal {
        parse(text).message.expect_err(text)
    }

    fn relayed(text: &str) -> String {
        match parse(text).message {
            Ok(ClientMessage::Signal(signal)) => signal.encode(&PeerId::parse("me").unwrap()).to_string(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_payload_passes_byte_for_byte() {
        for data in [
            "1.10",
            "-0",
            "1e400",
            "12345678901234567890.50",
            r#""\ud800""#,
            r#""\u0041\u0000""#,
            r#"{"b":1,"a":2,"b":3}"#,
            "[]",
            "null",
            "\"\u{2028}\"",
            "[ 1,  2 ]",
            r#""\/""#,
        ] {
            let sent = format!(r#"{{"type":"message","data":{data}}}"#);
            assert_eq!(relayed(&sent), format!(r#"{{"type":"message","from":"me","data":{data}}}"#));
        }
    }

    #[test]
    fn fields_that_the_protocol_does_not_name_travel_too_in_their_order() {
        assert_eq!(
            relayed(r#" { "x" : [1] , "to":"b","type":"offer","sd\u0070":"v=0","\ud800":"k" } "#),
            r#"{"type":"offer","from":"me","x":[1],"to":"b","sd\u0070":"v=0","\ud800":"k"}"#
        );
    }

    #[test]
    fn what_a_client_puts_into_from_is_dropped() {
        let stamped = r#"{"type":"message","from":"me","data":1}"#;
        assert_eq!(relayed(r#"{"type":"message","from":"admin","data":1}"#), stamped);
        assert_eq!(relayed(r#"{"fr\u006fm":"admin","type":"message","data":1}"#), stamped);
    }

    #[test]
    fn what_is_not_one_json_object_is_bad_json() {
        for text in [
            "",
            " ",
            "hello",
            "1",
            "[]",
            "null",
            r#""offer""#,
            "{",
            "{}{}",
            r#"{"a":}"#,
            "{\"a\":\"\n\"}",
            "\u{feff}{}",
        ] {
            assert_eq!(refusal(text).code, ErrorCode::BadJson, "{text:?}");
        }
        assert_eq!(refusal(&"[".repeat(32 * 1024)).code, ErrorCode::BadJson);
    }

    #[test]
    fn a_field_that_is_missing_of_the_wrong_kind_or_there_twice_is_a_bad_message() {
        for text in [
            "{}",
            r#"{"type":1}"#,
            r#"{"type":null}"#,
            r#"{"type":"join"}"#,
            r#"{"type":"join","room":7}"#,
            r#"{"type":"join","room":"r","name":7}"#,
            r#"{"type":"join","room":"r","name":null}"#,
            r#"{"type":"join","room":"\ud800"}"#,
            r#"{"type":"offer"}"#,
            r#"{"type":"offer","sdp":null}"#,
            r#"{"type":"answer","sdp":{"type":"answer"}}"#,
            r#"{"type":"offer_ice"}"#,
            r#"{"type":"offer_ice","iceCandidate":"candidate:1"}"#,
            r#"{"type":"message"}"#,
            r#"{"type":"message","data":1,"to":null}"#,
            r#"{"type":"message","data":1,"to":["a"]}"#,
            r#"{"type":"message","data":1,"ref":1}"#,
            r#"{"type":"message","data":1,"data":1}"#,
            r#"{"type":"message","data":1,"d\u0061ta":1}"#,
            r#"{"type":"message","data":1,"from":"a","from":"b"}"#,
        ] {
            assert_eq!(refusal(text).code, ErrorCode::BadMessage, "{text}");
        }
        let long_ref = format!(r#"{{"type":"leave","ref":"{}"}}"#, "x".repeat(65));
        assert_eq!(refusal(&long_ref).code, ErrorCode::BadMessage);
        let long_name = format!(r#"{{"type":"join","room":"r","name":"{}"}}"#, "x".repeat(65));
        assert_eq!(refusal(&long_name).code, ErrorCode::BadMessage);
    }

    #[test]
    fn nesting_of_32_levels_passes_and_of_33_does_not() {
        let nested = |levels: usize| {
            let inner = levels - 1;
            format!(r#"{{"type":"message","data":{}{}}}"#, "[".repeat(inner), "]".repeat(inner))
        };
        assert!(parse(&nested(32)).message.is_ok());
        assert_eq!(refusal(&nested(33)).code, ErrorCode::BadMessage);
        assert_eq!(refusal(&nested(20_000)).code, ErrorCode::BadMessage);
        let brackets_in_a_string = format!(r#"{{"type":"message","data":"\"{}"}}"#, "[".repeat(100));
        assert!(parse(&brackets_in_a_string).message.is_ok());
    }

    #[test]
    fn types_that_clients_do_not_say_are_unknown() {
        for kind in ["", "Offer", "welcome", "joined", "peer_joined", "peer_left", "host", "error", "goaway"] {
            assert_eq!(refusal(&format!(r#"{{"type":"{kind}"}}"#)).code, ErrorCode::UnknownType, "{kind}");
        }
    }

    #[test]
    fn a_ref_is_read_even_when_the_message_is_refused() {
        let parsed = parse(r#"{"type":"nonsense","ref":"7"}"#);
        let error = parsed.message.unwrap_err().encode(parsed.reference.as_deref());
        assert_eq!(
            error.as_str(),
            r#"{"type":"error","code":"unknown_type","message":"no message has the type \"nonsense\"","ref":"7","retryable":false}"#
        );
    }

    #[test]
    fn ten_thousand_keys_cost_no_more_than_reading_them() {
        let keys: Vec<String> = (0..10_000).map(|n| format!("\"{n}\":0")).collect();
        let text = format!(r#"{{"type":"message","data":0,{}}}"#, keys.join(","));
        assert!(relayed(&text).ends_with("\"9999\":0}"));
    }

    #[test]
    fn a_join_reads_its_three_fields() {
        let parsed = parse(r#"{"type":"join","room":"\u4f1a\u8bae","name":"","id":"tab_1"}"#);
        let Ok(ClientMessage::Join(join)) = parsed.message else { panic!("not a join") };
        assert_eq!(join.room, RoomName::parse("会议").unwrap());
        assert_eq!(join.name, None);
        assert_eq!(join.id, Some(PeerId::parse("tab_1").unwrap()));
    }
}
