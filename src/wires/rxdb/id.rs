//! The ids of RxDB's clients: 12 small letters, as its own server makes them.

/// The id of a client: 12 letters, which are 56 bits, so that two of a room never have the same. Their order decides which of two
/// clients makes the offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::wires) struct Id([u8; Self::CHARS]);

impl Id {
    /// The letters of its text.
    pub(super) const CHARS: usize = 12;

    /// A random one, which nobody can guess.
    ///
    /// # Errors
    /// When the operating system provides no randomness.
    pub(in crate::wires) fn random() -> Result<Self, getrandom::Error> {
        const LETTERS: u128 = 26;
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        // Far more than the letters need, so that all are as likely as each other.
        let mut random = u128::from_be_bytes(bytes);
        Ok(Self([(); Self::CHARS].map(|()| {
            let letter = b'a' + (random % LETTERS) as u8;
            random /= LETTERS;
            letter
        })))
    }

    /// Its text.
    pub(super) fn as_str(&self) -> &str {
        // It has nothing but letters.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_id_is_twelve_letters_and_each_place_has_all_of_them() {
        let ids: Vec<_> = (0..1000).map(|_| Id::random().unwrap()).collect();
        assert_eq!(ids.iter().map(|id| id.as_str().to_owned()).collect::<BTreeSet<_>>().len(), ids.len());
        for at in 0..Id::CHARS {
            let letters: BTreeSet<_> = ids.iter().map(|id| id.as_str().as_bytes()[at]).collect();
            assert_eq!(letters, (b'a'..=b'z').collect());
        }
    }
}
