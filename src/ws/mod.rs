//! One WebSocket (RFC 6455): what comes off its stream, how it is kept alive, and how it ends.

mod close;
mod connection;
mod decoder;
mod transport;

pub(crate) use close::End;
pub(crate) use close::linger;
pub(crate) use connection::Connection;
pub use transport::{Opaque, Transport};
