//! The relays of a cluster, and where a room lives.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize, Serializer};
use tokio::sync::{Notify, watch};

use crate::limits::{RELAY_BYTES, RELAYS};
use crate::room::Ownership;

/// What this relay speaks with others: the number in the paths by which it is asked.
pub(crate) const PROTOCOL: u32 = 1;
/// How many hexadecimal digits a [`ProcessId`] has as text.
const PROCESS_DIGITS: usize = 16;
/// How many a token of a place has behind that.
const TOKEN_DIGITS: usize = 32;

/// A process of a relay: 64 random bits, chosen when it starts. It is 16 hexadecimal digits in lower case as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ProcessId(u64);

/// A text that is no [`ProcessId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoProcessId;

impl ProcessId {
    /// One that nobody can guess.
    ///
    /// # Errors
    /// When the operating system provides no randomness.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        Ok(Self(getrandom::u64()?))
    }
}

impl ProcessId {
    /// The process that a token names: it is followed by `-` and the 32 hexadecimal digits of a token of one relay. None if it has
    /// another form.
    pub(crate) fn of_token(token: &str) -> Option<Self> {
        let (process, digits) = token.split_once('-')?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != TOKEN_DIGITS || !digits.bytes().all(is_digit) {
            return None;
        }
        process.parse().ok()
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0PROCESS_DIGITS$x}", self.0)
    }
}

impl fmt::Debug for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ProcessId {
    type Err = NoProcessId;

    fn from_str(text: &str) -> Result<Self, NoProcessId> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != PROCESS_DIGITS || !text.bytes().all(is_digit) {
            return Err(NoProcessId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| NoProcessId)
    }
}

/// The SHA-256 of a certificate. It is hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(pub [u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("a fingerprint is 64 hexadecimal digits"))
    }
}

/// A relay of the cluster, as it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Neighbour {
    /// Its process.
    pub process: ProcessId,
    /// Where its port for other relays is reached.
    pub address: SocketAddr,
    /// The fingerprint of the certificate that it has there.
    pub fingerprint: Fingerprint,
    /// What it speaks with other relays.
    pub protocol: u32,
    /// Its version, for the log.
    pub version: String,
    /// What stands for the settings that members of a room feel, so that a difference can be told.
    pub settings: String,
}

/// What a relay says of itself, as the directory has it. What is unknown in it is of a later version.
#[derive(Serialize, Deserialize)]
struct Said {
    address: SocketAddr,
    fingerprint: Fingerprint,
    protocol: u32,
    version: String,
    settings: String,
}

impl Neighbour {
    /// What it says of itself.
    pub(crate) fn to_said(&self) -> String {
        let Self { address, fingerprint, protocol, ref version, ref settings, .. } = *self;
        let said = Said { address, fingerprint, protocol, version: version.clone(), settings: settings.clone() };
        // This cannot fail: every key is a string, and the target is memory.
        serde_json::to_string(&said).unwrap_or_default()
    }

    /// What the relay `process` says of itself; none if no relay has written it.
    pub(crate) fn from_said(process: ProcessId, said: &str) -> Option<Self> {
        let said = Some(said).filter(|said| said.len() <= RELAY_BYTES)?;
        let Said { address, fingerprint, protocol, version, settings } = serde_json::from_str(said).ok()?;
        Some(Self { process, address, fingerprint, protocol, version, settings })
    }

    /// Whether it and this relay can speak with each other: each knows what it spoke one version earlier.
    pub(crate) fn is_understood(&self) -> bool {
        self.protocol.abs_diff(PROTOCOL) <= 1 && self.protocol > 0
    }
}

/// Where a room lives.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// At this relay, as long as that owns it.
    Here(Arc<Ownership>),
    /// At another relay.
    At(Arc<Neighbour>),
    /// At no other relay: it was asked about without being claimed.
    Nowhere,
    /// Nobody can say now, for this reason.
    Unknown(Unknown),
}

/// Why nobody can say where a room lives. Its text is a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unknown {
    /// Redis does not answer.
    #[error("the relay cannot reach its directory of rooms now: try again in a moment")]
    Away,
    /// The directory names a relay that does not answer, and may only be slow.
    #[error("the relay that has this room does not answer now: try again in a moment")]
    OwnerAway,
    /// The directory names a relay with which this one cannot speak.
    #[error("the relay that has this room is of another version: try again when all relays are of one")]
    Apart,
    /// Somebody else has written something under the key of the room.
    #[error("the relay's directory has something else in the place of this room: tell its operator")]
    Foreign,
    /// This relay shuts down.
    #[error("the relay is shutting down")]
    Draining,
}

/// The other relays that are known, also while Redis is away.
#[derive(Debug, Default)]
pub(crate) struct Relays {
    known: RwLock<HashMap<ProcessId, Arc<Neighbour>>>,
    /// Those that lived when they were last looked at.
    alive: RwLock<HashSet<ProcessId>>,
    /// Woken when somebody is missed.
    missed: Notify,
    /// How often it was looked which relays there are.
    looks: watch::Sender<u64>,
}

