//! Every number of the relay, with its unit and its reason.

mod admin;
mod cluster;
mod doctor;
#[cfg(feature = "cluster")]
mod doors;
mod entry;
mod events;
mod memory;
mod wires;

use std::time::Duration;

pub use admin::*;
pub use cluster::*;
pub use doctor::*;
#[cfg(feature = "cluster")]
pub use doors::*;
pub use entry::*;
pub use events::*;
pub use memory::*;
pub use wires::*;

/// The port that the relay listens on by default: it needs no privileges, as ports below 1024 do, and is easy to
/// remember.
pub const PORT: u16 = 8080;
/// Where the relay listens unless told otherwise: both loopback addresses, because browsers resolve `localhost` to
/// either.
pub const LISTEN: &str = "localhost:8080";
/// Where the relay listens with `--lan`: the same port on every address, so that there is one to remember and to open.
pub const LISTEN_ON_LAN: &str = "*:8080";
/// The mode of a Unix socket: its owner and its group may connect, such as a proxy in the relay's group.
pub const UNIX_MODE: u32 = 0o660;
/// The largest mode of a Unix socket: the bits above are for programs and folders.
pub const UNIX_MODE_MAX: u32 = 0o777;

/// The most members of a room by default. In a full mesh of eight, each sends its camera seven times, about what a home
/// uplink carries.
pub const ROOM_CAPACITY: usize = 8;
/// The least that the capacity of a room may be set to.
pub const ROOM_CAPACITY_MIN: usize = 1;
/// The most that the capacity of a room may be set to: each join and leave goes to all members, and `joined` names them
/// all in one message.
pub const ROOM_CAPACITY_MAX: usize = 256;
/// The most members of `lobby`: the pages of the 50-line demo answer every offer, so with a third member two answers
/// race.
pub const LOBBY_CAPACITY: usize = 2;
/// How long a member of a full `lobby` may neither send nor receive a signal before it gives way to a newcomer. Two who
/// are connected need no more signals, so it is long; but everybody who opens the bare URL shares that room.
pub const LOBBY_IDLE: Duration = Duration::from_secs(30 * 60);

/// The largest message, in bytes: a session description with simulcast and many codecs stays below 30 KiB.
pub const MESSAGE_BYTES: usize = 64 * 1024;
/// The least that the largest message may be set to, in bytes: a `join` with a short room fits.
pub const MESSAGE_BYTES_MIN: usize = 64;
/// The most that the largest message may be set to, in bytes: an outbox queues one of them for each sender at most.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The largest list of STUN and TURN servers, in bytes of JSON: each `joined` carries it as a whole.
pub const ICE_SERVERS_BYTES: usize = 64 * 1024;
/// The longest user name of a TURN server, in bytes: the most that libwebrtc takes, a little below what STUN can carry (RFC
/// 8489 section 14.3).
pub const TURN_USERNAME_BYTES: usize = 509;
/// For how long the credentials of a TURN server are good by default: a call that outlasts them asks for new ones.
pub const TURN_TTL: Duration = Duration::from_secs(12 * 60 * 60);
/// The same as a flag says it.
pub const TURN_TTL_TEXT: &str = "12h";
/// The shortest time for which they may be good: whoever joins must reach the TURN server in it.
pub const TURN_TTL_MIN: Duration = Duration::from_secs(10);
/// The longest: a browser's timer, which asks for new ones, holds 2^31 ms, about 24 days.
pub const TURN_TTL_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The bytes of a TURN server's secret below which the relay warns, 128 bits: each client is told an HMAC-SHA1 by which it can
/// try secrets.
pub const TURN_SECRET_BYTES: usize = 16;
/// The longest `ref`, in bytes of UTF-8: a UUID with room to spare.
pub const REF_BYTES: usize = 64;
/// The longest password of a room, in bytes of UTF-8: a sentence of twenty words. It is compared over this length, so that
/// the time says nothing about how long it is.
pub const PASSWORD_BYTES: usize = 128;
/// The longest sentence for a member that is kicked, in bytes of UTF-8.
pub const KICK_MESSAGE_BYTES: usize = 1024;
/// How many levels deep the objects and arrays of a message may nest. The message itself is the first level.
pub const NESTING_DEPTH: usize = 32;

