//! Room names, peer ids and display names as types: a value is always valid.
//!
//! Each is checked once, when it is parsed, and is cheap to clone.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::CodePointSetData;
use icu_properties::props::{BidiControl, DefaultIgnorableCodePoint, VariationSelector};
use serde::Serialize;
use thiserror::Error;

#[cfg(feature = "wires")]
use crate::wire::Wire;

/// The most characters (Unicode scalar values) that a room name may have.
pub const ROOM_NAME_CHARS: usize = 64;
/// The most characters that a peer's id may have.
pub const PEER_ID_CHARS: usize = 64;
/// The most characters (Unicode scalar values) that a display name may have.
pub const PEER_NAME_CHARS: usize = 64;
/// The most bytes (UTF-8) that a room name or a display name may have as it was written.
pub const NAME_BYTES: usize = 1024;
/// The room that the bare URL `ws://host/` joins.
pub const LOBBY: &str = "lobby";

/// What stands for the application's own server. `@` is in no id.
const SERVER: &str = "@server";
/// How ids begin that stand for a person whose name cannot be one.
const OF_SUBJECT: &str = "s-";
/// How ids begin that the relay makes for clients that choose none.
const RANDOM: &str = "r-";
/// The characters of base64url for 128 bits.
const RANDOM_CHARS: usize = 22;

/// Why a string is not a valid room name, peer id or display name. Its text is a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// The room name is empty.
    #[error("a room name must not be empty")]
    RoomEmpty,
    /// The room name has more than [`ROOM_NAME_CHARS`] characters.
    #[error("a room name has at most {ROOM_NAME_CHARS} characters, and {NAME_BYTES} bytes as it was written")]
    RoomTooLong,
    /// The room name contains a control character.
    #[error("a room name must not contain control characters")]
    RoomControl,
    /// The id is not `[A-Za-z0-9_-]{1,64}`.
    #[error("an id is 1 to {PEER_ID_CHARS} of the characters A-Z, a-z, 0-9, '_' and '-'")]
    Id,
    /// The id has a form that only the relay makes.
    #[error("an id of \"r-\" or \"s-\" and {RANDOM_CHARS} characters is made by the relay alone: choose another one")]
    ReservedId,
    /// The name has more than [`PEER_NAME_CHARS`] characters.
    #[error("a name has at most {PEER_NAME_CHARS} characters, and {NAME_BYTES} bytes as it was written")]
    NameTooLong,
    /// The name contains a control character.
    #[error("a name must not contain control characters")]
    NameControl,
}

