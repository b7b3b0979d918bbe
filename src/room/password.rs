//! The password of a room: the first one in sets it, and the others must know it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;

use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::refusal::JoinError;
use crate::limits::{PASSWORD_BYTES, WRONG_PASSWORD_ADDRESSES, WRONG_PASSWORDS, WRONG_PASSWORDS_FOR};
use crate::quota::Network;
use crate::secret::Secret;

/// A password, and who guessed wrongly.
pub(super) struct Password {
    secret: Secret,
    /// When each address gave its last wrong passwords, oldest first. Clients without an address count as one; so do
    /// those for whom this table has no room.
    wrong: HashMap<Guesser, VecDeque<Instant>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Guesser {
    At(Option<Network>),
    Others,
}

impl Password {
    pub(super) fn new(secret: Secret) -> Self {
        Self { secret, wrong: HashMap::new() }
    }

    /// Checks what a client at `address` gives as the password.
    pub(super) fn check(&mut self, given: Option<&Secret>, address: Option<IpAddr>) -> Result<(), JoinError> {
        let now = Instant::now();
        let guesser = self.guesser(address, now);
        if self.wrong.get(&guesser).is_some_and(|times| recent(times, now) >= WRONG_PASSWORDS) {
            return Err(JoinError::TooManyGuesses);
        }
        match given {
            Some(given) if is_same(given, &self.secret) => Ok(()),
            // Who gives none has not guessed.
            None => Err(JoinError::WrongPassword),
            Some(_) => {
                let times = self.wrong.entry(guesser).or_default();
                times.push_back(now);
                times.drain(..times.len().saturating_sub(WRONG_PASSWORDS));
                Err(JoinError::WrongPassword)
            }
        }
    }

    /// As whom to count a client at `address`.
    fn guesser(&mut self, address: Option<IpAddr>, now: Instant) -> Guesser {
        let guesser = Guesser::At(address.map(Network::from));
        if self.wrong.contains_key(&guesser) || self.wrong.len() < WRONG_PASSWORD_ADDRESSES {
            return guesser;
        }
        self.wrong.retain(|_, times| recent(times, now) > 0);
        if self.wrong.len() < WRONG_PASSWORD_ADDRESSES { guesser } else { Guesser::Others }
    }
}

/// How many of `times` still count.
fn recent(times: &VecDeque<Instant>, now: Instant) -> usize {
    times.iter().filter(|time| now < **time + WRONG_PASSWORDS_FOR).count()
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
        password.check(Some(&Secret::new(given)), Some(address.parse().unwrap()))
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_same_text_opens() {
        let mut password = password();
        for (n, wrong) in ["", "open", "open sesame ", "Open sesame", "open sesame\0", "另一个"].iter().enumerate() {
            let address = format!("192.0.2.{n}");
            assert!(matches!(try_at(&mut password, wrong, &address), Err(JoinError::WrongPassword)), "{wrong:?}");
            assert!(try_at(&mut password, "open sesame", &address).is_ok());
        }
        assert!(matches!(password.check(None, None), Err(JoinError::WrongPassword)));
        let long = "x".repeat(PASSWORD_BYTES);
        assert!(is_same(&Secret::new(long.clone()), &Secret::new(long.clone())));
        assert!(!is_same(&Secret::new(long.clone()), &Secret::new(&long[1..])));
    }

    #[tokio::test(start_paused = true)]
    async fn after_ten_wrong_ones_in_a_minute_an_address_may_not_even_give_the_right_one() {
        let mut password = password();
        for _ in 0..WRONG_PASSWORDS {
            assert!(matches!(try_at(&mut password, "wrong", "192.0.2.1"), Err(JoinError::WrongPassword)));
            advance(WRONG_PASSWORDS_FOR / 20).await;
        }
        assert!(matches!(try_at(&mut password, "open sesame", "192.0.2.1"), Err(JoinError::TooManyGuesses)));
        assert!(matches!(try_at(&mut password, "wrong", "192.0.2.1"), Err(JoinError::TooManyGuesses)));
        assert!(try_at(&mut password, "open sesame", "192.0.2.2").is_ok(), "another address may");
        advance(WRONG_PASSWORDS_FOR / 2).await;
        assert!(try_at(&mut password, "open sesame", "192.0.2.1").is_ok(), "the first is a minute old");
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_beyond_those_that_are_counted_one_by_one_count_as_one_until_the_others_are_forgotten() {
        let mut password = password();
        let address = |n: usize| format!("10.0.{}.{}", n / 256, n % 256);
        for n in 0..WRONG_PASSWORD_ADDRESSES + WRONG_PASSWORDS {
            assert!(matches!(try_at(&mut password, "wrong", &address(n)), Err(JoinError::WrongPassword)), "{n}");
        }
        assert!(password.wrong.len() <= WRONG_PASSWORD_ADDRESSES + 1);
        assert!(matches!(try_at(&mut password, "open sesame", "192.0.2.1"), Err(JoinError::TooManyGuesses)));
        assert!(try_at(&mut password, "open sesame", &address(0)).is_ok(), "one that is counted by itself");
        advance(WRONG_PASSWORDS_FOR).await;
        for _ in 0..WRONG_PASSWORDS {
            assert!(matches!(try_at(&mut password, "wrong", "192.0.2.1"), Err(JoinError::WrongPassword)));
        }
        assert!(matches!(try_at(&mut password, "open sesame", "192.0.2.1"), Err(JoinError::TooManyGuesses)));
        assert!(try_at(&mut password, "open sesame", "192.0.2.2").is_ok(), "each counts by itself again");
    }

    #[test]
    fn it_is_written_nowhere() {
        let mut password = password();
        let error = password.check(None, None).unwrap_err();
        for text in [format!("{password:?}"), format!("{error:?}{error}")] {
            assert!(!text.contains("sesame"), "{text}");
        }
    }
}