/// Messages of one sender that may be queued for one receiver: twice what a peer connection sends at once, about 35 (an
/// offer and its candidates).
pub const SHARE_MESSAGES: usize = 64;
/// Bytes of one sender that may be queued for one receiver: one message of the largest size by default. An empty share
/// takes a message of any size.
pub const SHARE_BYTES: usize = 64 * 1024;
/// Shares that the senders of one address may fill together in the outbox of a client that is away, or does not read: more than
/// the seven others of a room of eight send at once (245 messages). So visitors leave room for others.
pub const ADDRESS_SHARES: usize = 4;
/// Messages of the relay itself (`joined`, `peer_joined`, `peer_left`, `host`) that may be queued for one client when anybody
/// joins or knocks: those for all members of a room of 256 that join and leave at once are three for each other member. What
/// those who are there may cause comes on top: four for each.
pub const ANNOUNCEMENTS: usize = 1024;
/// Of them, those that are written to a client that may resume before it is known to have received any. What is written has a
/// number, and what waits may yet cancel out: a connection may be dead for half a minute before that is found. A client that
/// reads confirms each [`SHARE_MESSAGES`] within a round trip.
pub const UNCONFIRMED: usize = ANNOUNCEMENTS / 2;
/// Bytes of them that may be queued for one client when it joins a room. A join may bring 160 KiB (64 of ICE servers, 64
/// of a held offer, and the members) and costs two messages of the rate.
pub const ANNOUNCED_BYTES: usize = 256 * 1024;
/// `error` messages that may be queued for one client before the relay stops reading from it.
pub const ERROR_MESSAGES: usize = 64;
/// Bytes of them before it does; and where memory is short, bytes of memory of those that are kept for a client that may
/// resume.
pub const ERROR_BYTES: usize = 64 * 1024;
/// The most bytes of one of them, whatever it answers: a sentence for people, whose end is left out if need be.
pub const LONGEST_ERROR: usize = 8 * 1024;
/// How long the relay pauses a sender whose share is full in a receiver's outbox, at most (longer only while the relay itself
/// is late): long enough to slow a burst down to the pace of its receiver, too short for the other receivers of this sender
/// to notice.
pub const PAUSE: Duration = Duration::from_millis(250);
/// How long a socket accepts nothing, although frames are queued, until its outbox counts as stalled: no sender is
/// paused for it any longer.
pub const STALL: Duration = Duration::from_millis(100);
/// The most frames that one system call writes.
pub const WRITE_FRAMES: usize = 16;
/// The most bytes that one system call writes, unless one frame is longer.
pub const WRITE_BYTES: usize = 64 * 1024;
/// The most writes that a task makes to the socket of another connection before it leaves the rest to that connection's
/// own task: other tasks may queue frames all the time.
pub const WRITES_FOR_OTHERS: usize = 8;
/// Messages that the relay handles for one connection before other tasks get a turn.
pub const MESSAGES_A_TURN: usize = 32;
/// Frames without a message that the relay handles for one connection before other tasks get a turn: a tenth of a
/// millisecond of work.
pub const FRAMES_A_TURN: usize = 1024;
/// Bytes that one read takes from a socket at most. The buffer belongs to the thread, not to the connection.
pub const READ_BYTES: usize = 16 * 1024;
/// Frames a second that carry nothing: pings, pongs and empty fragments. A client needs one in 15 s.
pub const EMPTY_FRAMES: u32 = 100;
/// How long a client may exceed [`EMPTY_FRAMES`].
pub const EMPTY_FRAMES_FOR: Duration = Duration::from_secs(2);
/// How long a message may take from its first byte to its last.
pub const MESSAGE_DEADLINE: Duration = Duration::from_secs(10);
/// The size of a socket's send buffer that the relay asks for, in bytes (Linux doubles it). By default it grows up to 4
/// MiB, and the relay would notice only after that many bytes that a peer does not read.
pub const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes of an unanswered offer and its candidates that a room holds for the first peer that joins.
pub const HELD_BYTES: usize = 64 * 1024;

