//! For what a client on a wire of topics waits, while nothing more is read from it.

use std::fmt;
use std::sync::Arc;

use crate::auth::Decision;
use crate::budget::Charge;
use crate::wires::blocked::Blocked;

/// For what a client waits: nothing more is read from it.
pub(super) enum Waits {
    /// Others get their turns.
    Turn {
        /// Whether they had it.
        is_over: bool,
    },
    /// Whether it may do what it said is being decided.
    Answer(Box<Deciding>),
    /// Receivers have no room for what it said.
    Room(Box<Blocked>),
}

pub(super) struct Deciding {
    pub(super) decision: Decision,
    pub(super) topic: Arc<str>,
    /// What it said, and which of the topics in that is being decided.
    pub(super) text: String,
    pub(super) at: usize,
    /// The memory of all that.
    pub(super) _memory: Charge,
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Turn { .. } => "Turn",
            Self::Answer(_) => "Answer",
            Self::Room(_) => "Room",
        })
    }
}