/// The name of a room: 1 to 64 characters of any script, no control characters. Names that look the same are one, however
/// they were typed: see [`normalized`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// Parses a room name.
    ///
    /// # Errors
    /// [`NameError::RoomEmpty`], [`NameError::RoomTooLong`] or [`NameError::RoomControl`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > NAME_BYTES {
            return Err(NameError::RoomTooLong);
        }
        let text = &*normalized(text);
        if text.is_empty() {
            return Err(NameError::RoomEmpty);
        }
        if longer_than(text, ROOM_NAME_CHARS) {
            return Err(NameError::RoomTooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::RoomControl);
        }
        Ok(Self(text.into()))
    }

    /// `written` if the room's name is another spelling of it.
    pub(crate) fn spelling(&self, written: &str) -> Option<Arc<str>> {
        (written != self.as_str()).then(|| written.into())
    }

    /// What stands for a topic of another library's wire where somebody decides on it, in events, and in the log: `WIRE/TOPIC`,
    /// the topic as its client wrote it.
    #[cfg(feature = "wires")]
    pub(crate) fn of_topic(wire: Wire, topic: &str) -> Self {
        Self(format!("{wire}/{topic}").into())
    }

    /// Whether it reads as [a topic](Self::of_topic), of whatever it is the name.
    #[cfg(feature = "wires")]
    pub(crate) fn reads_as_topic(&self) -> bool {
        self.0.split_once('/').is_some_and(|(wire, _)| wire.parse::<Wire>().is_ok())
    }

    /// The room that the bare URL joins.
    pub fn lobby() -> Self {
        Self(LOBBY.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of a peer, unique in its room: `[A-Za-z0-9_-]{1,64}`, so it needs no escaping in JSON, URLs or logs. Only on the wire of
/// PeerJS it is of any characters, as its client wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct PeerId(Arc<str>);

impl PeerId {
    /// Parses an id that a client chose: not one of the forms that the relay makes, which are somebody else's, even when
    /// that one is gone.
    ///
    /// # Errors
    /// [`NameError::Id`] or [`NameError::ReservedId`].
    pub fn chosen(text: &str) -> Result<Self, NameError> {
        let id = Self::parse(text)?;
        if id.is_reserved() { Err(NameError::ReservedId) } else { Ok(id) }
    }

    /// Parses an id that whoever decides on joins gave.
    ///
    /// # Errors
    /// [`NameError::Id`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if text.is_empty() || text.len() > PEER_ID_CHARS || !text.bytes().all(allowed) {
            return Err(NameError::Id);
        }
        Ok(Self(text.into()))
    }

    /// Makes an id that nobody can guess, nor choose: `r-`, and 128 random bits as 22 characters of base64url.
    ///
    /// # Errors
    /// When the operating system provides no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        Ok(Self(format!("{RANDOM}{}", BASE64URL_NOPAD.encode(&random_bytes()?)).into()))
    }

    /// The id that stands for the person whom `issuer` calls `subject`, which cannot be an id itself: 128 bits of a hash, so
    /// it is the same everywhere, and hides nothing that can be guessed.
    pub(crate) fn of_subject(issuer: &str, subject: &str, sha256: &dyn Fn(&[u8]) -> [u8; 32]) -> Self {
        let hash = sha256(&[issuer.as_bytes(), &[0], subject.as_bytes()].concat());
        let half = hash.first_chunk::<16>().unwrap_or(&[0; 16]);
        Self(format!("{OF_SUBJECT}{}", BASE64URL_NOPAD.encode(half)).into())
    }

    /// The id that a client of another library's wire claims, as it wrote it: of any characters, and as long as that wire allows.
    #[cfg(feature = "wires")]
    pub(crate) fn of_wire(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether it has the form of an id that [`random`](Self::random) or [`of_subject`](Self::of_subject) makes.
    pub(crate) fn is_reserved(&self) -> bool {
        let rest = self.0.strip_prefix(RANDOM).or_else(|| self.0.strip_prefix(OF_SUBJECT));
        rest.is_some_and(|rest| rest.len() == RANDOM_CHARS)
    }

    /// What stands in `from` where the application's own server speaks: nobody can have this id.
    #[cfg(feature = "admin")]
    pub(crate) fn server() -> Self {
        Self(SERVER.into())
    }

    /// Whether it is that of the application's own server.
    pub(crate) fn is_server(&self) -> bool {
        &*self.0 == SERVER
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The display name of a peer: at most 64 characters of any script, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PeerName(Arc<str>);

impl PeerName {
    /// Parses a display name. An empty text means no name, as an empty form field does.
    ///
    /// # Errors
    /// [`NameError::NameTooLong`] or [`NameError::NameControl`].
    pub fn parse(text: &str) -> Result<Option<Self>, NameError> {
        if text.len() > NAME_BYTES {
            return Err(NameError::NameTooLong);
        }
        let text = &*normalized(text);
        if longer_than(text, PEER_NAME_CHARS) {
            return Err(NameError::NameTooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::NameControl);
        }
        Ok((!text.is_empty()).then(|| Self(text.into())))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `text` without what nobody sees: in Unicode's form NFC, without white space around it, and without characters that are
/// invisible (Default_Ignorable_Code_Point, and the controls of bidirectional text). The joiners, variation selectors and
/// tags behind a visible character stay, because Persian, Hindi and emoji need them. Nothing is folded: `Team` and `team`
/// are two.
pub fn normalized(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return text.trim().into();
    }
    let visible = without_invisible(text);
    ComposingNormalizerBorrowed::new_nfc().normalize(&visible).trim().to_owned().into()
}

fn without_invisible(text: &str) -> String {
    let (ignorable, bidi) =
        (CodePointSetData::new::<DefaultIgnorableCodePoint>(), CodePointSetData::new::<BidiControl>());
    let selectors = CodePointSetData::new::<VariationSelector>();
    let mut is_behind_visible = false;
    let keeps = |char: &char| {
        if !ignorable.contains(*char) && !bidi.contains(*char) {
            is_behind_visible = !char.is_whitespace();
            return true;
        }
        let joins = matches!(char, '\u{200c}' | '\u{200d}' | '\u{e0020}'..='\u{e007f}') || selectors.contains(*char);
        joins && is_behind_visible
    };
    text.chars().filter(keeps).collect()
}

/// 128 random bits as 32 hexadecimal digits.
///
/// # Errors
/// When the operating system provides no randomness.
pub(crate) fn random_hex() -> Result<String, getrandom::Error> {
    let bytes = random_bytes()?;
    let mut text = String::with_capacity(2 * bytes.len());
    for digit in bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
        // Never more than 15.
        text.extend(char::from_digit(digit.into(), 16));
    }
    Ok(text)
}

/// 122 random bits as a UUID (RFC 9562, version 4).
///
/// # Errors
/// When the operating system provides no randomness.
#[cfg(feature = "wires")]
pub(crate) fn random_uuid() -> Result<String, getrandom::Error> {
    let number = u128::from_be_bytes(random_bytes()?);
    let number = number & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let mut text = format!("{number:032x}");
    [20, 16, 12, 8].into_iter().for_each(|at| text.insert(at, '-'));
    Ok(text)
}

fn random_bytes() -> Result<[u8; 16], getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn longer_than(text: &str, chars: usize) -> bool {
    text.chars().nth(chars).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_room_name_may_be_of_any_script_and_of_64_characters() {
        for name in ["r", "会议室 一", "кухня", "🎉", &"é".repeat(64)] {
            assert_eq!(RoomName::parse(name).unwrap().as_str(), name);
        }
    }

    #[cfg(feature = "wires")]
    #[test]
    fn a_uuid_is_random_and_of_version_4() {
        let (one, other) = (random_uuid().unwrap(), random_uuid().unwrap());
        assert_ne!(one, other);
        let parts: Vec<_> = one.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']), "{one}");
    }

    #[test]
    fn a_room_name_that_is_empty_too_long_or_holds_a_control_character_is_refused() {
        assert_eq!(RoomName::parse(""), Err(NameError::RoomEmpty));
        assert_eq!(RoomName::parse(&"é".repeat(65)), Err(NameError::RoomTooLong));
        for space in [" ", "\n", "\u{85}", "\u{3000}", "\u{200b}", "\u{feff}\u{2060}", "\u{200d}"] {
            assert_eq!(RoomName::parse(space), Err(NameError::RoomEmpty), "{space:?}");
        }
        assert_eq!(RoomName::parse(&"\u{200b}".repeat(342)), Err(NameError::RoomTooLong));
        for control in ["a\nb", "\0", "\u{1b}[31m", "\u{7f}", "a\u{85}b"] {
            assert_eq!(RoomName::parse(control), Err(NameError::RoomControl), "{control:?}");
        }
    }

    #[test]
    fn names_that_look_the_same_are_one() {
        for (written, name) in [
            ("cafe\u{301}", "caf\u{e9}"),
            ("caf\u{e9}", "caf\u{e9}"),
            ("cafe\u{200b}\u{301}", "caf\u{e9}"),
            (" team ", "team"),
            ("\u{a0}\u{3000}team\t\n", "team"),
            ("te\u{200b}am\u{feff}", "team"),
            ("\u{202e}team\u{202c}", "team"),
            ("\u{200e}team\u{61c}", "team"),
            ("te\u{ad}am", "team"),
            ("\u{200d}team", "team"),
            ("a \u{200d}b", "a b"),
            ("\u{1100}\u{1161}", "\u{ac00}"),
            // Persian, Hindi, and emoji: a family, a heart in colour, and the flag of Scotland.
            (
                "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
                "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            ),
            ("\u{915}\u{94d}\u{200d}\u{937}", "\u{915}\u{94d}\u{200d}\u{937}"),
            (
                "\u{1f469}\u{200d}\u{2764}\u{fe0f}\u{200d}\u{1f468}",
                "\u{1f469}\u{200d}\u{2764}\u{fe0f}\u{200d}\u{1f468}",
            ),
            (
                "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
                "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            ),
            // Nothing is folded.
            ("Team", "Team"),
            ("\u{ff34}eam", "\u{ff34}eam"),
            ("stra\u{df}e", "stra\u{df}e"),
        ] {
            assert_eq!(RoomName::parse(written).unwrap().as_str(), name, "{written:?}");
            assert_eq!(PeerName::parse(written).unwrap().unwrap().as_str(), name, "{written:?}");
        }
        assert_eq!(PeerName::parse("\u{200b} "), Ok(None));
    }

    proptest! {
        #[test]
        fn a_name_in_its_form_stays_as_it_is(text in "[a-z \u{e9}\u{301}\u{200b}-\u{200f}\u{fe0f}\u{1f469}\u{1100}\u{1161}\u{3000}\u{e0067}]{0,12}") {
            let once = normalized(&text).into_owned();
            prop_assert_eq!(&*normalized(&once), &*once);
        }
    }

    #[test]
    fn an_id_is_1_to_64_plain_characters() {
        for id in ["a", "A-z_09", &"x".repeat(64)] {
            assert_eq!(PeerId::parse(id).unwrap().as_str(), id);
        }
        for id in ["", "a b", "é", "a\"", "<b>", &"x".repeat(65)] {
            assert_eq!(PeerId::parse(id), Err(NameError::Id), "{id:?}");
        }
    }

    #[test]
    fn random_ids_are_valid_and_differ_and_nobody_may_choose_one() {
        let (one, other) = (PeerId::random().unwrap(), PeerId::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(PeerId::parse(one.as_str()).unwrap(), one);
        assert!(one.as_str().starts_with("r-") && one.as_str().len() == 24, "{one}");
        assert_eq!(PeerId::chosen(one.as_str()), Err(NameError::ReservedId));
        let of_somebody = PeerId::of_subject("", "auth0|1", &|_| [0; 32]);
        assert_eq!(PeerId::chosen(of_somebody.as_str()), Err(NameError::ReservedId));
        for free in [&"0f".repeat(16), "r-", "r-2d2", "s-1", &format!("r-{}", "x".repeat(21)), &"r".repeat(24)] {
            assert_eq!(PeerId::chosen(free).unwrap().as_str(), free);
        }
        assert_eq!(PeerId::chosen("a b"), Err(NameError::Id));
    }

    #[test]
    fn an_empty_name_is_no_name() {
        assert_eq!(PeerName::parse(""), Ok(None));
        assert_eq!(PeerName::parse("小明").unwrap().unwrap().as_str(), "小明");
        assert_eq!(PeerName::parse(&"x".repeat(65)), Err(NameError::NameTooLong));
        assert_eq!(PeerName::parse("a\u{7}"), Err(NameError::NameControl));
    }
}
