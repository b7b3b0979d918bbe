//! What was settled about a room that was made ahead of time.

use tokio::time::Instant;

use crate::budget::Charge;

/// What was settled about a room before anybody came.
#[derive(Debug)]
pub(super) struct Booking {
    /// Until when the room is there without members.
    pub(super) until: Instant,
    /// Whether the room is locked when nobody is in it.
    pub(super) is_locked: bool,
    /// The memory of the room.
    pub(super) _memory: Charge,
}

impl Booking {
    /// Whether its time is over.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}
