//! One peer without its socket.

pub mod outbox;
pub mod session;
