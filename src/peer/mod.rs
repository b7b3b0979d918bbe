//! One peer's protocol state, without its socket.

mod hub;
#[cfg(any(test, fuzzing))]
pub(crate) mod model;
mod observer;
mod resume;
#[cfg(test)]
mod resume_model;
mod session;

pub(crate) use hub::{Hub, HubSettings};
pub(crate) use observer::Observer;
pub use observer::RelayEvent;
pub(crate) use session::{JoinRefusal, Session, UpgradeHeaders};
