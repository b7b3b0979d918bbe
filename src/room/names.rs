//! Room names, peer ids and display names as types: a value is always valid.
//!
//! Each is checked once, when it is parsed, and is cheap to clone.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

/// The most characters (Unicode scalar values) that a room name may have.
pub const ROOM_NAME_CHARS: usize = 64;
/// The most characters that a peer's id may have.
pub const PEER_ID_CHARS: usize = 64;
/// The most characters (Unicode scalar values) that a display name may have.
pub const PEER_NAME_CHARS: usize = 64;
/// The room that the bare URL `ws://host/` joins.
pub const LOBBY: &str = "lobby";

/// Why a string is not a valid room name, peer id or display name. Its text is a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// The room name is empty.
    #[error("a room name must not be empty")]
    RoomEmpty,
    /// The room name has more than [`ROOM_NAME_CHARS`] characters.
    #[error("a room name has at most {ROOM_NAME_CHARS} characters")]
    RoomTooLong,
    /// The room name contains a control character.
    #[error("a room name must not contain control characters")]
    RoomControl,
    /// The id is not `[A-Za-z0-9_-]{1,64}`.
    #[error("an id is 1 to {PEER_ID_CHARS} of the characters A-Z, a-z, 0-9, '_' and '-'")]
    Id,
    /// The name has more than [`PEER_NAME_CHARS`] characters.
    #[error("a name has at most {PEER_NAME_CHARS} characters")]
    NameTooLong,
    /// The name contains a control character.
    #[error("a name must not contain control characters")]
    NameControl,
}

/// The name of a room: 1 to 64 characters of any script, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// Parses a room name.
    ///
    /// # Errors
    /// [`NameError::RoomEmpty`], [`NameError::RoomTooLong`] or [`NameError::RoomControl`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
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

    /// The room that the bare URL joins.
    pub fn lobby() -> Self {
        Self(LOBBY.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of a peer, unique in its room: `[A-Za-z0-9_-]{1,64}`, so it needs no escaping in JSON, URLs or logs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct PeerId(Arc<str>);

impl PeerId {
    /// Parses an id that a client chose.
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

    /// Makes an id that nobody can guess: 128 random bits as 32 hexadecimal digits.
    ///
    /// # Errors
    /// When the operating system provides no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        Ok(Self(random_hex()?.into()))
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

/// 128 random bits as 32 hexadecimal digits.
///
/// # Errors
/// When the operating system provides no randomness.
pub(crate) fn random_hex() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    let mut text = String::with_capacity(2 * bytes.len());
    for digit in bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
        // Never more than 15.
        text.extend(char::from_digit(digit.into(), 16));
    }
    Ok(text)
}

fn longer_than(text: &str, chars: usize) -> bool {
    text.chars().nth(chars).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_name_may_be_of_any_script_and_of_64_characters() {
        for name in ["r", "会议室 一", "кухня", "🎉", &"é".repeat(64)] {
            assert_eq!(RoomName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_room_name_that_is_empty_too_long_or_holds_a_control_character_is_refused() {
        assert_eq!(RoomName::parse(""), Err(NameError::RoomEmpty));
        assert_eq!(RoomName::parse(&"é".repeat(65)), Err(NameError::RoomTooLong));
        for control in ["a\nb", "\0", "\u{1b}[31m", "\u{7f}", "\u{85}"] {
            assert_eq!(RoomName::parse(control), Err(NameError::RoomControl), "{control:?}");
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
    fn random_ids_are_valid_and_differ() {
        let (one, other) = (PeerId::random().unwrap(), PeerId::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(PeerId::parse(one.as_str()).unwrap(), one);
        assert_eq!(one.as_str().len(), 32);
    }

    #[test]
    fn an_empty_name_is_no_name() {
        assert_eq!(PeerName::parse(""), Ok(None));
        assert_eq!(PeerName::parse("小明").unwrap().unwrap().as_str(), "小明");
        assert_eq!(PeerName::parse(&"x".repeat(65)), Err(NameError::NameTooLong));
        assert_eq!(PeerName::parse("a\u{7}"), Err(NameError::NameControl));
    }
}
