//! What the upgrade of a client said to who decides on what it may do.

use crate::auth::JoinRequest;
use crate::outbox::Outbox;
use crate::peer::UpgradeHeaders;
use crate::room::names::RoomName;
use crate::secret::Secret;
use crate::wire::Wire;

/// What the upgrade of a client said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub headers: UpgradeHeaders,
    /// Its token.
    pub token: Option<Secret>,
}

impl Said {
    /// How much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.headers.bytes() + self.token.as_ref().map_or(0, |token| token.reveal().len())
    }

    /// Whether the client of `outbox` may do something in that topic or room of its wire.
    pub(super) fn request(self, outbox: &Outbox, wire: Wire, topic: &str) -> JoinRequest {
        JoinRequest {
            room: RoomName::of_topic(wire, topic),
            wire: Some(wire),
            id: None,
            name: None,
            address: outbox.address(),
            origin: self.headers.origin,
            token: self.token,
            headers: self.headers.named,
        }
    }
}
