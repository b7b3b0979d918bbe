//! How a connection ends, as its outbox knows it.

use bytes::Bytes;

use super::Outbox;
use super::queued::Queued;

/// Why the relay ends a connection of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseRequest {
    /// The relay restarts.
    Restart,
    /// The relay shuts down for good.
    Shutdown,
    /// Another relay has the room of the client.
    RoomMoved,
    /// The client was idle in a full room, and gave way to another one.
    GaveWay,
    /// Another connection of the client took its place.
    TakenOver,
    /// The host of the room removed the client.
    Kicked,
    /// The client chose its id, and another one came for whose id the authorizer vouches.
    Displaced,
    /// The relay by which the client came does not answer any more.
    DoorLost,
    /// The client reads, but so slowly that others wait for it.
    TooSlow,
    /// There is no memory for what the client sends.
    NoMemory,
    /// The client was told that it is not let in.
    #[cfg(feature = "wires")]
    Refused,
    /// The client said what its wire does not know.
    #[cfg(feature = "wires")]
    BadMessage,
    /// The client waited at a locked room that its URL names, and does not come in.
    Denied {
        /// Whether it may try again.
        retryable: bool,
    },
}

impl Outbox {
    /// Asks the connection to end: its task gets the reason from [`poll_write`](Self::poll_write). The first reason counts.
    pub(crate) fn request_close(&self, request: CloseRequest) {
        let mut state = self.lock();
        state.close_request.get_or_insert(request);
        state.wake_owner();
    }

    /// Why the connection was asked to end, if it was.
    pub(crate) fn close_request(&self) -> Option<CloseRequest> {
        self.lock().close_request
    }

    /// Queues the last frame. Later messages are dropped ([`Pushed::Closed`](super::Pushed::Closed)).
    pub(crate) fn close(&self, last: Bytes) {
        let mut state = self.lock();
        if !state.is_closed {
            self.enqueue(&mut state, Queued::control(last));
            state.close();
        }
    }

    /// Closes the outbox and drops the queue: the connection is gone.
    pub(crate) fn discard(&self) {
        let mut state = self.lock();
        state.close();
        state.discard();
    }
}