/// Clients that may wait at a locked room at a time: more than a host can look at.
pub const KNOCKS: usize = 16;
/// How long a client waits at a locked room until it is turned away: a host that does not look within that time is away.
pub const KNOCK_DEADLINE: Duration = Duration::from_secs(120);
/// Persons that a room keeps out after they were kicked, until it is empty, [`BANNED_BYTES`] each, which are charged to who
/// kicks them. Each was there with a token of its own; if there are more, the room forgets the first.
pub const BANNED: usize = 1024;
/// Wrong passwords that one address may give for a room in [`WRONG_PASSWORDS_FOR`]: a person who mistypes does not notice, and
/// ten a minute are 14,400 a day, which searches no useful part of the words of a language.
pub const WRONG_PASSWORDS: usize = 10;
/// The time in which they count.
pub const WRONG_PASSWORDS_FOR: Duration = Duration::from_secs(60);
/// Rooms and addresses whose wrong passwords are remembered at least; the relay remembers twice as many at most, in two tables
/// of 32,768 entries, which are full at seven eighths: 177 bytes each, 11 MiB in all, besides the budget, because who
/// guesses is a hash here and no account. Somebody with a /48 of IPv6 has 65,536 addresses.
pub const GUESSERS: usize = 28 * 1024;

/// Rooms that may be made ahead of time, [`BOOKED_BYTES`] each: all meetings of a day in a company of thousands.
pub const BOOKED_ROOMS: usize = 1024;
/// For how long a room may be made ahead of time: what lasts longer is for the application to keep, which makes it again.
pub const BOOKING_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Messages that one peer may send at once; a broadcast counts once for each receiver. A peer that joins a room of 16
/// sends 15 offers and about 30 candidates for each (465), and may restart ICE at once when the network changes.
pub const MESSAGE_BURST: u32 = 2_000;
/// Messages a second at which the burst refills.
pub const MESSAGE_RATE: u32 = 100;
/// Bytes that one peer may send at once: the burst of messages at 2 KiB, the size of a typical session description.
pub const BYTE_BURST: u32 = 4 * 1024 * 1024;
/// Bytes a second at which the burst refills.
pub const BYTE_RATE: u32 = 256 * 1024;
/// Messages that are answered with `rate_limited` before a peer that goes on is closed: enough for a client to notice,
/// too few to load the relay.
pub const REFUSALS: u32 = 200;

