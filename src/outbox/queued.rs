//! One frame in the queue of an outbox, and the memory that it pins.

use bytes::Bytes;

use super::{ConnectionId, Sender};
use crate::budget::Charge;

/// A frame that is queued, or was written and is kept.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) frame: Bytes,
    pub(super) origin: Origin,
    /// The memory that it pins; none for control frames, of which there are two at most.
    charge: Option<Charge>,
}

/// What a frame costs besides its bytes, in bytes: its entry in a queue, which has room for half as many more on average,
/// and what is counted about its buffer.
pub(super) const ENTRY_BYTES: usize = 128;

/// What a frame costs in bytes. Allocators have four sizes for each power of two, and so half of them on average a tenth
/// more than was asked for.
pub(super) fn cost(frame: &Bytes) -> usize {
    let step = (frame.len().next_power_of_two() / 8).max(16);
    frame.len().next_multiple_of(step) + ENTRY_BYTES
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
    /// A frame that pins this much memory.
    pub(super) fn new(frame: Bytes, origin: Origin, charge: Charge) -> Self {
        Self { frame, origin, charge: Some(charge) }
    }

    /// A frame that cannot be refused, and is charged to its cause.
    pub(super) fn anyway(frame: Bytes, origin: Origin, cause: &Sender) -> Self {
        let charge = cause.purse().charge_anyway(cost(&frame));
        Self::new(frame, origin, charge)
    }

    /// A control frame.
    pub(super) fn control(frame: Bytes) -> Self {
        Self { frame, origin: Origin::Control, charge: None }
    }

    /// Whether memory is so short where it is charged that it should not be kept just in case.
    pub(super) fn is_pressed(&self) -> bool {
        self.charge.as_ref().is_some_and(|charge| charge.purse().account().is_pressed())
    }

    /// Whether it is a message, and no control frame.
    pub(super) fn is_message(&self) -> bool {
        !matches!(self.origin, Origin::Control)
    }
}
