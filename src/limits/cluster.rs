//! Many relays as one: how long what a relay says of itself and of its rooms is good, and how long anybody waits for Redis.

use std::time::Duration;

/// The port of Redis where a URL names none.
pub const REDIS_PORT: u16 = 6379;
/// The port of a sentinel of Redis where a URL names none.
pub const SENTINEL_PORT: u16 = 26379;
/// What the keys of a cluster begin with, unless the settings say otherwise.
pub const REDIS_PREFIX: &str = "signaling-relay:";
/// The most bytes of such a beginning: it is in every key.
pub const REDIS_PREFIX_BYTES: usize = 64;
/// How long Redis may take to accept a connection, TLS included: half a second to the other side of the world, and one lost
/// packet (a second).
pub const REDIS_CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// How long an answer of Redis may take. It takes less than a millisecond in one data centre; after that time the connection is
/// dropped, so that a late answer is never taken for a new one.
pub const REDIS_DEADLINE: Duration = Duration::from_secs(1);
/// How often a connection to Redis is tried that has nothing else to do: so one of which only this half is left is found
/// within two seconds, as any other.
pub const REDIS_PING: Duration = Duration::from_secs(1);
/// The first pause before a lost connection to Redis is tried again. It doubles up to [`REDIS_PAUSE_MAX`].
pub const REDIS_PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest of these pauses: every room has to be registered again within five seconds.
pub const REDIS_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How many commands of joins may be under way or wait for a connection. What comes on top hears at once that Redis is away: at
/// 10,000 joins a second, so many are 100 ms of them.
pub const REDIS_COMMANDS: usize = 1_000;
/// How long a relay is taken for alive after it last said so.
pub const LEASE: Duration = Duration::from_secs(3);
/// How often it says so: two may get lost.
pub const LEASE_RENEWAL: Duration = Duration::from_secs(1);
/// How long a room stays with its relay in the directory unless that asserts it again: 36 times as long as it takes to do so, and
/// a relay with 100,000 rooms needs 100 s.
pub const ROOM_LEASE: Duration = Duration::from_secs(180);
/// How often a relay asserts each of its rooms.
pub const ASSERTION_INTERVAL: Duration = Duration::from_secs(5);
/// The most assertions a second, unless a connection to Redis is new: 1 % of what one Redis does.
pub const ASSERTIONS_A_SECOND: usize = 1_000;
/// The most assertions under way.
pub const ASSERTIONS_UNDER_WAY: usize = 500;
/// How long after a connection to Redis was lost, and after Redis forgot something, a relay claims no new name and takes nobody
/// for dead: so that all others have registered what they have. That is as long as a relay's lease.
pub const CAUTION: Duration = LEASE;
/// A Redis that is up for less than that may have had a life before, of which it knows nothing.
pub const REDIS_FRESH: Duration = Duration::from_secs(4);
/// How long a join waits for the directory in all: a client waits nine seconds until it tries again.
pub const LOCATE_DEADLINE: Duration = Duration::from_secs(4);
/// How often a join looks whether the lease of a relay is gone that does not answer.
pub const LEASE_LOOK: Duration = Duration::from_millis(250);
/// How often a relay looks which others there are.
pub const RELAYS_INTERVAL: Duration = Duration::from_secs(5);
/// How long the lease of a relay has to be gone until it is forgotten.
pub const RELAY_FORGOTTEN: Duration = Duration::from_secs(60);
/// The most relays that are known, and bytes that each may say of itself: what is beyond that, no relay has written.
pub const RELAYS: usize = 1_000;
/// See [`RELAYS`].
pub const RELAY_BYTES: usize = 1_024;
/// How often a relay tries to reach those that it has not tried yet: by then they have looked which relays there are, and let it
/// in.
pub const TRIAL_INTERVAL: Duration = Duration::from_secs(6);
/// Relays that are tried at a time.
pub const TRIALS_AT_ONCE: usize = 8;
/// How often a trouble with Redis that goes on is said in the log.
pub const REDIS_COMPLAINT: Duration = Duration::from_secs(60);
/// How long the relay that had a room last may take to say whether it has it, while Redis is away, and then all others together.
pub const SURVEY_DEADLINE: Duration = Duration::from_secs(1);
/// Relays that are asked about one room at a time.
pub const SURVEY_RELAYS: usize = 32;
/// Rooms about which other relays are asked at a time. What comes on top hears at once that Redis is away: each is a question to
/// every relay.
pub const SURVEYS: usize = 64;
/// Rooms of which is remembered where they were last, in each of two generations: 1 MB in all.
pub const RECENT_ROOMS: usize = 10_000;
/// How long a relay that shuts down may take to free its rooms in the directory.
pub const RELEASE_DEADLINE: Duration = Duration::from_secs(1);
