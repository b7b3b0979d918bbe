//! A session whose client's room lives at another relay: from then on that one serves the client, and this relay copies
//! bytes.

use super::{Session, Stage};
#[cfg(feature = "cluster")]
pub(crate) use crate::cluster::door::Tunnel;

/// There is no way to another relay.
#[cfg(not(feature = "cluster"))]
#[derive(Debug)]
pub(crate) enum Tunnel {}

/// What is left of a session that was handed over.
#[derive(Debug)]
pub(crate) struct Handover {
    /// The way to the relay of the room.
    pub tunnel: Box<Tunnel>,
    /// What goes there before what the client sends.
    pub first: Vec<u8>,
}

impl Session {
    /// Leaves the client to the relay at the other end of `tunnel`, which hears `first` before what the client sends from now
    /// on. The session receives nothing more.
    pub(crate) fn leave_to(&mut self, tunnel: Box<Tunnel>, first: Vec<u8>) {
        self.is_new = false;
        self.stage = Stage::HandedOver(Some(Box::new(Handover { tunnel, first })));
    }

    /// Whether the client is left to another relay.
    pub(crate) fn is_handed_over(&self) -> bool {
        matches!(self.stage, Stage::HandedOver(_))
    }

    /// What is left, for whoever copies the bytes; none if it was taken already, or the client is not left to another relay.
    pub(crate) fn take_handover(&mut self) -> Option<Box<Handover>> {
        match &mut self.stage {
            Stage::HandedOver(handover) => handover.take(),
            _ => None,
        }
    }

    /// By how many relays the client has come to this one.
    pub(crate) fn hops(&self) -> u8 {
        self.hops
    }
}
