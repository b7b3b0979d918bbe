//! Memory: what one address may pin, and what things cost.

use std::time::Duration;

use super::HEAD_BYTES;

/// Bytes in a MiB.
pub const MEBIBYTE: usize = 1024 * 1024;
/// Memory that one address may pin, in MiB: each person in an office of a hundred, with what a call in a room of eight
/// sends at once (490 KiB).
pub const ADDRESS_MEMORY_MIB: u32 = 64;
/// The most memory that may be given as a limit, in MiB: a TiB.
pub const MEMORY_MIB_MAX: u32 = 1024 * 1024;
/// Memory of one connection, in bytes, besides what it reads and writes: its task, its session, its outbox and its place
/// in a room, 2,573 as measured, and as much again for what allocators add and for names.
pub const CONNECTION_BYTES: usize = 4 * 1024;
/// Memory of one connection that speaks HTTP, in bytes: a head of the largest size, and what is written.
pub const HTTP_BYTES: usize = HEAD_BYTES + 8 * 1024;
/// Memory of one connection for TLS, in bytes: 9 KiB as measured while it is idle, what the client has not read
/// ([`TLS_BUFFER_BYTES`]), and a part of a record. It is charged as a whole, because rustls does not tell what it holds.
pub const TLS_BYTES: usize = 48 * 1024;
/// Bytes of records that may be ready for a client that does not read them: two of the largest size (RFC 8446 section 5.2).
pub const TLS_BUFFER_BYTES: usize = 32 * 1024;
/// Memory that one who joins needs for each member, in bytes: its entry in `joined`, and `peer_joined` and `peer_left` in the
/// outbox of the member, with an id and a name of the largest size (320 bytes), and what is counted about each message.
pub const NEWCOMER_BYTES: usize = 2 * 1024;
/// Memory that a change of a room needs for each member, in bytes: a message about it with an id of the largest size, and
/// what is counted about each message.
pub const CHANGE_BYTES: usize = 512;
/// Memory that must be left to the address of a client that comes back, in bytes besides its STUN and TURN servers: for
/// `resumed`, as large as it is in a room of dozens.
pub const RESUMED_BYTES: usize = 16 * 1024;
/// How soon the relay looks again whether there is memory for the rest of a message that has arrived in part.
pub const MEMORY_PAUSE: Duration = Duration::from_millis(100);
/// Memory of a place that is kept for a client that may come back, in bytes: its token, its STUN and TURN servers, the timer
/// of its hold, and its outbox.
pub const OWN_PLACE_BYTES: usize = 2 * 1024;
/// Memory of a person whom a room keeps out, in bytes: an id of the largest size, and what is counted about it.
pub const BANNED_BYTES: usize = 128;
/// Memory of a room that was made ahead of time, in bytes: the room, its door with a password of the largest size, its name, and
/// its entries in two tables.
pub const BOOKED_BYTES: usize = 1024;
/// Memory of an address that is remembered, in bytes: what is counted about it, and its entry in the table.
pub const ADDRESS_ENTRY_BYTES: usize = 256;
