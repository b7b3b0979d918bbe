//! `signaling-relay doctor`: how long it looks at what.

use std::time::Duration;

use super::PING_INTERVAL;

/// How long the doctor takes at most, however ill the relay is, with [`DOCTOR_IDLE_SECONDS`]: somebody waits in front
/// of a terminal. Programs that call it may count on 25 s.
pub const DOCTOR_DEADLINE: Duration = Duration::from_secs(24);
/// Of that, how long it may take to reach the relay: to look its name up, to connect, TLS, the page, and redirects.
pub const DOCTOR_REACH: Duration = Duration::from_secs(8);
/// How long two members may take to enter a room and to hear each other.
pub const DOCTOR_ROOM: Duration = Duration::from_secs(8);
/// How long the STUN and TURN servers may take, all at the same time.
pub const DOCTOR_ICE: Duration = Duration::from_secs(6);
/// How long one step may take, such as a TLS handshake, a response or the answer to a message: a second is a slow
/// network, and people do not wait longer for a page than that.
pub const DOCTOR_STEP: Duration = Duration::from_secs(4);
/// How long the other addresses of a name have to answer after the first one did: what browsers wait before they try
/// the next one (the Connection Attempt Delay of RFC 8305 section 8).
pub const DOCTOR_OTHER_ADDRESSES: Duration = Duration::from_millis(250);
/// How many seconds the doctor is silent in a room by default, and waits for the relay's ping: [`PING_INTERVAL`].
pub const DOCTOR_IDLE_SECONDS: u64 = PING_INTERVAL.as_secs();
/// The longest silence that may be asked for, in seconds: an hour, the longest timeout that proxies have by default.
pub const DOCTOR_IDLE_SECONDS_MAX: u64 = 60 * 60;
/// How late a ping may be: a busy relay and a slow network.
pub const DOCTOR_PING_LATE: Duration = Duration::from_secs(2);
/// How many redirects of the page are followed: from http to https, to the name with www, and to a slash.
pub const DOCTOR_REDIRECTS: usize = 3;
/// How long a response is read after its head: of a page its first part is enough.
pub const DOCTOR_BODY: Duration = Duration::from_secs(2);
/// The longest response that is read, in bytes.
pub const DOCTOR_BODY_BYTES: usize = 64 * 1024;
/// The longest message of the relay that is read, in bytes: `joined` has 160 KiB at most.
pub const DOCTOR_MESSAGE_BYTES: usize = 1024 * 1024;
/// How many addresses of a name, of the local network and of STUN and TURN servers are tried: more than anybody has.
pub const DOCTOR_ADDRESSES: usize = 16;
/// The longest text of somebody else that is repeated, in characters: the longest refusal of the relay's.
pub const DOCTOR_QUOTE_CHARS: usize = 400;
/// From which difference on the clocks of the relay and of this machine are worth a word: half of
/// [`TOKEN_LEEWAY`](super::TOKEN_LEEWAY).
pub const DOCTOR_CLOCK_DIFFERENCE: Duration = Duration::from_secs(30);
/// How long a STUN request waits before it is sent again over UDP (RFC 8489 section 6.2.1), and how often it is sent:
/// three lost packets in a row are no network for calls.
pub const DOCTOR_STUN_RETRY: (Duration, u32) = (Duration::from_millis(500), 4);
/// How long a member may take to say goodbye.
pub const DOCTOR_GOODBYE: Duration = Duration::from_millis(250);
/// The longest datagram of a STUN or TURN server that is read, in bytes: what an Ethernet carries.
pub const DOCTOR_DATAGRAM_BYTES: usize = 1500;
