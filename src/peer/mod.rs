//! One peer's protocol state, without its socket.

mod context;
#[cfg(any(test, fuzzing))]
pub(crate) mod model;
mod observer;
mod resume;
#[cfg(test)]
mod resume_model;
mod session;

pub(crate) use context::Context;
pub(crate) use observer::Observer;
pub use observer::RelayEvent;
pub(crate) use resume::Places;
pub(crate) use session::{Entry, Session};
