//! Every number of the relay, with its unit and its reason.

use std::time::Duration;

/// The port that the relay listens on by default: free of the rights that ports below 1024 need, and easy to remember.
pub const PORT: u16 = 8080;
/// Where the relay listens unless told otherwise: both loopback addresses, because browsers resolve `localhost` to either.
pub const LISTEN: &str = "localhost:8080";
/// Where it listens with `--lan`: the same port on every address, so that there is one to remember and to open.
pub const LISTEN_ON_LAN: &str = "*:8080";
/// The mode of a Unix socket: a proxy that is in the relay's group may connect, and no other user.
pub const UNIX_MODE: u32 = 0o660;
/// The largest mode of a Unix socket: the bits above are for programs and folders.
pub const UNIX_MODE_MAX: u32 = 0o777;
/// Where the local authority of `--lan` is kept, from the current folder.
pub const LAN_DIR: &str = "certs";

/// Members of a room. A full mesh of eight sends seven copies of each camera, about what a home uplink carries.
pub const ROOM_CAPACITY: usize = 8;
/// The smallest room: one who waits for another.
pub const ROOM_CAPACITY_MIN: usize = 1;
/// The largest room: each join and leave goes to all members, and `joined` names them all in one message.
pub const ROOM_CAPACITY_MAX: usize = 256;
/// Members of `lobby`: the 50-line demo's pages answer every offer, so a third makes two answers race.
pub const LOBBY_CAPACITY: usize = 2;

/// The largest message, in bytes: a session description with simulcast and many codecs stays below 30 KiB.
pub const MESSAGE_BYTES: usize = 64 * 1024;
/// The least that the largest message may be set to, in bytes: a `join` with a short room fits.
pub const MESSAGE_BYTES_MIN: usize = 64;
/// The most that the largest message may be set to, in bytes: an outbox holds four of them, 64 MiB for each slow peer.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The largest list of STUN and TURN servers, in bytes of JSON: each `joined` carries it, and has to fit into an outbox.
pub const ICE_SERVERS_BYTES: usize = 64 * 1024;
/// The longest `ref`, in bytes of UTF-8: a UUID with room to spare.
pub const REF_BYTES: usize = 64;
/// Levels that the objects and arrays of a message may nest, the message itself being the first.
pub const NESTING_DEPTH: usize = 32;

/// Messages of one sender that may wait for one receiver: what a peer connection sends at once, about 35 (an offer and its
/// candidates), twice over.
pub const SHARE_MESSAGES: usize = 64;
/// Bytes of one sender that may wait for one receiver: one message of the largest size by default. An empty share takes a
/// message of any size.
pub const SHARE_BYTES: usize = 64 * 1024;
/// Messages of the relay itself (who came, who went, who is host) that may wait for one client. A room of 256 that
/// comes and goes at once makes three for each member.
pub const ANNOUNCEMENTS: usize = 1024;
/// Bytes of them beyond which the client may join no other room before it has read: a join may bring 160 KiB (64 of ICE
/// servers, 64 of a held offer, and the members), and costs two messages.
pub const ANNOUNCED_BYTES: usize = 256 * 1024;
/// Answers to what a client said (its mistakes, and who is busy) that may wait for it. Who does not read them is not read from.
pub const ERROR_MESSAGES: usize = 64;
/// How long a sender is not read from, at most, while it waits for room in a receiver's outbox: a burst finds its pace in
/// it, and the other receivers of this sender notice nothing.
pub const PAUSE: Duration = Duration::from_millis(250);
/// A socket that has taken nothing for this long although something waited makes no progress: nobody waits for it.
pub const STALL: Duration = Duration::from_millis(100);
/// Frames that are written by one system call.
pub const WRITE_FRAMES: usize = 16;
/// Bytes that are written by one system call, unless one frame has more.
pub const WRITE_BYTES: usize = 64 * 1024;
/// Writes that one task makes for others who put something in meanwhile, before it leaves the rest to the connection's own.
pub const WRITES_FOR_OTHERS: usize = 8;
/// Messages that one connection may send before the others get a turn.
pub const MESSAGES_A_TURN: usize = 32;
/// Frames that one connection may send before the others get a turn, if they are no messages: a tenth of a millisecond of work.
pub const FRAMES_A_TURN: usize = 1024;
/// Bytes that are taken off a socket at once. The buffer belongs to the thread, not to the connection.
pub const READ_BYTES: usize = 16 * 1024;
/// Frames a second that carry nothing: pings, pongs and empty fragments. A client needs one in 15 s.
pub const EMPTY_FRAMES: u32 = 100;
/// How long a client may exceed that.
pub const EMPTY_FRAMES_FOR: Duration = Duration::from_secs(2);
/// How long a message may take from its first byte to its last.
pub const MESSAGE_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes that the kernel keeps for a peer that does not read, asked for (Linux doubles it). Left alone it would grow to 4 MiB,
/// and a peer that stalls would be noticed only after that.
pub const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes of an unanswered offer and its candidates that are held for the first to come.
pub const HELD_BYTES: usize = 64 * 1024;

