//! For what a client that may be in several topics or rooms waits, while nothing more is read from it.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::auth::{Decision, Denial};
use crate::budget::Charge;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::room::Deferred;
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

/// What became of what a client waits for.
pub(super) enum Polled {
    /// It goes on waiting.
    Waits(Waits),
    /// That was decided.
    Decided(Box<Deciding>, Result<(), Denial>),
    /// There is nothing to wait for any more.
    Over,
}

impl Waits {
    /// Goes on with it for the client of `outbox`.
    pub(super) fn poll(
        self,
        outbox: &Outbox,
        metrics: &Metrics,
        cx: &mut Context<'_>,
        now: Instant,
        deferred: &mut Deferred,
    ) -> Polled {
        match self {
            Self::Turn { is_over: true } => Polled::Over,
            Self::Turn { is_over: false } => {
                cx.waker().wake_by_ref();
                Polled::Waits(Self::Turn { is_over: true })
            }
            Self::Answer(mut deciding) => match deciding.decision.as_mut().poll(cx) {
                Poll::Ready(decided) => Polled::Decided(deciding, decided.map(drop)),
                Poll::Pending => Polled::Waits(Self::Answer(deciding)),
            },
            Self::Room(mut blocked) => {
                let (polled, queued) = blocked.poll(outbox, cx, now, deferred);
                metrics.hot().count_relayed(queued, blocked.frame.len());
                if polled.is_ready() { Polled::Over } else { Polled::Waits(Self::Room(blocked)) }
            }
        }
    }

    /// When to go on with it at the latest.
    pub(super) fn next_look(&self) -> Option<Instant> {
        match self {
            Self::Room(blocked) => Some(blocked.next_look()),
            Self::Turn { .. } | Self::Answer(_) => None,
        }
    }

    /// The connection has ended: a last try to deliver what waits for room.
    pub(super) fn end(self, outbox: &Outbox, metrics: &Metrics) {
        if let Self::Room(mut blocked) = self {
            let queued = blocked.end_with(outbox);
            metrics.hot().count_relayed(queued, blocked.frame.len());
        }
    }
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