/// Connections of any kind that one address may have open at a time: each person in an office of a hundred, behind one
/// address, with a tab to spare. As many of its places are held at a time, so that all of them can come back. IPv6
/// addresses count by their /64, which is what one customer gets at least.
pub const ADDRESS_CONNECTIONS: u32 = 256;
/// WebSocket upgrades a second by one address, and likewise TLS handshakes: 256 tabs that return after a restart are
/// well below the burst, and each handshake costs a signature and a key exchange.
pub const ADDRESS_UPGRADES: u32 = 100;
/// Joins a second by one address.
pub const ADDRESS_JOINS: u32 = 100;
/// For how many seconds' worth an address may upgrade, shake hands or join at once: 1,000 by default.
pub const ADDRESS_BURST_SECONDS: u32 = 10;
/// How many joins a failed one counts as: ten names a second cannot search even a list of common words in a useful time,
/// and a person who mistypes a name does not notice.
pub const FAILED_JOIN: u32 = 10;
/// Bytes a second that all connections of one address may send together: 64 connections at the full [`BYTE_RATE`]. When
/// 256 people in an office all set up a call at once, they send about 18 MiB (35 messages of 2 KiB each), which is a
/// fraction of the burst.
pub const ADDRESS_BYTES: u32 = 64 * BYTE_RATE;
/// The part of [`ADDRESS_BYTES`], as a divisor, that an address may be sent of pages: 4 MiB a second after 64 MiB at once. A
/// class of thirty that opens the page at once gets 6 MiB (200 KB each, or 57 KB gzipped).
pub const PAGE_SHARE: u32 = 4;
/// For how many seconds' worth of bytes an address may send, or be sent of pages, at once: the same as one connection may.
pub const ADDRESS_BYTES_BURST_SECONDS: u32 = BYTE_BURST / BYTE_RATE;
/// How many addresses without a connection the relay remembers at most, [`ADDRESS_ENTRY_BYTES`] each (16 MiB), which count in
/// the budget of all. If there are more, it forgets them all: each of them gains one burst at most.
pub const ADDRESSES: usize = 65_536;
/// How often the relay forgets addresses that are idle and whose limits are all unused again.
pub const ADDRESS_SWEEP: Duration = Duration::from_secs(10);
/// Lines of the log about one address that may be written at once: 256 connections that begin, join and end, and some
/// refusals. All clients that have no address, such as those of a proxy on a Unix socket that says none, count as one.
pub const ADDRESS_LINES: u32 = 900;
/// Lines of the log about one address each minute beyond that: a client that reconnects without end writes 10 KB a
/// minute.
pub const ADDRESS_LINES_A_MINUTE: u32 = 60;
/// The part of the process's file descriptors that connections may take, in percent, unless `--max-connections` says
/// otherwise.
pub const MAX_CONNECTIONS_PERCENT: usize = 95;
/// How many file descriptors the process needs at least for the log to be silent about it: about as many as a socket's
/// [`BACKLOG`], the clients that return at once after a restart.
pub const FEW_DESCRIPTORS: u64 = 4096;
/// File descriptors that connections leave to the rest at least: listeners, files, and the refusals that are being
/// written.
pub const SPARE_DESCRIPTORS: usize = 64;
/// Refusals that the relay writes at a time to connections beyond a limit. More are closed without a word.
pub const REFUSED_AT_ONCE: usize = 32;
/// Refused connections from this machine beyond [`REFUSED_AT_ONCE`] that may still ask for `/healthz`: a few monitors.
pub const HEALTH_CHECKS: usize = 8;
/// Addresses of which one connection each, beyond any limit, may ask for `/healthz` when no more refusals are written: more
/// than there are monitors and balancers.
pub const HEALTH_CHECK_ADDRESSES: usize = 32;
/// How long a refused connection may take to send its request and to read the refusal.
pub const REFUSAL_DEADLINE: Duration = Duration::from_secs(1);
/// The most bytes of a refused request that are read: the request line and a proxy's headers come first.
pub const REFUSED_HEAD_BYTES: usize = 4 * 1024;
/// How soon a client may try again that was refused because too many connections are open.
pub const REFUSED_RETRY: Duration = Duration::from_secs(5);

/// The most bytes of an HTTP request's head (request line and headers): the cookies of an intranet's other pages fit.
pub const HEAD_BYTES: usize = 16 * 1024;
/// The most headers of a request: browsers send about 20, and proxies add a handful.
pub const HEADERS: usize = 64;
/// The longest name of a parameter in a URL that is looked at as a misspelled one, in characters.
pub const QUERY_NAME_CHARS: usize = 32;
/// How long a request's head may take: from the connection's beginning, and later from its first byte.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// How long a connection may rest between two requests: longer than the balancers in front of the relay let theirs rest (60 s
/// for most), because one that ends just when a request comes is an error that people see.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a TLS handshake may take, from the first byte: two round trips and a signature, on the slowest of networks.
pub const TLS_DEADLINE: Duration = Duration::from_secs(5);
/// How often the relay checks the certificate's files for changes. It reads them when two checks in a row saw the same
/// change, so that it does not read one file while the other is still being written.
pub const CERTIFICATE_POLL: Duration = Duration::from_secs(2);
/// How long before a certificate expires the log begins to warn: an automatic renewal should have happened by then.
pub const EXPIRY_NOTICE: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// How often the log repeats that warning.
pub const EXPIRY_REMINDER: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the local authority of `--lan` is valid: to trust it on each phone is work, so once has to last for the
/// life of the machine.
pub const AUTHORITY_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// A clock that says an earlier time than this, in seconds since 1970 (the first day of 2026, before which no version of this
/// relay was made), is wrong: small machines begin in 1970 until they reach a time server.
pub const EARLIEST_CLOCK: Duration = Duration::from_secs(1_767_225_600);
/// How long a certificate that the local authority issues is valid. A machine may sleep over a long weekend; Apple
/// accepts 825 days at most.
pub const LEAF_VALIDITY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How old such a certificate gets before the relay replaces it.
pub const LEAF_RENEWAL: Duration = Duration::from_secs(24 * 60 * 60);
/// How far the clock of a device without internet may be behind: certificates are valid from that much earlier.
pub const CLOCK_SKEW: Duration = Duration::from_secs(24 * 60 * 60);
/// How often the relay looks whether a client that fetches pages still reads. One that has a response to read then gets no
/// further one, and this one only while it reads at [`PAGE_RATE`].
pub const PAGE_DEADLINE: Duration = Duration::from_secs(60);
/// Bytes a second that a client must read on average over each [`PAGE_DEADLINE`] to get a response that takes longer: the
/// slowest readers that signaling is made for read 4 KiB/s.
pub const PAGE_RATE: u64 = 4 * 1024;
/// The most bytes of a file in the folder of `--web` that one read takes. A connection holds two such chunks at most: one
/// that it writes to the socket, and the next one.
pub const FILE_CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of a module in a folder, with its parts, that is sent in one file, which is made in memory; ours has less than 32 KiB.
#[cfg(feature = "page")]
pub(crate) const LONGEST_MODULE: u64 = 256 * 1024;
/// How long a connection to `/ws` may take until its first join: clients connect when they are ready to join.
pub const JOIN_DEADLINE: Duration = Duration::from_secs(10);

