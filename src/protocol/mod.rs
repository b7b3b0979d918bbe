//! The messages of the protocol, parsed and encoded. This page is the reference of the protocol.
//!
//! # Transport
//! The transport is WebSocket (RFC 6455), over plain `ws://`, or over `wss://` if the relay has a certificate. Each
//! message is one text frame, or its fragments, with one JSON object (RFC 8259) of at most
//! [`MESSAGE_BYTES`](crate::limits::MESSAGE_BYTES) by default. The relay negotiates no compression. A client needs no
//! subprotocol; if it offers `signaling-relay`, alone or among others, the relay selects it.
//!
//! # The URL names the room
//! | URL | what happens |
//! | --- | --- |
//! | `ws://host/?room=R` (also `&name=N`, `&id=I`, `&token=T`, `&resume=1`) | the client joins room `R` as it connects |
//! | `ws://host/` | the client joins the room `lobby` as it connects |
//! | `ws://host/ws` | the client is in no room, and must send `join` within 10 seconds |
//!
//! The client joins the room of the URL before the relay answers the upgrade, so it is in that room as soon as it is
//! connected. If a client without `?room=` cannot join, the relay refuses the upgrade: with `503 Service Unavailable`
//! when `lobby` is full (it takes two members) or for `unavailable`, with 400 for a bad `name` or `id`, 409 for a taken
//! `id`, 401 for `unauthorized` and `wrong_password`, 403 for `denied`, and 429 for `rate_limited`. If a client with `?room=` cannot join, the relay accepts the upgrade, sends an
//! `error`, and closes with 1013 if the error is retryable, otherwise with 1008. In a query `+` is a space, other
//! parameters are ignored, and `room`, `name`, `id`, `token` and `resume` may each be present once. A plain HTTP request for the same URLs
//! gets the page.
//!
//! # Client to relay
//! | `type` | fields | meaning |
//! | --- | --- | --- |
//! | `join` | `room`, `name`?, `id`?, `token`?, `password`?, `resume`? (true or false) | enter a room; a connection is in at most one room at a time |
//! | `resume` | `token`, `received` | take a place again whose connection is lost |
//! | `leave` | | leave the room, or stop waiting at it; the connection stays open |
//! | `offer`, `answer` | `sdp` (string), `to`? | the relay sends it to peer `to`, or to everyone else in the room |
//! | `offer_ice`, `answer_ice` | `iceCandidate` (object, or null for the end of candidates), `to`? | the same |
//! | `message` | `data` (any JSON), `to`? | the same |
//! | `kick`, `lock`, `admit`, `deny`, `make_host` | | see [what a host may do](#what-a-host-may-do) |
//!
//! `offer`, `answer`, `offer_ice`, `answer_ice` and `message` are the *signals*. Every message may have a `ref`, a string
//! of at most 64 bytes of UTF-8; an `error` that answers the message repeats it. Leave out a field that you do not need:
//! for `to`, `ref`, `name`, `id`, `token` and `password`, `null` is a value of the wrong kind, because a `to` that a client
//! lost must not turn a message into a broadcast. An empty `name` means no name, and an empty `password` no password. The
//! relay passes the other fields of a signal on (`ref` and `to` among them), byte for
//! byte and in their order, without the white space between them.
//!
//! # Who may enter
//! Everybody, unless the relay asks for tokens, or a webhook or the program that embeds the relay decides. A token is a
//! JWT (RFC 7519) of at most [`TOKEN_BYTES`](crate::limits::TOKEN_BYTES), in the field `token` of `join`, or in
//! `?token=` where the URL joins; prefer the former, because proxies log queries. It is signed with a key of the relay:
//! HS256, ES256, RS256 or EdDSA, whichever belongs to that key. Its claims are:
//!
//! | claim | |
//! | --- | --- |
//! | `exp` (seconds since 1970) | required; 60 seconds of leeway, as for `nbf` |
//! | `room` | required: a name, a list of names, or a prefix that ends in `*`, also in a list |
//! | `nbf` | not valid before |
//! | `sub` | becomes the peer's `id`, whatever the client says |
//! | `name` | becomes its `name`, whatever the client says |
//! | `role` | `host` or `guest`; without it `guest` |
//! | `aud` | must be absent: such a token is for another service |
//!
//! Other claims are ignored. A relay that asks for no tokens ignores the token, unless its webhook or its program looks
//! at it. A webhook is asked after the token was found good, and is told the id and the name of the token, which win
//! over its answer. What a client sends after its `join` waits for that answer, 5 seconds at most.
//!
//! # Relay to client
//! | `type` | fields | when |
//! | --- | --- | --- |
//! | `joined` | `id`, `room`, `host`, `peers` (`[{id, name?, away?}]`, oldest first), `iceServers`; `"locked":true` and `"password":true` if that is so; `resume`? (`{token, holdMs}`) | to the peer that joined, before anything else from that room |
//! | `resumed` | the same, and `received` | to the peer that has its place again, before anything else |
//! | `taken` | `received` | to a peer that may resume, at least once in 64 of its messages |
//! | `peer_joined` | `id`, `name`? | to everyone else in the room |
//! | `peer_away`, `peer_back` | `id` | to everyone else in the room, in turn |
//! | `peer_left` | `id`, `reason` | to everyone still in the room, once for each `peer_joined` |
//! | `host` | `id` | the [host](#what-a-host-may-do) is another one |
//! | `room` | `locked` | to everyone in the room when it is locked or unlocked |
//! | `waiting` | | the room is locked: to who comes, and waits from now on |
//! | `knock` | `id`, `name`? | to the host: somebody waits, who will have this id |
//! | `knock_gone` | `id` | to the host: it waits no longer, and does not come in |
//! | the five signals | as sent, plus `from` | the relay sets `from`, and drops a `from` that a client sent |
//! | `error` | `code`, `message`, `to`?, `ref`?, `retryable` | a message of the client was not carried out |
//! | `goaway` | `retryAfterMs` | before the relay closes connections to restart |
//!
//! Reasons of `peer_left`: `left` (it sent `leave`), `closed` (its connection ended), `timeout` (it did not respond to
//! a ping, or did not come back to its place in time), `slow` (it did not read), `policy` (it broke the protocol's rules), `idle` (it gave way in `lobby`), `kicked`
//! (the host removed it), `shutdown` (the relay shuts down).
//!
//! | `code` | when | `retryable` |
//! | --- | --- | --- |
//! | `bad_json` | the text is not JSON, or not one object | no |
//! | `bad_message` | `type` or another field is missing, of the wrong kind, or present twice; the nesting is deeper than 32 (the message itself is the first level); the `name` is not valid | no |
//! | `unknown_type` | no client message has this `type` | no |
//! | `not_joined`, `already_joined` | the message needs a room, or is a second `join` or a `resume` in a room | no |
//! | `bad_room`, `bad_id` | the name or the id is not valid: see [`names`] | no |
//! | `room_full` | the room has reached its capacity, or 16 wait at it already | yes |
//! | `id_taken` | another peer in the room, or one that waits at it, has this `id`; after a lost connection that may be the client's own earlier connection, which the relay closes within 40 seconds | no |
//! | `peer_not_found` | no peer in this room, or none that waits at it, has the id `to` (which the error repeats), or it is the sender's own; a broadcast has no receiver and is not held | no |
//! | `peer_busy` | the peer `to` (the error names it also for a broadcast) reads slower than this client sends, and did not get the message; all other receivers did | yes |
//! | `rate_limited` | the client sends too many messages, or its address joins too often or gave too many wrong passwords; this message was dropped | yes |
//! | `resume_failed` | there is no place with this `token`, or it cannot go on after `received` | no |
//! | `unauthorized` | the token is missing or not good (the message says why), or who decides on joins does not let this client into the room | no |
//! | `unavailable` | whether the client may join cannot be decided now: the webhook or the authorizer gave no decision, or a member or the client itself has not yet read about earlier joins and leaves | yes |
//! | `wrong_password` | the room has a password, and the `join` has another one or none | no |
//! | `denied` | the host did not let the client into the locked room, nobody did so in time, everybody left, or the person was kicked from this room before | no |
//! | `kicked` | the host removed the client from the room; the connection is closed | no |
//! | `not_host` | only the host may send this | no |
//! | `internal` | the relay could not make an id | yes |
//!
//! # Close codes
//! | code | meaning |
//! | --- | --- |
//! | 1000 or the client's code | the relay answers the client's close frame with the same code |
//! | 1001 | the relay shuts down for good |
//! | 1002 | the frames break RFC 6455 |
//! | 1003 | the client sent a binary message |
//! | 1007 | the client sent a text that is not UTF-8 |
//! | 1008 | policy: too many messages or empty frames, no join in time, no response to a ping, an unfinished message, a refused `?room=`, idle in a full `lobby`, kicked |
//! | 1009 | the client sent a message that is too large |
//! | 1012 | the relay restarts; it sent `goaway` before |
//! | 1013 | `?room=` was refused with a retryable error (such as a full room), or the client does not read |
//! | 4001 | another connection has taken this client's place; do not take it back |
//!
//! # A place that survives a lost network
//! A client that joins with `"resume": true` (or `?room=R&resume=1`) gets a `resume` in `joined`: a `token` for its place,
//! and for how many milliseconds (`holdMs`) the place is held when the connection is lost. There is none if the operator
//! has turned this off. The token stays the same as long as the place exists. It is a secret.
//!
//! Both sides count from each `joined`, and write no number into a message. The relay numbers what it sends: `joined` is 1;
//! `error`, `taken` and `goaway` have numbers as well. The client numbers what it sends after its `join` (from its first
//! message if the URL joins); a message that the relay answered with an `error` has a number too. Without a number are
//! `resume`, `resumed`, and what came before `resumed` on that connection.
//!
//! | what happens | what the relay does |
//! | --- | --- |
//! | the client sends `leave`, or closes with 1000, 1001 or no code | `peer_left` at once |
//! | the relay closes with 1002, 1003, 1007, 1009, or with 1008 for a broken rule | `peer_left` at once |
//! | the relay shuts down | places are not held |
//! | the connection ends in another way: reset, end of stream, another close code, no pong, not read | the place is held; the others get `peer_away` |
//! | a new connection to `/ws` sends `resume` with the token, and the number of the last message that the client has | `resumed`, then each later message once; the others get `peer_back` |
//! | the same while the old connection is open | the same, but nobody else is told; the old connection is closed with 4001, and nothing more is read from it. Of several, the last one keeps the place |
//! | the time is over | `peer_left` with the reason `timeout` |
//! | there is no such token, or `received` is beyond what was sent or before what is kept, or so far back that the [`ANNOUNCEMENTS`](crate::limits::ANNOUNCEMENTS) after it do not fit | `resume_failed`; the connection stays. A place that is held ends, but for the first case (`timeout`) |
//! | `token` or `received` is missing or of the wrong kind | `bad_message`; the place stays |
//!
//! The client sends again what comes after `resumed.received`, and nothing before it has `resumed`. `taken` tells earlier
//! what it need not keep; one that is sent again may say less than `resumed` did. `host` and `peers` in `resumed` are as of
//! now, and messages that follow may say the same again. If the client was idle in a full `lobby`, its place may be gone.
//!
//! A peer that is away counts towards the capacity, and keeps its id, its turn as the host, its rates and its held offer.
//! Messages to it wait, as much as a share holds; then the senders get `peer_busy`, at once. If a client is away when so
//! many come and go that their [`ANNOUNCEMENTS`](crate::limits::ANNOUNCEMENTS) do not fit, its place ends (`timeout`). So
//! does a place at once if as many are held already, of its address or in all, as there may be connections.
//!
//! The relay keeps what it has sent until it knows that it has arrived, within the bound of what may wait for the client. No
//! client has to acknowledge anything: a ping carries the number of the last message before it, and the pong proves it.
//! Even then, messages are only forgotten when others need their room.
//!
//! # Alone in the room
//! If a peer that is alone broadcasts an `offer`, the room holds the offer and the broadcast `offer_ice` that follow
//! it: at most one offer, and 64 KiB as sent. A peer that joins while their sender is alone gets them right after
//! `joined`. The room drops them when their sender leaves, sends another offer, or is sent an answer.
//!
//! # What a host may do
//! The host is whoever has the role of a host by the [authorizer](crate::Authorizer), the oldest of them; if nobody has it,
//! the oldest member.
//!
//! | `type` | fields | meaning |
//! | --- | --- | --- |
//! | `kick` | `to`, `message`? (1024 bytes at most) | the member gets the error `kicked`, with the message, and is closed with 1008; the others get `peer_left` with the reason `kicked` |
//! | `lock` | `locked` (true or false) | who comes to a locked room waits; everyone gets `room` |
//! | `admit` | `to` (the `id` of a `knock`) | lets it in |
//! | `deny` | `to` (the `id` of a `knock`) | turns it away: it gets the error `denied` |
//! | `make_host` | `to` | the member comes first among those who count as much as the sender, until it leaves or another one is chosen; everyone gets `host` |
//!
//! From other members they are refused with `not_host`; but one who has the role may send `make_host` while the host does
//! not have it, also with its own id. Each counts towards the message rate as often as what it causes is sent.
//!
//! Who was kicked may come back; a lock helps. But if the authorizer vouches for its id (the `sub` of a token), it is
//! `denied` until the room is empty.
//!
//! Who comes to a locked room gets `waiting`, and the host `knock`; a new host gets the knocks of all who wait. While a
//! client waits, it is told nothing of the room, its signals are refused with `not_joined`, and it need not join in time. It
//! stops with `leave`, or by closing. At most [`KNOCKS`](crate::limits::KNOCKS) wait at a time, each for
//! [`KNOCK_DEADLINE`](crate::limits::KNOCK_DEADLINE), whether or not the room is full: `admit` is then refused with
//! `room_full`, and the client still waits. When the room is unlocked, those who wait enter in the order in which they
//! came; one that finds it full gets `room_full`. When the room is empty, those who wait are `denied`, and the lock is gone.
//! Who gets an error instead of `joined` stays connected, unless its URL named the room: then it is closed (1008, or 1013 if
//! it may try again). Who has the role enters a locked room without waiting; one who waits with the same id gets `id_taken`.
//!
//! # A room's password
//! The first one who enters a room sets its password, if its `join` has one (128 bytes at most); the others must know it,
//! until the room is empty. A room without a password takes any. It is asked before a client may wait at a locked room.
//! After [`WRONG_PASSWORDS`](crate::limits::WRONG_PASSWORDS) wrong ones within a minute, clients at the same address are
//! refused with `rate_limited`, even with the right one. A URL cannot contain a password, because proxies log URLs.
//!
//! # Peers that read slowly, and clients that send too much
//! Each sender has a share of [`SHARE_MESSAGES`](crate::limits::SHARE_MESSAGES) and
//! [`SHARE_BYTES`](crate::limits::SHARE_BYTES) that may be queued for one receiver; an empty share takes any message.
//! When the share is full, the relay does not read from the sender, for [`PAUSE`](crate::limits::PAUSE) at most, so
//! that a burst slows down to the pace of its receiver. After that, or as soon as the receiver's socket has accepted
//! nothing for [`STALL`](crate::limits::STALL), the relay refuses the message with `peer_busy`, and each further one
//! until the share is at most half full. A broadcast still reaches all other receivers, and the sender gets one
//! `peer_busy` for each busy one. A share belongs to a connection: to join again does not renew it.
//!
//! Messages beyond the rate are answered with `rate_limited`; a broadcast, a `join` and a `leave` count once for each
//! peer that they are sent to. A client that goes on regardless is closed (1008). Bytes beyond the rate are read later;
//! that alone closes no connection. The relay closes a connection (1008) that sends more pings, pongs and empty
//! fragments than [`EMPTY_FRAMES`](crate::limits::EMPTY_FRAMES) a second for 2 seconds, or a message that is not
//! finished 10 seconds after its first byte. If a client does not read its `error`s, the relay does not read from it
//! until it does.
//!
//! A connection is closed as too slow (1013, `peer_left` with the reason `slow`) when its socket has accepted nothing
//! for 5 seconds although frames were queued. However much others send, a client that reads is not closed.
//!
//! # Many clients at one address
//! The relay limits what all clients of one address use together; IPv6 addresses count by their /64. Beyond
//! [`ADDRESS_CONNECTIONS`](crate::limits::ADDRESS_CONNECTIONS), it answers a connection with `503 Service Unavailable`,
//! or closes it; beyond [`ADDRESS_UPGRADES`](crate::limits::ADDRESS_UPGRADES), it answers an upgrade with `429 Too Many
//! Requests`. Both have a `Retry-After`. It does not answer a TLS handshake. A join beyond [`ADDRESS_JOINS`](crate::limits::ADDRESS_JOINS) gets
//! `rate_limited`; one that fails with `room_full`, `id_taken`, `unauthorized` or `wrong_password` counts as
//! [`FAILED_JOIN`](crate::limits::FAILED_JOIN) joins. Bytes beyond [`ADDRESS_BYTES`](crate::limits::ADDRESS_BYTES) are read
//! later. An operator may change these numbers.
//!
//! # Who waits in the lobby
//! If a client enters `lobby` when it is full, and a member has neither sent nor been sent a signal for
//! [`LOBBY_IDLE`](crate::limits::LOBBY_IDLE), the member that was idle for longest gives way: its connection is closed
//! (1008), and the other member gets `peer_left` with the reason `idle`.
//!
//! # Promises
//! Messages from one sender to one receiver arrive in the order sent, at most once, and none is lost while both stay
//! connected, or come back to their places. No loss is silent: the sender gets an `error`, or a connection closes and `peer_left` says so. No message
//! crosses from one room to another.

