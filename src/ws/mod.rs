//! One WebSocket (RFC 6455): reading, writing, keepalive, and closing.

mod clock;
mod close;
mod connection;
mod decoder;
mod transport;

pub(crate) use close::Disconnect;
pub(crate) use close::linger;
pub(crate) use connection::Connection;
#[cfg(fuzzing)]
pub(crate) use decoder::decoded_in_chunks;
pub use transport::{Opaque, Transport};
