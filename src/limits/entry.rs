//! Who may enter: tokens, keys, the webhook, invite links.

use std::ops::RangeInclusive;
use std::time::Duration;

/// How long an authorizer may take to decide on a join.
pub const AUTHORIZE_DEADLINE: Duration = Duration::from_secs(5);
/// The longest token, in bytes: one with many claims and an RSA signature has 1 KiB, and a longer one than this does not
/// fit into the headers of most servers.
pub const TOKEN_BYTES: usize = 8 * 1024;
/// The claim of tokens that has the rooms, unless `--token-room-claim` says otherwise.
pub const TOKEN_ROOM_CLAIM: &str = "room";
/// How far the clocks of who signs tokens and of the relay may differ: `exp` and `nbf` may be exceeded by that much.
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(60);
/// For how many seconds after the `exp` of the token by which somebody came it may come back to its place, by default: an
/// hour. The tokens of identity providers live for minutes, and calls for hours.
pub const RESUME_AFTER_EXP_SECONDS: u64 = 60 * 60;
/// The shortest secret that signs tokens, in bytes: anybody with a token can try secrets without asking the relay, and
/// 128 bits are too many to try.
pub const SECRET_BYTES_MIN: usize = 16;
/// The longest file with a secret or public keys, in bytes: dozens of RSA keys fit.
pub const KEY_FILE_BYTES: u64 = 64 * 1024;
/// The sizes of RSA keys that verify tokens, in bits: what RFC 7518 demands at least, and what ring takes at most.
pub const RSA_BITS: RangeInclusive<usize> = 2048..=8192;
/// The longest key set of an identity provider, in bytes: those of large ones have 10 KiB.
pub const JWKS_BYTES: usize = 256 * 1024;
/// The most keys of a set: large providers have ten. A token without the name of its key is tried with each.
pub const JWKS_KEYS: usize = 64;
/// How long it may take to fetch a key set: who waits for it to join hears of the outcome before
/// [`AUTHORIZE_DEADLINE`].
pub const JWKS_DEADLINE: Duration = Duration::from_secs(4);
/// How often a key set is fetched at most, whatever keys tokens name.
pub const JWKS_REFETCH: Duration = Duration::from_secs(60);
/// How old a key set may be when somebody joins before it is fetched again, so that a key that was taken back ends.
pub const JWKS_AGE: Duration = Duration::from_secs(10 * 60);
/// How long the token of an invite link is valid by default: for a call today or tomorrow.
pub const INVITE_VALIDITY: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest that the token of an invite link may be valid: it cannot be taken back without a new secret.
pub const INVITE_VALIDITY_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Questions to the webhook that are on their way at a time, each on a connection of its own: at 10 ms each, 3,200
/// clients a second, and half of [`SPARE_DESCRIPTORS`](super::SPARE_DESCRIPTORS). Their memory, besides the budget, is bounded by this number: the question
/// (a token and the headers, 24 KiB, and six times that if JSON escapes all of it), and the head and the body of the answer
/// ([`WEBHOOK_BYTES`] each), 9 MiB for all.
pub const WEBHOOK_REQUESTS: usize = 32;
/// Questions to the webhook that are on their way although whoever asked is gone; beyond that nobody is asked about until some
/// are answered. The webhook works on them all the same, so it has this and [`WEBHOOK_REQUESTS`] at once at most.
pub const WEBHOOK_ABANDONED: usize = 96;
/// The same of one address.
pub const WEBHOOK_ABANDONED_OF_LINE: usize = 16;
/// Questions to the webhook that are on their way or wait for their turn; further joins are `unavailable` at once. Each has a
/// token and the headers of the upgrade (24 KiB at most), which are charged to the address of the client.
pub const WEBHOOK_WAITING: usize = 1024;
/// How long a connection to the webhook is kept for the next question: less than servers keep it (Node's default is 5 s).
pub const WEBHOOK_IDLE: Duration = Duration::from_secs(4);
/// How long the body of an answer that does not matter may take until its connection is given up instead of used again.
pub const BODY_PATIENCE: Duration = Duration::from_secs(1);
/// How often the log repeats that the webhook does not decide for one and the same reason.
pub const WEBHOOK_COMPLAINTS: Duration = Duration::from_secs(60);
/// Lines of the log about the webhook that may be written at once, and as many a minute beyond that: clients can make it
/// fail and decide in turn.
pub const WEBHOOK_LINES: u32 = 10;
/// The longest file with certificates, in bytes: all authorities of a system fit.
pub const FILE_BYTES: u64 = 1024 * 1024;
/// The longest answer of the webhook, in bytes; the head of its response may have as many.
pub const WEBHOOK_BYTES: usize = 64 * 1024;
/// The most characters of a webhook's message, or of a sentence that does not fit into [`LONGEST_ERROR`](super::LONGEST_ERROR), that the client
/// gets.
pub const DENIAL_CHARS: usize = 1_000;
