//! The words on the wire, typed: parse and encode, nothing else; independent of sockets, rooms and time.
//!
//! This page is the reference of the protocol.
//!
//! # Transport
//! RFC 6455 WebSocket, text frames, one JSON object (RFC 8259) a message, UTF-8, at most
//! [`MESSAGE_BYTES`](crate::limits::MESSAGE_BYTES) by default. No compression is negotiated. No subprotocol is needed; a client
//! that offers `signaling-relay` among others gets it, and others are ignored. Over plain `ws://`, or over `wss://` when the relay has a certificate.
//!
//! # The URL names the room
//! | URL | what happens |
//! | --- | --- |
//! | `ws://host/?room=R` (also `&name=N`, `&id=I`) | joins room `R` as it connects |
//! | `ws://host/` | joins the room `lobby` as it connects |
//! | `ws://host/ws` | joins no room: send `join`, within 10 seconds |
//!
//! Whoever is connected by a URL that names a room is in it: the room is entered before the upgrade is answered.
//! `lobby` holds two; a third who comes by the bare URL is refused at the upgrade with `503 Service Unavailable` (a bad
//! `name` or `id` with 400, a taken `id` with 409, `unauthorized` with 401, `unavailable` with 503). A refused `?room=` is told
//! why by an `error`, then closed with 1013 when that is retryable, and with 1008 otherwise. In a query `+` is a space, other parameters are ignored, and `room`, `name` and
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
//! | `bad_room`, `bad_id` | see [`names`] | no |
//! | `room_full` | the room has as many as it takes | yes |
//! | `id_taken` | somebody in the room has this `id`; after a lost connection that may be the client's own earlier one, which is found dead within 40 seconds | no |
//! | `peer_not_found` | nobody in this room has the id `to` (which is repeated), or it is the sender's own; a broadcast that reached nobody and is not held | no |
//! | `peer_busy` | the peer `to` (which is repeated, or named where the message was for everyone) reads slower than this client sends, and did not get the message; everyone else has it | yes |
//! | `rate_limited` | too many messages at once; the message was dropped | yes |
//! | `unauthorized` | the relay's owner does not let this client into the room | no |
//! | `unavailable` | whether the client may enter cannot be decided just now: whoever decides gave no answer, or a member has yet to read who came and went before | yes |
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
//! | 1008 | policy: rate, no join in time, no sign of life, an unfinished message, a refused `?room=` |
//! | 1009 | a message that is too large |
//! | 1012 | the relay restarts; `goaway` came before |
//! | 1013 | a refused `?room=` that is retryable (the room is full), or the client reads nothing |
//!
//! # Alone in the room
//! A broadcast `offer` by someone who is alone, and the broadcast `offer_ice` that follow it, are held: at most one offer
//! and 64 KiB as sent. Whoever joins while their sender is alone gets them right after `joined`. They are forgotten when
//! their sender leaves, sends another offer, or is sent an answer.
//!
//! # Peers that read slowly, and clients that send too much
//! Each sender may have [`SHARE_MESSAGES`](crate::limits::SHARE_MESSAGES) and
//! [`SHARE_BYTES`](crate::limits::SHARE_BYTES) waiting for one receiver; an empty share takes any message. When it is full the
//! relay does not read from the sender for [`PAUSE`](crate::limits::PAUSE) at most: a burst finds its pace that way. Then,
//! or as soon as the receiver's socket has taken nothing for [`STALL`](crate::limits::STALL), the message is answered with
//! `peer_busy`, and so is each that follows until half of the share has drained. Of a broadcast everyone else has the message,
//! and each who was busy is named by a `peer_busy` of its own. A share belongs to a connection: joining anew brings no new one.
//!
//! Messages beyond the rate are answered with `rate_limited`; a broadcast, a `join` and a `leave` count once for each peer that
//! hears of them. A client that goes on is closed (1008). Bytes beyond the rate are not read until there is room, which closes
//! nobody. Pings, pongs and empty fragments beyond [`EMPTY_FRAMES`](crate::limits::EMPTY_FRAMES) a second for 2 seconds, and a
//! message that is not finished 10 seconds after its first byte, close the connection (1008). A client that does not read its
//! `error`s is not read from until it does.
//!
//! A connection is closed as too slow (1013, `peer_left` with the reason `slow`) when its socket has taken nothing for 5
//! seconds although something waited. Nothing that others send brings that about.
//!
//! # Promises
//! Messages from one sender to one receiver arrive in the order sent, at most once, and none is lost while both stay
//! connected. Loss is never silent: the sender gets an `error`, or somebody's connection closes and `peer_left` says so.
//! Nothing crosses from one room to another.

mod encode;
mod parse;

use std::str::FromStr;
use std::sync::Arc;

pub use encode::encode;
pub use parse::{Parsed, parse};

pub use crate::room::names;
use crate::room::names::{PeerId, PeerName, RoomName};
pub use crate::room::{ErrorCode, Event, IceServers, LeaveReason, Peer, Refusal, Signal, SignalKind};

/// What a client asks for.
#[derive(Debug)]
pub enum Command<'a> {
    /// Enter a room.
    Join(Join),
    /// Leave the room.
    Leave,
    /// Carry this to one peer or to all.
    Signal(Signal<'a>),
}

/// A request to enter a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The room to enter.
    pub room: RoomName,
    /// What people call the one who enters.
    pub name: Option<PeerName>,
    /// The id that the client chose; the relay makes one otherwise.
    pub id: Option<PeerId>,
}

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
        Ok(Self(Arc::new(servers)))
    }
}
