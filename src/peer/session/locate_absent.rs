//! Without the feature `cluster`, each room lives here.

use std::convert::Infallible;

use super::join::{Asked, Deciding};
use super::knock::Via;
use super::{Session, Stage};
use crate::auth::{Answer, Grant};
use crate::protocol::Join;
use crate::room::Refusal;
use crate::room::names::RoomName;
use crate::secret::Secret;

/// There is nothing to search for.
pub(super) type Search = Infallible;

impl Session {
    pub(super) fn search(&self, _: &RoomName, _: Asked<'_>, _: &Answer) -> Result<Option<Box<Search>>, Refusal> {
        Ok(None)
    }

    pub(super) fn resume_elsewhere(&mut self, _: &Secret, _: &str, _: Option<&str>) -> Result<bool, Refusal> {
        Ok(false)
    }

    pub(super) fn await_decision(&mut self, deciding: Box<Deciding>) {
        self.stage = Stage::Deciding(deciding);
    }

    #[allow(clippy::boxed_local, reason = "as where there is a cluster")]
    pub(super) fn claim(&mut self, search: Box<Search>, _: Join, _: Via, _: Grant) {
        match *search {}
    }
}
