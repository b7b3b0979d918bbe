//! One frame in the queue of an outbox.

use bytes::Bytes;

use super::ConnectionId;

/// A frame that is queued, or was written and is kept.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) frame: Bytes,
    pub(super) origin: Origin,
}

/// Whose frame it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    Sender(ConnectionId),
    Relay,
    Error,
    /// Pings, pongs and close frames.
    Control,
}

impl Queued {
    /// Whether it is a message, and no control frame.
    pub(super) fn is_message(&self) -> bool {
        !matches!(self.origin, Origin::Control)
    }
}
