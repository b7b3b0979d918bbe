//! What is held for ids that nobody has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::time::Instant;

use super::ids::Identity;
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
