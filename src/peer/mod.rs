//! One peer without its socket: what it may do at this moment, and how much.

#[cfg(test)]
mod model;
mod observer;
mod rate;
mod session;

pub use observer::{Observer, RelayEvent};
pub use rate::{EmptyFrames, RateLimiter};
pub use session::{Context, Session, Ticket};