/// Messages that one peer may send at once; a broadcast counts once for each receiver. Someone who enters a room of 16
/// sends 15 offers and about 30 candidates for each (465), and may restart ICE at once when the network changes.
pub const MESSAGE_BURST: u32 = 2_000;
/// Messages a second that refill the burst.
pub const MESSAGE_RATE: u32 = 100;
/// Bytes that one peer may send at once: the burst of messages at 2 KiB, a usual session description.
pub const BYTE_BURST: u32 = 4 * 1024 * 1024;
/// Bytes a second that refill the burst.
pub const BYTE_RATE: u32 = 256 * 1024;
/// Refused messages after which a peer that goes on is closed: enough to be told, too few to be worth the while.
pub const REFUSALS: u32 = 200;

/// Bytes of the HTTP request's head (request line and headers): cookies of an intranet's other pages fit.
pub const HEAD_BYTES: usize = 16 * 1024;
/// Headers of a request: browsers send about 20 and proxies add a handful.
pub const HEADERS: usize = 64;
/// How long a request's head may take, and how long a kept-alive connection may be silent.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take, from the first byte: two round trips and a signature, on the slowest of networks.
pub const TLS_DEADLINE: Duration = Duration::from_secs(5);
/// How often the files of the certificate are looked at. They are read when two looks in a row saw the same change, so
/// that nobody is caught between writing the one and the other.
pub const CERTIFICATE_POLL: Duration = Duration::from_secs(2);
/// How long before a certificate expires the log begins to say so: whatever renews it should have done so by then.
pub const EXPIRY_NOTICE: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// How often the log says so.
pub const EXPIRY_REMINDER: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the local authority of `--lan` is valid: trusting it on each phone is work, so once for the life of the machine.
pub const AUTHORITY_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// How long a certificate that it issues is valid. A week outlasts a long weekend in sleep; Apple takes 825 days at most.
pub const LEAF_VALIDITY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How old such a certificate gets before a new one takes its place.
pub const LEAF_RENEWAL: Duration = Duration::from_secs(24 * 60 * 60);
/// How far clocks without internet may be behind: certificates are valid from that much earlier.
pub const CLOCK_SKEW: Duration = Duration::from_secs(24 * 60 * 60);
/// How long one connection may fetch pages, so that nobody holds one open by reading slowly.
pub const PAGE_DEADLINE: Duration = Duration::from_secs(60);
/// How long a connection to `/ws` may stay out of every room: clients connect when they are ready to join.
pub const JOIN_DEADLINE: Duration = Duration::from_secs(10);

/// How long whoever decides on a join may take to answer.
pub const AUTHORIZE_DEADLINE: Duration = Duration::from_secs(5);

/// Silence after which a peer is pinged: proxies cut idle sockets after 60 s (nginx), some NATs after 30 s.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);
/// How long the pong, or any whole message, may take after a ping.
pub const PONG_DEADLINE: Duration = Duration::from_secs(10);
/// How long it may take after the client was seen to read what its socket had refused: the ping waits behind what the kernel
/// holds on both sides, 256 KiB by default, for a reader of 4 KiB/s. A peer that is gone while something waits for it is found
/// by [`WRITE_DEADLINE`].
pub const SLOW_PONG_DEADLINE: Duration = Duration::from_secs(60);
/// How long a write may wait for the peer to read.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(5);
/// How long the closing handshake may take, with what still waits for the client.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
/// How long the kernel may retry unacknowledged data before it gives the connection up (TCP_USER_TIMEOUT). Linux counts also how
/// long a window is too small for what comes next, and a slow reader's is for long: pings and writes have shorter deadlines.
pub const TCP_USER_TIMEOUT: Duration = SLOW_PONG_DEADLINE;

/// How long connections may take to end once the relay shuts down.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// How long what still waits for a client may take when the relay goes away, before its connection is closed.
pub const DRAIN_FLUSH: Duration = Duration::from_secs(7);
/// `goaway` asks each client to wait this long at least: a restart takes about that.
pub const RETRY_AFTER_MIN: Duration = Duration::from_millis(500);
/// And at most this long, so that not all come back in the same instant.
pub const RETRY_AFTER_MAX: Duration = Duration::from_millis(5_000);

/// How long after the first signal to end a second one counts as the same: `timeout`, a terminal and a process group send
/// it several times at once.
pub const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// Bytes of the log that may wait to be written, about 7,000 lines: what a restart with as many clients brings in a moment.
/// More is lost, so that a stderr that nobody reads holds up nobody.
pub const LOG_BYTES: usize = 1024 * 1024;
/// How long the end of the program waits for the last lines of the log: a terminal or a journal takes them in less.
pub const LOG_DEADLINE: Duration = Duration::from_secs(1);

/// Pause after a failed accept (out of file descriptors, mostly), doubled up to [`ACCEPT_PAUSE_MAX`].
pub const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause after a failed accept.
pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// The longest name of this machine that is used, in bytes: with `.local` behind it, it stays within the 253 of a DNS name (RFC
/// 1035 section 2.3.4). Linux allows 64.
pub const MACHINE_NAME_BYTES: usize = 200;
/// How long the system's resolver may take for a host name to listen on: two DNS servers at glibc's 5 s each.
pub const RESOLVE_DEADLINE: Duration = Duration::from_secs(10);
/// How often a free port is looked for that is free on all addresses of a host: the kernel picks one of 28,000, so that two
/// failures in a row are rare.
pub const FREE_PORT_ATTEMPTS: u32 = 16;
/// Connections that the kernel may hold ready: everyone who comes back after a restart within a moment.
pub const BACKLOG: i32 = 4096;