/// How long a client may be silent that connects to `/ws?room=R`, which joins no room, until it is told what does: who knows
/// it sends `join` at once.
pub const MISLED_PATIENCE: Duration = Duration::from_secs(1);

/// How long the relay holds the place of a client whose connection is lost, in milliseconds, by default: a phone that
/// changes its network, or a laptop that is carried to another room, is back within that.
pub const HOLD_MS: u64 = 30_000;
/// How long after a connection is lost the others are told that its peer is away: a reload of a proxy, or a change of
/// network, takes less, and is told to nobody.
pub const AWAY_AFTER: Duration = Duration::from_secs(2);
/// They are told after this part of the hold at the latest: a tenth.
pub const AWAY_AFTER_HOLDS: u32 = 10;
/// How long a client waits for its place at most, when more is to be sent again than its rates allow now.
pub const RESUME_WAIT: Duration = Duration::from_secs(5);
/// The longest hold that may be set, in milliseconds: an hour. A place that is held counts towards its room's capacity.
pub const HOLD_MS_MAX: u64 = 60 * 60 * 1000;
/// For how long the relay holds a place at least, unless the hold is shorter, when the connection was found dead because a
/// pong is missing: the hold counts from the last sign of life, and a client that wakes up needs a moment to dial.
pub const HOLD_LEFT: Duration = Duration::from_secs(10);
/// Bytes of messages that are kept for a client that may resume although they have arrived, and that may wait for one whose
/// connection is lost, with those: the whole share of 16 senders. It does not grow with the capacity of rooms.
pub const PLACE_BYTES: usize = 16 * SHARE_BYTES;
/// After so many messages a client that may resume is told how many the relay has taken, and need not keep them any
/// longer: about two bursts of a peer connection.
pub const TAKEN_MESSAGES: u64 = 64;

/// How often the relay pings a client: proxies close idle connections after 60 s (nginx), some NATs after 30 s, and clients
/// that follow the README of npm's `ws` give up when no ping came for 31 s, whatever else they hear.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);
/// How long the pong, or any whole message, may take after the ping that follows [`PING_INTERVAL`] of silence.
pub const PONG_DEADLINE: Duration = Duration::from_secs(10);
/// How long the pong may take after the client was seen to read slowly: the ping is queued behind what the kernel holds on
/// both sides, 256 KiB by default, for a reader of 4 KiB/s. [`WRITE_DEADLINE`] finds a client that is gone while frames
/// are queued for it.
pub const SLOW_PONG_DEADLINE: Duration = Duration::from_secs(60);
/// How long a socket may accept nothing, although frames are queued, before the connection is closed as too slow.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(5);
/// The same for a client that comes by another relay: its kernel frees what a reader has taken only in pieces of up to 40 KiB,
/// and that relay holds 16 KiB more, for which a reader of 4 KiB/s needs 14 s.
pub const WRITE_DEADLINE_BY_DOOR: Duration = Duration::from_secs(20);
/// How long the closing handshake may take, including the frames that are still queued.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
/// How long sent data may stay unacknowledged before Linux closes the connection (TCP_USER_TIMEOUT). It also counts
/// the time in which the window of a slow reader is too small for the next segment: readers of 4 to 6 KiB/s were lost
/// after 20 to 32 s with a timeout of 20 s. Pings and writes have shorter deadlines of their own.
pub const TCP_USER_TIMEOUT: Duration = SLOW_PONG_DEADLINE;

