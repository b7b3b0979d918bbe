//! What a relay asks of the directory in Redis: each question is one command.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};

use super::relays::ProcessId;
use crate::room::names::RoomName;

/// How many bytes of the hash of a room's name stand for it: as many as a random id has.
const KEY_BYTES: usize = 16;

/// The name of a room in the directory: a hash, so that no name picks a shard or has bytes that are awkward in a key. It is
/// 32 hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RoomKey([u8; KEY_BYTES]);

impl From<&RoomName> for RoomKey {
    fn from(name: &RoomName) -> Self {
        let hash = digest(&SHA256, name.as_str().as_bytes());
        Self(hash.as_ref().first_chunk().copied().unwrap_or_default())
    }
}

/// A text that is no [`RoomKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoomKey;

impl FromStr for RoomKey {
    type Err = NoRoomKey;

    fn from_str(text: &str) -> Result<Self, NoRoomKey> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(NoRoomKey)
    }
}

impl fmt::Display for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What stands in the directory for a room: the process of its relay, and a number that this process never uses twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The relay.
    pub process: ProcessId,
    /// The number.
    pub number: u64,
}

impl Claim {
    /// What `text` says; none if no relay has written it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (process, number) = text.split_once(':')?;
        let claim = Self { process: process.parse().ok()?, number: number.parse().ok()? };
        (claim.to_string() == text).then_some(claim)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.process, self.number)
    }
}

/// The number of a connection to Redis. What was learnt on one may be wrong on the next: it may be another Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(pub u64);

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Redis does not answer, or not as it must. Whether it did what it was asked, nobody knows.
    Away,
    /// What stands there was not written by a relay.
    Foreign,
}

/// A question to Redis.
pub(crate) type Asking<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failed>> + Send + 'a>>;

/// The directory in Redis. Each question is answered within [`REDIS_DEADLINE`](crate::limits::REDIS_DEADLINE) of a connection that
/// is there, or waits as long for one.
pub(crate) trait Store: Send + Sync + 'static {
    /// The connection on which a question is asked now.
    fn connected(&self) -> Asking<'_, Epoch>;

    /// Claims a room, if nobody has it and the connection is still `on`. Returns what stood there.
    fn claim(&self, room: RoomKey, claim: Claim, on: Epoch) -> Asking<'_, Option<String>>;

    /// What stands there for a room.
    fn read(&self, room: RoomKey) -> Asking<'_, Option<String>>;

    /// Sets a room to `claim` if `was` still stands there and the connection is still `on`; returns whether that was so.
    fn take_over(&self, room: RoomKey, was: Claim, claim: Claim, on: Epoch) -> Asking<'_, bool>;

    /// Sets a room to `claim` if nothing stands there, or a claim of the same process. Otherwise returns what stands there.
    fn assert(&self, room: RoomKey, claim: Claim) -> Asking<'_, Option<String>>;

    /// Removes what stands there for a room, if it is a claim of `process`.
    fn release(&self, room: RoomKey, process: ProcessId) -> Asking<'_, ()>;

    /// What a relay says of itself, as long as it lives.
    fn lease(&self, process: ProcessId) -> Asking<'_, Option<String>>;

    /// Says that the relay `process` lives, and what it says of itself; returns whether that still stood there. This is asked on
    /// a connection of its own, so that nothing holds it up.
    fn renew<'a>(&'a self, process: ProcessId, said: &'a str) -> Asking<'a, bool>;

    /// Says that the relay `process` lives no more.
    fn end_lease(&self, process: ProcessId) -> Asking<'_, ()>;

    /// All relays that there are or were, and what they said of themselves.
    fn relays(&self) -> Asking<'_, Vec<(String, String)>>;

    /// Adds a relay to these.
    fn register<'a>(&'a self, process: ProcessId, said: &'a str) -> Asking<'a, ()>;

    /// Takes a relay out of these.
    fn forget<'a>(&'a self, process: &'a str) -> Asking<'a, ()>;

    /// The whole key of a room, for operators.
    fn name_of(&self, room: RoomKey) -> String;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_a_hash_of_its_name_in_the_directory() {
        let key = |name: &str| RoomKey::from(&RoomName::parse(name).unwrap()).to_string();
        // printf %s team | sha256sum
        assert_eq!(key("team"), "ca8b22d0db83a22db163b560b3e4e515");
        assert_eq!(key(" team "), key("team"), "as rooms are compared");
        assert_ne!(key("Team"), key("team"));
        assert_eq!(key("team").parse(), Ok(RoomKey::from(&RoomName::parse("team").unwrap())));
        for text in ["", "ca8b22d0", &key("team").to_uppercase(), &(key("team") + "00"), "../alive"] {
            assert_eq!(text.parse::<RoomKey>(), Err(NoRoomKey), "{text:?}");
        }
    }

    #[test]
    fn what_no_relay_has_written_is_no_claim() {
        let claim = Claim::parse("00000000000000ff:7").unwrap();
        assert_eq!(claim.to_string(), "00000000000000ff:7");
        let long = "1".repeat(30);
        for text in ["", "hello", "ff:7", "00000000000000ff", "00000000000000ff:", "00000000000000ff:+7", &long] {
            assert_eq!(Claim::parse(text), None, "{text:?}");
        }
        for text in ["00000000000000ff:07", "00000000000000ff:7 ", &format!("00000000000000ff:{long}")] {
            assert_eq!(Claim::parse(text), None, "{text:?}");
        }
    }
}
