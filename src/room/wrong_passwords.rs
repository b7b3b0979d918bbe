//! Wrong passwords of all rooms, counted for each room and address in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::names::RoomName;
use crate::limits::{GUESSERS, WRONG_PASSWORDS, WRONG_PASSWORDS_FOR};
use crate::quota::Network;

/// Who gave wrong passwords for which rooms. A room and an address share their count with no others.
///
/// If there are more than can be remembered, the oldest are forgotten. That helps no guesser: a network with so many
/// addresses may give as many times [`WRONG_PASSWORDS`] in a minute anyway.
#[derive(Debug, Default)]
pub(super) struct WrongPasswords {
    /// Its key is random, so that nobody can choose addresses or rooms that count as one.
    hasher: RandomState,
    recent: Mutex<Recent>,
}

/// Two generations of wrong passwords. When the younger one is full, or as old as they may count, it becomes the older
/// one, and what that was is forgotten.
#[derive(Debug, Default)]
struct Recent {
    young: HashMap<Guesser, Wrong>,
    old: HashMap<Guesser, Wrong>,
    /// When the younger generation began; none as long as there is none.
    since: Option<Instant>,
}

/// A room and an address, as a keyed hash.
type Guesser = u64;

/// When the last wrong passwords were given.
#[derive(Debug, Clone, Copy, Default)]
struct Wrong([Option<Instant>; WRONG_PASSWORDS]);

impl WrongPasswords {
    /// Whether a client at `address` may try a password of `room`. Clients without an address count as one.
    pub(super) fn may_try(&self, room: &RoomName, address: Option<IpAddr>) -> bool {
        self.recent().get(self.guesser(room, address)).is_none_or(|wrong| !wrong.is_full(Instant::now()))
    }

    /// Counts a wrong password.
    pub(super) fn add_wrong(&self, room: &RoomName, address: Option<IpAddr>) {
        let now = Instant::now();
        self.recent().add(self.guesser(room, address), now);
    }

    fn guesser(&self, room: &RoomName, address: Option<IpAddr>) -> Guesser {
        self.hasher.hash_one((room, address.map(Network::from)))
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn get(&self, guesser: Guesser) -> Option<&Wrong> {
        self.young.get(&guesser).or_else(|| self.old.get(&guesser))
    }

    fn add(&mut self, guesser: Guesser, now: Instant) {
        let is_over = self.since.is_some_and(|since| now >= since + WRONG_PASSWORDS_FOR);
        if is_over || self.young.len() >= GUESSERS {
            self.old = mem::take(&mut self.young);
            self.since = None;
        }
        self.since.get_or_insert(now);
        let mut wrong = self.get(guesser).copied().unwrap_or_default();
        wrong.add(now);
        self.young.insert(guesser, wrong);
    }
}

impl Wrong {
    fn is_full(&self, now: Instant) -> bool {
        self.0.iter().all(|at| at.is_some_and(|at| now < at + WRONG_PASSWORDS_FOR))
    }

    /// Counts one more in the place of the oldest.
    fn add(&mut self, now: Instant) {
        if let Some(oldest) = self.0.iter_mut().min() {
            *oldest = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    fn guess(wrong_passwords: &WrongPasswords, room: &RoomName, address: &str, times: usize) {
        (0..times).for_each(|_| wrong_passwords.add_wrong(room, address.parse().ok()));
    }

    fn may_try(wrong_passwords: &WrongPasswords, room: &RoomName, address: &str) -> bool {
        wrong_passwords.may_try(room, address.parse().ok())
    }

    #[tokio::test(start_paused = true)]
    async fn after_ten_wrong_ones_in_a_minute_an_address_may_try_no_more_at_that_room() {
        let (wrong_passwords, one, other) = (WrongPasswords::default(), room("one"), room("other"));
        for _ in 0..WRONG_PASSWORDS {
            assert!(may_try(&wrong_passwords, &one, "192.0.2.1"));
            guess(&wrong_passwords, &one, "192.0.2.1", 1);
            advance(WRONG_PASSWORDS_FOR / 20).await;
        }
        assert!(!may_try(&wrong_passwords, &one, "192.0.2.1"));
        assert!(may_try(&wrong_passwords, &one, "192.0.2.2"), "another address may");
        assert!(may_try(&wrong_passwords, &other, "192.0.2.1"), "at another room it may");
        advance(WRONG_PASSWORDS_FOR / 2).await;
        assert!(may_try(&wrong_passwords, &one, "192.0.2.1"), "the first is a minute old");
        guess(&wrong_passwords, &one, "192.0.2.1", 1);
        assert!(!may_try(&wrong_passwords, &one, "192.0.2.1"), "the second is not");
    }

    #[tokio::test(start_paused = true)]
    async fn a_guess_counts_for_a_minute_however_many_generations_begin_meanwhile() {
        let (wrong_passwords, room) = (WrongPasswords::default(), room("r"));
        guess(&wrong_passwords, &room, "192.0.2.9", 1);
        advance(WRONG_PASSWORDS_FOR - Duration::from_secs(1)).await;
        guess(&wrong_passwords, &room, "192.0.2.1", WRONG_PASSWORDS);
        advance(Duration::from_secs(2)).await;
        guess(&wrong_passwords, &room, "192.0.2.9", 1);
        assert!(!may_try(&wrong_passwords, &room, "192.0.2.1"));
    }

    #[tokio::test(start_paused = true)]
    async fn guessers_from_ever_so_many_networks_keep_nobody_else_out_and_fill_no_memory() {
        let (wrong_passwords, room) = (WrongPasswords::default(), room("r"));
        for n in 0..3 * GUESSERS {
            let network = format!("2001:db8:{:x}:{:x}::1", n >> 16, n & 0xffff);
            guess(&wrong_passwords, &room, &network, 1);
        }
        let recent = wrong_passwords.recent();
        assert!(recent.young.len() <= GUESSERS && recent.old.len() <= GUESSERS);
        drop(recent);
        assert!(may_try(&wrong_passwords, &room, "192.0.2.1"));
    }
}
