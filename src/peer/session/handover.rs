//! A session whose client's room lives at another relay: from then on that one serves the client, and this relay copies
//! bytes.

use hyper::Response;

use super::{Session, Stage};
use crate::peer::handover::Handover;

impl Session {
    /// Whether the client has come by another relay.
    pub(crate) fn comes_by_door(&self) -> bool {
        self.hops > 0
    }

    /// Whether rooms may live at other relays, so that the request of the client may have to go there.
    pub(crate) fn may_be_handed_over(&self) -> bool {
        #[cfg(feature = "cluster")]
        return self.hub.directory.is_some();
        #[cfg(not(feature = "cluster"))]
        false
    }

    /// Leaves the client to another relay. The session receives nothing more.
    #[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "there is no other relay"))]
    pub(super) fn leave_to(&mut self, handover: Handover) {
        self.is_new = false;
        self.stage = Stage::HandedOver(Some(Box::new(handover)));
    }

    /// Whether the client is left to another relay.
    pub(crate) fn is_handed_over(&self) -> bool {
        matches!(self.stage, Stage::HandedOver(_))
    }

    /// What the other relay has answered to the upgrade; none if this relay is to answer it.
    pub(crate) fn take_response(&mut self) -> Option<Response<()>> {
        match &mut self.stage {
            Stage::HandedOver(Some(handover)) => handover.response.take(),
            _ => None,
        }
    }

    /// What is left, for whoever copies the bytes; none if it was taken already, or the client is not left to another relay.
    pub(crate) fn take_handover(&mut self) -> Option<Box<Handover>> {
        match &mut self.stage {
            Stage::HandedOver(handover) => handover.take(),
            _ => None,
        }
    }
}
