//! What a client beyond a limit is told, and how many are told at a time.

use std::fmt;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::reserve::Seat;
use crate::limits;
use crate::metrics;

/// A client beyond a limit. Its text is for the client, and names the flag that sets the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OverLimit {
    /// As many connections as one address may have.
    Connections(u32),
    /// As many connections as there may be in all.
    All(usize),
    /// As much memory is pinned as the client's address, or all, may pin.
    Memory,
    /// Too many upgrades; when the next one is allowed.
    Upgrades(Duration),
    /// Too many TLS handshakes; when the next one is allowed.
    Handshakes(Duration),
    /// Too many joins; when the next one is allowed.
    Joins(Duration),
}

/// The permit to tell a connection why it is refused: few are told at a time. Dropped when that is done.
#[derive(Debug)]
pub(crate) struct RefusalPermit {
    /// Why.
    pub over: OverLimit,
    /// What it takes up.
    pub(super) room: RefusalRoom,
}

/// What a refusal takes up while it is written.
#[derive(Debug)]
pub(super) enum RefusalRoom {
    Permit(#[expect(dead_code, reason = "dropped at the end")] OwnedSemaphorePermit),
    Seat(#[expect(dead_code, reason = "dropped at the end")] Seat),
}

impl OverLimit {
    /// The names of the limits, for metrics.
    pub(crate) const NAMES: [&str; metrics::LIMITS] =
        ["address_connections", "max_connections", "memory", "address_upgrades", "address_handshakes", "address_joins"];

    /// Where the name of this one stands in [`NAMES`](Self::NAMES).
    pub(crate) fn number(self) -> usize {
        match self {
            Self::Connections(_) => 0,
            Self::All(_) => 1,
            Self::Memory => 2,
            Self::Upgrades(_) => 3,
            Self::Handshakes(_) => 4,
            Self::Joins(_) => 5,
        }
    }

    /// How many seconds later the client may try again.
    pub(crate) fn retry_after(self) -> u64 {
        let wait = match self {
            Self::Connections(_) | Self::All(_) | Self::Memory => limits::REFUSED_RETRY,
            Self::Upgrades(wait) | Self::Handshakes(wait) | Self::Joins(wait) => wait,
        };
        // Rounded up.
        wait.as_secs() + 1
    }

    /// Whether the client asked too often, rather than for more than there is.
    pub(crate) fn is_rate(self) -> bool {
        !matches!(self, Self::Connections(_) | Self::All(_) | Self::Memory)
    }
}

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connections(most) => {
                write!(f, "your address has {most} connections open, as many as --address-connections allows")
            }
            Self::All(most) => write!(f, "the relay has {most} connections open, as many as --max-connections allows"),
            Self::Memory => f.write_str("as much memory is in use as --address-memory or --memory allows"),
            Self::Upgrades(_) => f.write_str("your address opens WebSockets faster than --address-upgrades allows"),
            Self::Handshakes(_) => f.write_str("your address opens TLS faster than --address-upgrades allows"),
            Self::Joins(_) => f.write_str("your address joins rooms faster than --address-joins allows"),
        }
    }
}
