//! The wires of other libraries, which their unmodified clients speak with the relay, each at a path of its own.
//!
//! All of them that are here are tables of topics: a client subscribes to topics, and publishes texts to all that are subscribed.
//! `topics.rs` is that table, `client.rs` one client, which `known.rs` topics and `waits.rs` for others, and `y_webrtc.rs` and `trystero.rs` say how each writes it down.
//! `README.md` is for those who use them.
//!
//! They are not built on [`Rooms`](crate::room::Rooms). A topic has no ids, no host, no lock and no places to come back to; what is
//! left is a list of outboxes, and a connection is in a hundred of them. What the promises rest on is below both: the shares and
//! the memory of the [outbox](crate::outbox).

mod client;
mod command;
mod known;
mod topics;
#[cfg(any(test, fuzzing))]
pub(crate) mod trial;
mod trystero;
mod waits;
mod y_webrtc;

use std::sync::Arc;

use crate::wire::Wire;
pub(crate) use client::TopicClient;
use command::Dialect;
pub(crate) use topics::Topics;

/// The wires that are on, each with its topics.
#[derive(Debug, Default)]
pub(crate) struct Wires(Vec<Arc<Topics>>);

impl Wires {
    /// These, without topics.
    pub(crate) fn new(wires: &[Wire]) -> Self {
        let is_on = |wire: &Wire| wires.contains(wire);
        Self(Wire::ALL.into_iter().filter(is_on).map(|wire| Arc::new(Topics::new(dialect(wire)))).collect())
    }

    /// The topics of `wire`; none if it is off.
    pub(crate) fn topics(&self, wire: Wire) -> Option<&Arc<Topics>> {
        self.0.iter().find(|topics| topics.dialect().wire == wire)
    }
}

fn dialect(wire: Wire) -> &'static Dialect {
    match wire {
        Wire::YWebrtc => &y_webrtc::DIALECT,
        Wire::Trystero => &trystero::DIALECT,
    }
}
