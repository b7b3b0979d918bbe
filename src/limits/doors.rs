//! Doors: the ways of clients through one relay to a room at another.

use std::time::Duration;

/// Bytes that a socket between two relays keeps in each direction (Linux doubles it). What a slow reader does not take waits
/// there once more than without a door, and pings behind it: with Linux's defaults, those of a reader of 4 KiB/s took longer
/// than [`SLOW_PONG_DEADLINE`](super::SLOW_PONG_DEADLINE), and with half as much the messages of others were 28 times as late.
pub const DOOR_BUFFER_BYTES: usize = 32 * 1024;
/// How long it may take to reach another relay, with TLS: three round trips over the longest ways, and a stopped process
/// accepts and never greets.
pub const DIAL_DEADLINE: Duration = Duration::from_secs(2);
/// Connections to one other relay that are being made at a time; further clients wait for their turn: 400 a second at 50 ms
/// for a round trip.
pub const DIALS_AT_ONCE: usize = 64;
/// How long another relay may take to answer what needs no decision of anybody else.
pub const DOOR_ANSWER_DEADLINE: Duration = Duration::from_secs(2);
/// The longest text with which another relay refuses a client, in bytes; ours have less than 400.
pub const DOOR_REFUSAL_BYTES: usize = 8 * 1024;
/// How many doors a client's messages may go through: one is usual, and each room elsewhere that a client joins on the same
/// connection adds one.
pub const HOPS: u8 = 4;
/// How often a door tries to write to a client whose socket takes nothing: the kernel tells of room only when a third of its
/// buffer is free, and meanwhile the room's relay sees its own socket stall. Well below
/// [`WRITE_DEADLINE_BY_DOOR`](super::WRITE_DEADLINE_BY_DOOR), after which that gives the client up.
pub const DOOR_RETRY: Duration = Duration::from_millis(250);
/// How long a client's socket may take nothing although a door has something for it. The room's relay decides who is too slow,
/// and sooner ([`WRITE_DEADLINE_BY_DOOR`](super::WRITE_DEADLINE_BY_DOOR)); but a door that cannot write does not see that it has.
pub const DOOR_STALL: Duration = Duration::from_secs(30);
/// How often a door copies what is there, in each direction, before other tasks get their turns.
pub const DOOR_TURNS: usize = 8;
/// For how long a relay that has answered counts as one that does: until then it is dialled by many clients at once, and after
/// that by one whose outcome the others share.
pub const PROVEN_FOR: Duration = Duration::from_secs(1);
/// Relays of which is remembered whether they answer, at most, unless more are being dialled: some hundred relays make a large
/// cluster, and each restart is another process.
pub const LANES: usize = 1024;
/// How often two relays with tunnels between them ask each other whether they are alive.
pub const ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a relay may not answer until all tunnels with it are ended: members hear of it within 5 s of its death, and a pause
/// of a second ends nothing.
pub const ALIVE_DEADLINE: Duration = Duration::from_secs(3);
/// How long an answer may take at least, however late the question was.
pub const ALIVE_PATIENCE: Duration = Duration::from_secs(1);
/// TLS handshakes with one address that may be under way at the port for other relays: those of a relay that reaches this one
/// in each of its [`DIALS_AT_ONCE`], and as many of another behind the same address.
pub const STRANGERS_OF_ADDRESS: u32 = 2 * DIALS_AT_ONCE as u32;
/// TLS handshakes that may be under way there with all addresses that are not those of known relays: each may take
/// [`TLS_DEADLINE`](super::TLS_DEADLINE) and [`TLS_BYTES`](super::TLS_BYTES).
pub const STRANGERS: usize = 512;
/// How long the relay reads on from whom it has refused there: what comes to a closed socket is answered with a reset, which may
/// overtake the alert that says why.
pub const STRANGER_LINGER: Duration = Duration::from_secs(1);
/// How soon a relay looks again which others there are, when one knocks at its port that it does not know.
pub const MISSED_RELAY_PAUSE: Duration = Duration::from_secs(1);
/// How often a relay that shuts down looks whether its clients are with other relays still.
pub const LINKS_LOOK: Duration = Duration::from_millis(50);
