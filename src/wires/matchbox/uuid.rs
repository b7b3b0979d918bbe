//! The ids of matchbox's clients: UUIDs (RFC 9562) of version 4.

use std::fmt;

/// A UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Uuid(u128);

/// Where a UUID as text has its hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl Uuid {
    /// The characters of its text.
    pub(super) const CHARS: usize = 36;

    /// A random one, which nobody can guess.
    ///
    /// # Errors
    /// When the operating system provides no randomness.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        let random = u128::from_be_bytes(bytes);
        // The version, 4, and the variant.
        Ok(Self(random & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62)))
    }

    /// That which a text says, with hyphens, or all digits in a row; none if it says none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != Self::CHARS && bytes.len() != 32 {
            return None;
        }
        let mut value = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if bytes.len() == Self::CHARS && HYPHENS.contains(&at) {
                if *byte != b'-' {
                    return None;
                }
                continue;
            }
            value = value << 4 | u128::from(char::from(*byte).to_digit(16)?);
        }
        Some(Self(value))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value) = self;
        let part = |from: u32, bits: u32| (value >> (128 - from - bits)) & ((1 << bits) - 1);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(0, 32),
            part(32, 16),
            part(48, 16),
            part(64, 16),
            part(80, 48)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_it_was_written_and_random_ones_are_of_version_4() {
        let text = "01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(Uuid::parse(text).unwrap().to_string(), text);
        assert_eq!(Uuid::parse(&text.to_uppercase()), Uuid::parse(text));
        assert_eq!(Uuid::parse(&text.replace('-', "")), Uuid::parse(text));
        for wrong in
            ["", "0123", &text.replace('-', "_"), &text.replace('f', "g"), &format!("{text}0"), &"é".repeat(18)]
        {
            assert_eq!(Uuid::parse(wrong), None, "{wrong}");
        }
        let (one, two) = (Uuid::random().unwrap(), Uuid::random().unwrap());
        assert_ne!(one, two);
        for id in [one, two] {
            let text = id.to_string();
            assert_eq!(Uuid::parse(&text), Some(id));
            assert_eq!(text.as_bytes()[14], b'4', "{text}");
            assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{text}");
        }
    }
}