/// How long connections may take to end once the relay shuts down.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// How long the frames that are still queued for a client may take when the relay shuts down.
pub const DRAIN_FLUSH: Duration = Duration::from_secs(7);
/// The shortest delay before reconnecting that `goaway` asks for: a restart takes about that long.
pub const RETRY_AFTER_MIN: Duration = Duration::from_millis(500);
/// The longest delay before reconnecting that `goaway` asks for: clients spread over it, and do not all return at once.
pub const RETRY_AFTER_MAX: Duration = Duration::from_millis(5_000);

/// How long after the first signal that ends the relay a second one counts as the same: `timeout`, a terminal and a
/// process group send it several times at once.
pub const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// Bytes of the log that may be queued, about 7,000 lines: what a restart with as many clients logs at once. Further
/// lines are lost, so that a stderr that nobody reads does not block the relay.
pub const LOG_BYTES: usize = 1024 * 1024;
/// Lines of the log that may be written at once, whoever they are about: a third of the 19,000 connections that one machine
/// was seen to hold begin, join and end. As many warnings have room of their own.
pub const LOG_LINES: u32 = 20_000;
/// Lines of the log a second beyond that: 650 MB a day at most.
pub const LOG_LINES_A_SECOND: u32 = 50;
/// How often the log says how many lines it left out because there were too many.
pub const LOG_REMINDER: Duration = Duration::from_secs(10);
/// How long the log gathers lines before it writes them. A person does not see it, and a flood of lines costs a hundred
/// wake-ups a second instead of one a line.
pub const LOG_GATHER: Duration = Duration::from_millis(10);
/// Bytes of the log that are written at once, unless one line has more: what a pipe takes as a whole (PIPE_BUF on Linux,
/// pipe(7)).
pub const LOG_WRITE_BYTES: usize = 4096;
/// How long the program waits at its end for the last lines of the log: a terminal or a journal reads them in less.
pub const LOG_DEADLINE: Duration = Duration::from_secs(1);

/// The delay after a failed accept (mostly for lack of file descriptors). It doubles up to [`ACCEPT_PAUSE_MAX`].
pub const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest delay after a failed accept.
pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// The largest `report` of a client, in bytes.
pub const REPORT_BYTES: usize = 1024;
/// How long the steps of a call's set-up are timed: an offer that nobody has answered by then counts as unanswered.
pub const SETUP_PATIENCE: Duration = Duration::from_secs(30);
/// How many of these steps are timed at once, for each member of a room: a newcomer in a call of eight offers to seven.
pub const SETUPS_OF_MEMBER: usize = 8;
/// How many of these steps are timed at once in a room: each message that is part of a set-up looks at them.
pub const SETUPS_OF_ROOM: usize = 256;
/// How long `signaling-relay health` waits for an answer: less than the 5 s after which most who ask by a command give up.
#[cfg(feature = "cli")]
pub(crate) const HEALTH_DEADLINE: Duration = Duration::from_secs(4);
/// How many names of a certificate the relay prints as URLs. A certificate may have hundreds.
#[cfg(feature = "cli")]
pub(crate) const BANNER_NAMES: usize = 3;
/// The longest name of this machine that the relay uses, in bytes: with `.local` appended, it stays within the 253 of a
/// DNS name (RFC 1035 section 2.3.4). Linux allows 64.
pub const MACHINE_NAME_BYTES: usize = 200;
/// How long the system's resolver may take for a host name to listen on: two DNS servers at glibc's 5 s each.
pub const RESOLVE_DEADLINE: Duration = Duration::from_secs(10);
/// How many times the relay tries to find a port that is free on all addresses of a host: the kernel picks one of
/// 28,000, so two failures in a row are rare.
pub const FREE_PORT_ATTEMPTS: u32 = 16;
/// Connections that the kernel may queue until the relay accepts them: the clients that return at once after a restart.
pub const BACKLOG: i32 = 4096;