mod encode;
mod ice;
mod parse;
mod scan;

pub use encode::encode;
pub use parse::{Parsed, parse};

use crate::auth::Secret;
pub use crate::room::names;
use crate::room::names::{PeerId, PeerName, RoomName};
pub use crate::room::{
    ErrorCode, Event, HostCommand, IceServers, LeaveReason, Peer, Refusal, ResumeOffer, Signal, SignalKind, View,
};

/// A valid message from a client.
#[derive(Debug)]
pub enum Command<'a> {
    /// Enter a room.
    Join(Join),
    /// Get a place back whose connection is lost, or why this message is invalid.
    Resume(Result<Resume, Refusal>),
    /// Leave the room.
    Leave,
    /// Relay a signal to one peer or to all others.
    Signal(Signal<'a>),
    /// What only the host of the room may do.
    Host(HostCommand<'a>),
}

/// A request to enter a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The room to enter.
    pub room: RoomName,
    /// The client's display name.
    pub name: Option<PeerName>,
    /// The id that the client chose; without it the relay makes one.
    pub id: Option<PeerId>,
    /// The token that the client shows.
    pub token: Option<Secret>,
    /// The password of the room.
    pub password: Option<Secret>,
    /// Whether the client wants to come back to its place if its connection is lost.
    pub resume: bool,
}

/// A request to get a place back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The token of the place.
    pub token: Secret,
    /// The number of the last message that the client has received.
    pub received: u64,
}
