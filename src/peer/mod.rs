//! One peer's protocol state, without its socket.

mod client;
mod handover;
mod hub;
mod looks;
mod observer;
mod resume;
mod session;
#[cfg(any(test, fuzzing))]
pub(crate) mod tests;

pub(crate) use client::Client;
#[cfg(feature = "wires")]
pub(crate) use client::Flood;
pub(crate) use handover::{Handover, UrlRequest};
pub(crate) use hub::{Hub, HubSettings};
#[cfg(feature = "wires")]
pub(crate) use looks::Looks;
#[cfg(feature = "cluster")]
pub(crate) use observer::Events;
pub(crate) use observer::Observer;
pub use observer::RelayEvent;
pub(crate) use session::{JoinRefusal, Session, UpgradeHeaders};
