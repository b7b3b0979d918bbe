//! What the tool can do to a server: one file a mode.

pub(crate) mod churn;
pub(crate) mod flood;
pub(crate) mod idle;
pub(crate) mod memory;
pub(crate) mod pace;
pub(crate) mod plan;
pub(crate) mod rooms;
pub(crate) mod slow;
pub(crate) mod stall;
pub(crate) mod talk;
