//! The password of a room: the first one in sets it, and the others must know it.

use std::fmt;
use std::net::IpAddr;

use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::names::RoomName;
use super::refusal::JoinError;
use super::wrong_passwords::WrongPasswords;
use crate::limits::{PASSWORD_BYTES, WRONG_PASSWORDS, WRONG_PASSWORDS_FOR};
use crate::secret::Secret;

/// A password, and how often it was guessed wrongly.
pub(super) struct Password {
    secret: Secret,
    /// The wrong ones of the minute that began at `since`, from all addresses together.
    wrong: usize,
    since: Instant,
    /// When the host was last told of them.
    told: Option<Instant>,
}

impl Password {
    pub(super) fn new(secret: Secret) -> Self {
        Self { secret, wrong: 0, since: Instant::now(), told: None }
    }

    /// Checks what a client at `address`, which comes to `room`, gives as the password.
    pub(super) fn check(
        &mut self,
        given: Option<&Secret>,
        room: &RoomName,
        address: Option<IpAddr>,
        wrong_passwords: &WrongPasswords,
    ) -> Result<(), JoinError> {
        if !wrong_passwords.may_try(room, address) {
            return Err(JoinError::TooManyGuesses);
        }
        match given {
            Some(given) if is_same(given, &self.secret) => Ok(()),
            // Who gives none has not guessed.
            None => Err(JoinError::WrongPassword),
            Some(_) => {
                wrong_passwords.add_wrong(room, address);
                self.count_wrong();
                Err(JoinError::WrongPassword)
            }
        }
    }

    fn count_wrong(&mut self) {
        let now = Instant::now();
        if now >= self.since + WRONG_PASSWORDS_FOR {
            (self.since, self.wrong) = (now, 0);
        }
        self.wrong += 1;
    }

    /// Whether the host should be told now that somebody guesses: there were [`WRONG_PASSWORDS`] wrong ones within a minute,
    /// from whatever addresses, and it was not told within a minute.
    pub(super) fn is_guessed(&self) -> bool {
        let is_fresh = |at: Instant| at.elapsed() < WRONG_PASSWORDS_FOR;
        self.wrong >= WRONG_PASSWORDS && is_fresh(self.since) && !self.told.is_some_and(is_fresh)
    }

    /// Notes that the host is told now.
    pub(super) fn note_told(&mut self) {
        self.told = Some(Instant::now());
    }
}

/// Whether two passwords are the same, in a time that depends on neither.
fn is_same(one: &Secret, other: &Secret) -> bool {
    let padded = |secret: &Secret| {
        let mut padded = [0; PASSWORD_BYTES];
        padded.iter_mut().zip(secret.reveal().bytes()).for_each(|(to, byte)| *to = byte);
        padded
    };
    let same_length = (one.reveal().len() as u64).ct_eq(&(other.reveal().len() as u64));
    (padded(one).ct_eq(&padded(other)) & same_length).into()
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn password() -> Password {
        Password::new(Secret::new("open sesame"))
    }

    fn try_at(password: &mut Password, given: &str, address: &str) -> Result<(), JoinError> {
        let room = RoomName::parse("r").unwrap();
        password.check(Some(&Secret::new(given)), &room, address.parse().ok(), &WrongPasswords::default())
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_same_text_opens() {
        let mut password = password();
        for (n, wrong) in ["", "open", "open sesame ", "Open sesame", "open sesame\0", "另一个"].iter().enumerate() {
            let address = format!("192.0.2.{n}");
            assert!(matches!(try_at(&mut password, wrong, &address), Err(JoinError::WrongPassword)), "{wrong:?}");
            assert!(try_at(&mut password, "open sesame", &address).is_ok());
        }
        assert!(matches!(
            password.check(None, &RoomName::parse("r").unwrap(), None, &WrongPasswords::default()),
            Err(JoinError::WrongPassword)
        ));
        let long = "x".repeat(PASSWORD_BYTES);
        assert!(is_same(&Secret::new(long.clone()), &Secret::new(long.clone())));
        assert!(!is_same(&Secret::new(long.clone()), &Secret::new(&long[1..])));
    }

    #[tokio::test(start_paused = true)]
    async fn the_host_is_told_of_ten_wrong_ones_in_a_minute_from_wherever_and_once_a_minute() {
        let mut password = password();
        for n in 0..WRONG_PASSWORDS {
            assert!(!password.is_guessed());
            assert!(try_at(&mut password, "wrong", &format!("192.0.2.{n}")).is_err());
        }
        assert!(password.is_guessed());
        password.note_told();
        assert!(!password.is_guessed());
        advance(WRONG_PASSWORDS_FOR).await;
        assert!(!password.is_guessed(), "nobody has guessed since");
        for _ in 0..WRONG_PASSWORDS {
            assert!(try_at(&mut password, "wrong", "192.0.2.1").is_err());
        }
        assert!(password.is_guessed());
    }

    #[test]
    fn it_is_written_nowhere() {
        let mut password = password();
        let error = password.check(None, &RoomName::parse("r").unwrap(), None, &WrongPasswords::default()).unwrap_err();
        for text in [format!("{password:?}"), format!("{error:?}{error}")] {
            assert!(!text.contains("sesame"), "{text}");
        }
    }
}
