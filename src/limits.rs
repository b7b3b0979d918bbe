//! Every number of the relay, with its unit and its reason, and the token buckets that ration what one peer sends;
//! independent of sockets and of rooms.

use std::time::Duration;

use tokio::time::Instant;

/// Where the relay listens unless told otherwise: both loopback addresses, because browsers resolve `localhost` to either.
pub const LISTEN: &str = "localhost:8080";
/// Where it listens with `--lan`: the same port on every address, so that there is one to remember and to open.
pub const LISTEN_ON_LAN: &str = "*:8080";
/// The mode of a Unix socket: a proxy that is in the relay's group may connect, and no other user.
pub const UNIX_MODE: &str = "660";
/// Where the local authority of `--lan` is kept, from the current folder.
pub const LAN_DIR: &str = "certs";

/// Members of a room. A full mesh of eight sends seven copies of each camera, about what a home uplink carries.
pub const ROOM_CAPACITY: usize = 8;
/// Members of `lobby`: the 50-line demo's pages answer every offer, so a third makes two answers race.
pub const LOBBY_CAPACITY: usize = 2;

/// The largest message, in bytes: a session description with simulcast and many codecs stays below 30 KiB.
pub const MESSAGE_BYTES: usize = 64 * 1024;
/// The longest `ref`, in bytes of UTF-8: a UUID with room to spare.
pub const REF_BYTES: usize = 64;
/// Levels that the objects and arrays of a message may nest, the message itself being the first.
pub const NESTING_DEPTH: usize = 32;

/// Messages that may wait for one peer. A mesh of 16 that negotiates at once sends a newcomer about 15 x 17.
pub const OUTBOX_MESSAGES: usize = 256;
/// Bytes that may wait for one peer: 15,000 slow peers then hold 3.7 GiB at the very most.
pub const OUTBOX_BYTES: usize = 256 * 1024;
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

/// Silence after which a peer is pinged: proxies cut idle sockets after 60 s (nginx), some NATs after 30 s.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);
/// How long the pong, or any whole message, may take after a ping.
pub const PONG_DEADLINE: Duration = Duration::from_secs(10);
/// How long a write may wait for the peer to read.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(5);
/// How long the closing handshake may take.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
/// How long the kernel may retry unacknowledged data before it gives the connection up (TCP_USER_TIMEOUT).
pub const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);

/// How long connections may take to end once the relay shuts down.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// `goaway` asks each client to wait this long at least: a restart takes about that.
pub const RETRY_AFTER_MIN: Duration = Duration::from_millis(500);
/// And at most this long, so that not all come back in the same instant.
pub const RETRY_AFTER_MAX: Duration = Duration::from_millis(5_000);

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

/// Read buffer of a WebSocket, in bytes. It is taken at once and never shrinks; most messages fit. tungstenite's default
/// of 128 KiB costs 18 times the memory and three times the CPU.
pub const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Bytes that are gathered before a write: what one read of a busy room brings.
pub const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// What one peer may send: messages and bytes, each a bucket of tokens that time refills.
#[derive(Debug)]
pub struct Allowance {
    messages: Bucket,
    bytes: Bucket,
    refused: u32,
}

/// What becomes of a message under the sender's [`Allowance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ration {
    /// It is carried out.
    Granted,
    /// It is answered with `rate_limited`.
    Refused,
    /// The sender goes on in spite of [`REFUSALS`]: its connection is closed.
    Exhausted,
}

impl Allowance {
    /// A full allowance of `messages_per_second` and `bytes_per_second`, each unlimited when 0.
    pub fn new(messages_per_second: u32, bytes_per_second: u32, now: Instant) -> Self {
        // The bursts keep their proportion to the rates.
        let scaled = |rate: u32, burst: u32, usual: u32| f64::from(rate) * (f64::from(burst) / f64::from(usual));
        Self {
            messages: Bucket::new(messages_per_second, scaled(messages_per_second, MESSAGE_BURST, MESSAGE_RATE), now),
            bytes: Bucket::new(bytes_per_second, scaled(bytes_per_second, BYTE_BURST, BYTE_RATE), now),
            refused: 0,
        }
    }

    /// Takes one message of `bytes` from the allowance.
    pub fn take(&mut self, bytes: usize, now: Instant) -> Ration {
        if self.messages.refill(now) & self.bytes.refill(now) {
            self.refused = 0;
        }
        if self.messages.level >= 1.0 && self.bytes.level > 0.0 {
            self.messages.level -= 1.0;
            self.bytes.level -= bytes as f64;
            return Ration::Granted;
        }
        self.refused += 1;
        if self.refused > REFUSALS { Ration::Exhausted } else { Ration::Refused }
    }

    /// Counts `more` messages that a granted one turned into: a broadcast costs as much as it delivers.
    pub fn charge(&mut self, more: usize) {
        self.messages.level -= more as f64;
    }
}

#[derive(Debug)]
struct Bucket {
    level: f64,
    burst: f64,
    per_second: f64,
    refilled: Instant,
}

impl Bucket {
    fn new(per_second: u32, burst: f64, now: Instant) -> Self {
        let unlimited = per_second == 0;
        let burst = if unlimited { f64::INFINITY } else { burst };
        Self { level: burst, burst, per_second: f64::from(per_second), refilled: now }
    }

    /// Adds what time has brought; says whether the bucket is full.
    fn refill(&mut self, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = now;
        self.level = (self.level + seconds * self.per_second).min(self.burst);
        self.level >= self.burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut allowance = Allowance::new(MESSAGE_RATE, BYTE_RATE, start);
        for _ in 0..MESSAGE_BURST {
            assert_eq!(allowance.take(100, start), Ration::Granted);
        }
        assert_eq!(allowance.take(100, start), Ration::Refused);
        for _ in 0..MESSAGE_RATE {
            assert_eq!(allowance.take(100, start + second(1)), Ration::Granted);
        }
        assert_eq!(allowance.take(100, start + second(1)), Ration::Refused);
    }

    #[test]
    fn bytes_count_as_well() {
        let start = Instant::now();
        let mut allowance = Allowance::new(MESSAGE_RATE, BYTE_RATE, start);
        for _ in 0..(BYTE_BURST as usize / MESSAGE_BYTES) {
            assert_eq!(allowance.take(MESSAGE_BYTES, start), Ration::Granted);
        }
        assert_eq!(allowance.take(1, start), Ration::Refused);
    }

    #[test]
    fn a_broadcast_costs_as_much_as_it_delivers() {
        let start = Instant::now();
        let mut allowance = Allowance::new(MESSAGE_RATE, BYTE_RATE, start);
        let mut sent = 0;
        while allowance.take(1, start) == Ration::Granted {
            allowance.charge(9);
            sent += 1;
        }
        assert_eq!(sent, MESSAGE_BURST / 10);
    }

    #[test]
    fn who_goes_on_is_exhausted_and_who_pauses_is_forgiven() {
        let start = Instant::now();
        let mut allowance = Allowance::new(MESSAGE_RATE, BYTE_RATE, start);
        while allowance.take(1, start) == Ration::Granted {}
        for _ in 1..REFUSALS {
            assert_eq!(allowance.take(1, start), Ration::Refused);
        }
        assert_eq!(allowance.take(1, start), Ration::Exhausted);
        assert_eq!(allowance.take(1, start + second(3600)), Ration::Granted);
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let start = Instant::now();
        let mut allowance = Allowance::new(0, 0, start);
        for _ in 0..100_000 {
            assert_eq!(allowance.take(MESSAGE_BYTES, start), Ration::Granted);
        }
    }
}
