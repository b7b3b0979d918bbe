//! A connection as the cause of messages.

use std::sync::Arc;

use crate::budget::Purse;

/// Identifies a connection of a relay, also as a sender. It stays the same however often the connection joins a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId(pub(super) u64);

impl ConnectionId {
    /// The connection with this number.
    pub(crate) fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of the connection, for the log and the observer.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// A connection as the cause of messages: who it is, and to which purse they are charged while they wait, and while they
/// are kept. It stays the same however often the connection joins a room.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    pub(super) id: ConnectionId,
    pub(super) purse: Arc<Purse>,
}

impl Sender {
    /// The connection `id`, whose messages are charged to `purse`.
    pub(crate) fn new(id: ConnectionId, purse: Arc<Purse>) -> Self {
        Self { id, purse }
    }

    /// Which connection it is.
    #[cfg(test)]
    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// The purse to which its messages are charged.
    pub(crate) fn purse(&self) -> &Arc<Purse> {
        &self.purse
    }

    /// Has its messages charged to the purse of `next`, which is its client's next connection.
    pub(crate) fn charge_to(&mut self, next: &Self) {
        self.purse = Arc::clone(&next.purse);
    }
}