impl Relays {
    /// The one with this process.
    pub(crate) fn get(&self, process: ProcessId) -> Option<Arc<Neighbour>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(&process).cloned()
    }

    /// The one whose certificate has this fingerprint.
    pub(crate) fn with_fingerprint(&self, fingerprint: Fingerprint) -> Option<Arc<Neighbour>> {
        let relays = self.known.read().unwrap_or_else(PoisonError::into_inner);
        relays.values().find(|relay| relay.fingerprint == fingerprint).cloned()
    }

    /// Says that somebody is not known who may be a relay that has just started.
    pub(crate) fn miss(&self) {
        self.missed.notify_one();
    }

    /// Waits until somebody is [missed](Self::miss).
    pub(crate) async fn missed(&self) {
        self.missed.notified().await;
    }

    /// Says that all relays are known that the directory has.
    pub(crate) fn note_look(&self) {
        self.looks.send_modify(|looks| *looks += 1);
    }

    /// The relay `process`, also if it has just started; none if the directory does not have it either. Waits for that.
    pub(crate) async fn find(&self, process: ProcessId) -> Option<Arc<Neighbour>> {
        if let Some(known) = self.get(process) {
            return Some(known);
        }
        let mut looks = self.looks.subscribe();
        let before = *looks.borrow_and_update();
        self.miss();
        // One may have begun before this one asked.
        let is_later = |looks: &u64| *looks >= before + 2;
        let mut found = None;
        while found.is_none() && looks.changed().await.is_ok() {
            found = self.get(process);
            if is_later(&looks.borrow()) {
                return found;
            }
            self.miss();
        }
        found
    }

    /// Whether one of them is reached at this address.
    pub(crate) fn has_address(&self, ip: IpAddr) -> bool {
        let relays = self.known.read().unwrap_or_else(PoisonError::into_inner);
        relays.values().any(|relay| relay.address.ip().to_canonical() == ip)
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Neighbour>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether the relay `process` lives, as far as is known.
    pub(crate) fn note_alive(&self, process: ProcessId, is_alive: bool) {
        let mut alive = self.alive.write().unwrap_or_else(PoisonError::into_inner);
        if is_alive {
            alive.insert(process);
        } else {
            alive.remove(&process);
        }
    }

    /// Those that lived when they were last looked at.
    #[cfg(feature = "admin")]
    pub(crate) fn alive(&self) -> HashSet<ProcessId> {
        self.alive.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Knows this one from now on. Returns the one that is known from now on: the same as before if nothing has changed.
    pub(crate) fn learn(&self, relay: Neighbour) -> Arc<Neighbour> {
        let mut relays = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = relays.get(&relay.process).filter(|known| ***known == relay) {
            return Arc::clone(known);
        }
        let relay = Arc::new(relay);
        if relays.len() < RELAYS || relays.contains_key(&relay.process) {
            relays.insert(relay.process, Arc::clone(&relay));
        }
        relay
    }

    /// Knows the one with this process no more.
    pub(crate) fn forget(&self, process: ProcessId) -> Option<Arc<Neighbour>> {
        self.note_alive(process, false);
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_16_hexadecimal_digits() {
        let process = ProcessId::random().unwrap();
        assert_eq!(process.to_string().parse(), Ok(process));
        assert_eq!("00000000000000ff".parse::<ProcessId>().unwrap().to_string(), "00000000000000ff");
        for text in ["", "ff", "00000000000000FF", "+0000000000000ff", "00000000000000fff", "000000000000000\u{e9}"] {
            assert_eq!(text.parse::<ProcessId>(), Err(NoProcessId), "{text:?}");
        }
    }

    #[test]
    fn a_token_names_the_process_that_has_the_place() {
        let digits = "0123456789abcdef";
        let token = format!("{digits}-{digits}{digits}");
        assert_eq!(ProcessId::of_token(&token).unwrap().to_string(), digits);
        for other in [
            String::new(),
            digits.repeat(2),
            token.to_uppercase(),
            format!("{token}0"),
            format!("0{token}"),
            token.replace('-', "--"),
            token.replace('-', "_"),
            format!("{digits}-{digits}"),
            "-".repeat(10_000),
        ] {
            assert_eq!(ProcessId::of_token(&other), None, "{other:.60}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_not_known_is_looked_for_once() {
        let relays = Arc::new(Relays::default());
        let finds = tokio::spawn({
            let relays = Arc::clone(&relays);
            async move { relays.find(ProcessId(7)).await }
        });
        for _ in 0..2 {
            relays.missed().await;
            relays.note_look();
        }
        assert_eq!(finds.await.unwrap(), None);
    }

    #[test]
    fn a_relay_is_found_by_its_process_and_by_its_certificate_until_it_is_forgotten() {
        let relays = Relays::default();
        let relay = |process| Neighbour {
            process: ProcessId(process),
            address: ([127, 0, 0, 1], 4000).into(),
            fingerprint: Fingerprint([process as u8; 32]),
            protocol: PROTOCOL,
            version: "1.0.0".into(),
            settings: String::new(),
        };
        let known = relays.learn(relay(1));
        assert!(Arc::ptr_eq(&relays.learn(relay(1)), &known), "nothing is new");
        relays.learn(relay(2));
        assert_eq!(relays.all().len(), 2);
        assert_eq!(relays.get(ProcessId(1)), Some(known));
        let said = relay(3).to_said();
        assert_eq!(Neighbour::from_said(ProcessId(3), &said), Some(relay(3)));
        assert_eq!(Neighbour::from_said(ProcessId(3), &said.replace('{', r#"{"later":1,"#)), Some(relay(3)));
        for foreign in
            ["", "hello", "{}", &said.replace("4000", "400000"), &format!("{said}{}", " ".repeat(RELAY_BYTES))]
        {
            assert_eq!(Neighbour::from_said(ProcessId(3), foreign), None);
        }
        assert_eq!(relays.with_fingerprint(Fingerprint([2; 32])).unwrap().process, ProcessId(2));
        for (protocol, is_understood) in [(0, false), (PROTOCOL, true), (PROTOCOL + 1, true), (PROTOCOL + 2, false)] {
            assert_eq!(Neighbour { protocol, ..relay(1) }.is_understood(), is_understood, "{protocol}");
        }
        relays.forget(ProcessId(2));
        assert_eq!(relays.with_fingerprint(Fingerprint([2; 32])), None);
    }
}
