//! What is held for ids that nobody has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::time::Instant;

use super::identity::Identity;
use crate::budget::Charge;
use crate::limits::{
    PEERJS_LETTER_BYTES, PEERJS_MAIL_ADDRESS_BYTES, PEERJS_MAIL_ALL_BYTES, PEERJS_MAIL_BYTES, PEERJS_MAIL_FOR,
    PEERJS_MAIL_MESSAGES,
};
use crate::outbox::Sender;
use crate::quota::Network;

/// What is held for one id that nobody has.
#[derive(Debug)]
pub(super) struct Mailbox {
    /// The id, as JSON.
    pub id_json: Box<str>,
    /// When it is given up.
    pub until: Instant,
    /// What is held, in its order.
    pub letters: Vec<Letter>,
    bytes: usize,
}

/// A message that is held.
#[derive(Debug)]
pub(super) struct Letter {
    /// The message.
    pub frame: Bytes,
    /// Who has said it.
    pub from: Arc<Identity>,
    /// To whom it is charged.
    pub sender: Sender,
    _postage: Postage,
    _memory: Charge,
}

/// Bytes that are held, by all and by the clients of each address.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    all: usize,
    /// Only those of whom something is held.
    of: HashMap<Network, usize>,
}

/// Bytes that are held, until this is dropped.
#[derive(Debug)]
struct Postage {
    tally: Arc<Tally>,
    network: Option<Network>,
    bytes: usize,
}

impl Mailbox {
    /// Nothing is held yet.
    pub(super) fn new(id_json: &str, now: Instant) -> Self {
        Self { id_json: id_json.into(), until: now + PEERJS_MAIL_FOR, letters: Vec::new(), bytes: 0 }
    }

    /// Holds a message of a client whose address counts as `network`; false if that is more than may be held.
    pub(super) fn hold(
        &mut self,
        tally: &Arc<Tally>,
        frame: &Bytes,
        from: &Arc<Identity>,
        sender: &Sender,
        network: Option<Network>,
    ) -> bool {
        if self.letters.len() >= PEERJS_MAIL_MESSAGES || self.bytes + frame.len() > PEERJS_MAIL_BYTES {
            return false;
        }
        let bytes = frame.len() + PEERJS_LETTER_BYTES;
        let Some(_postage) = tally.take(network, bytes) else { return false };
        let Some(_memory) = sender.purse().charge(bytes) else { return false };
        let (frame, from, sender) = (frame.clone(), Arc::clone(from), sender.clone());
        self.bytes += frame.len();
        self.letters.push(Letter { frame, from, sender, _postage, _memory });
        true
    }
}

impl Tally {
    /// Counts bytes of a client whose address counts as `network`, if as many may be held.
    fn take(self: &Arc<Self>, network: Option<Network>, bytes: usize) -> Option<Postage> {
        let mut held = self.lock();
        let all = held.all + bytes;
        let own = network.map(|network| (network, held.of.get(&network).copied().unwrap_or_default() + bytes));
        if all > PEERJS_MAIL_ALL_BYTES || own.is_some_and(|(_, own)| own > PEERJS_MAIL_ADDRESS_BYTES) {
            return None;
        }
        held.all = all;
        held.of.extend(own);
        Some(Postage { tally: Arc::clone(self), network, bytes })
    }

    /// The bytes that are held in all, and of how many addresses.
    #[cfg(any(test, fuzzing))]
    pub(super) fn held(&self) -> (usize, usize) {
        let held = self.lock();
        (held.all, held.of.len())
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postage {
    fn drop(&mut self) {
        let mut held = self.tally.lock();
        held.all = held.all.saturating_sub(self.bytes);
        if let Some(network) = self.network
            && let Some(own) = held.of.get_mut(&network)
        {
            *own = own.saturating_sub(self.bytes);
            if *own == 0 {
                held.of.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::budget::Budget;
    use crate::outbox::{ConnectionId, Outbox};
    use crate::secret::Secret;
    use crate::wires::peerjs::identity::Space;

    const FRAME: Bytes = Bytes::from_static(&[b'x'; 100_000]);

    fn network(number: u8) -> Network {
        IpAddr::from(Ipv4Addr::new(192, 0, 2, number)).into()
    }

    /// Has messages of a client at that network held until one is refused; the mailboxes, and how many messages they have.
    fn fill(tally: &Arc<Tally>, sender: &Sender, network: Option<Network>) -> (Vec<Mailbox>, usize) {
        let who = Arc::new(Identity::new(&Space::new("k"), "a", Secret::new("t")));
        let mut mailboxes = Vec::new();
        loop {
            let mut mailbox = Mailbox::new("\"b\"", Instant::now());
            while mailbox.hold(tally, &FRAME, &who, sender, network) {}
            if mailbox.letters.is_empty() {
                let letters = mailboxes.iter().map(|mailbox: &Mailbox| mailbox.letters.len()).sum();
                return (mailboxes, letters);
            }
            mailboxes.push(mailbox);
        }
    }

    #[test]
    fn each_address_has_a_bound_of_its_own_and_all_have_one_and_what_is_given_up_is_free_again() {
        let (tally, outbox) = (Arc::default(), Outbox::new(0));
        let (of_one, letters) = fill(&tally, outbox.sender(), Some(network(1)));
        assert_eq!(letters, PEERJS_MAIL_ADDRESS_BYTES / (FRAME.len() + PEERJS_LETTER_BYTES));
        assert!(of_one.iter().all(|mailbox| mailbox.letters.len() == PEERJS_MAIL_BYTES / FRAME.len()));
        let (of_other, again) = fill(&tally, outbox.sender(), Some(network(2)));
        assert_eq!(again, letters);
        assert_eq!(tally.held().1, 2);
        // Who has no address that is limited counts among all.
        let (of_nobody, rest) = fill(&tally, outbox.sender(), None);
        assert_eq!(2 * letters + rest, PEERJS_MAIL_ALL_BYTES / (FRAME.len() + PEERJS_LETTER_BYTES));
        assert!(fill(&tally, outbox.sender(), Some(network(3))).0.is_empty());
        drop(of_one);
        assert_eq!(fill(&tally, outbox.sender(), Some(network(3))).1, letters);
        drop((of_other, of_nobody));
        assert_eq!(tally.held(), (0, 0));
    }

    #[test]
    fn what_is_held_is_charged_to_the_memory_of_its_sender() {
        let budget = Budget::new(0, 2 * FRAME.len());
        let sender = Sender::new(ConnectionId::new(1), budget.address().purse());
        let tally = Arc::default();
        let (mailboxes, letters) = fill(&tally, &sender, Some(network(1)));
        assert_eq!(letters, 1, "an eighth is left for what cannot be refused");
        let held = budget.used();
        assert!(held >= FRAME.len(), "{held}");
        drop(mailboxes);
        sender.purse().close();
        assert_eq!((budget.used(), tally.held()), (0, (0, 0)));
    }
}
